"""Which stores go past the caches: whole lines, each once; parts of lines only where the processor is not slow with them.
In a library whose streamed stores are ordinary ones that are written down."""

import ctypes
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpu_kernels import build_config
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from tests.kernels.generated import SCENARIOS, Generated, calls
from tests.support.builds import built_once, compile_and_link

HERE = Path(__file__).resolve().parent
LINE = 64
MOST = 1 << 20

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64's stores are counted")


class Recorder:
    """The library, and what it streamed."""

    def __init__(self, path: Path) -> None:
        self.library = CoreLibrary(path)
        self._stores = np.zeros((MOST, 2), np.int64)
        self.library.c.MsspTestTakeStores.restype = ctypes.c_int64

    def take(self) -> npt.NDArray[np.int64]:
        """[count, 2]: addresses and bytes of the streamed stores since the last time."""
        count = self.library.c.MsspTestTakeStores(ctypes.c_void_p(self._stores.ctypes.data), ctypes.c_int64(MOST))
        assert count <= MOST
        return self._stores[:count].copy()


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    sources = [*build_config.core_sources(), build_config.ROOT / "entries" / "plain_entry.cc"]
    flags = [*build_config.COMPILE_FLAGS, "-O0", f"-I{build_config.ROOT}", "-include", str(HERE / "recorded_stores.h")]
    return Recorder(
        built_once(
            tmp_path_factory,
            "recorded_stores",
            lambda folder: compile_and_link(
                ["g++", *flags],
                [*sources, HERE / "recorded_stores.cc"],
                folder / "librecorded.so",
                build_config.LINK_FLAGS,
            ),
        )
    )


@pytest.fixture(params=["portable", "avx2", "avx512"])
def streaming(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Recorder]:
    """One instruction set, everything streamed, by threads at any size."""
    c = recorder.library.c
    if not c.MsspSetCpuFeatures(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    c.MsspSetThresholds(0, 1)
    yield recorder
    c.MsspSetCpuFeatures(None)
    c.MsspSetPartialStores(-1)


def streamed_bytes(stores: npt.NDArray[np.int64]) -> dict[int, int]:
    """How many bytes of each line were streamed.

    Asserts that each store lies on its own border, as the processor demands, and that no byte was streamed twice.
    """
    assert not (stores[:, 0] % stores[:, 1]).any()
    halves = np.concatenate([to + np.arange(0, size, 16) for to, size in stores]) if len(stores) else stores[:, 0]
    assert np.unique(halves).size == halves.size
    lines, counts = np.unique(halves // LINE, return_counts=True)
    return dict(zip(lines.tolist(), (16 * counts).tolist(), strict=True))


@pytest.mark.parametrize(("layout", "scatter_mode"), SCENARIOS)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parts_of_lines_are_streamed_only_where_that_is_cheap(
    streaming: Recorder, layout: str, scatter_mode: str, data: st.DataObject
) -> None:
    generated = data.draw(calls(layout, scatter_mode, "float16", bad=False))
    threads = data.draw(st.sampled_from([1, 3]))
    for parts in (0, 1):
        streaming.library.c.MsspSetPartialStores(parts)
        streaming.take()
        generated.run(streaming.library, threads)
        lines = streamed_bytes(streaming.take())
        if parts == 0:
            assert set(lines.values()) <= {LINE}


FILLED = [
    *((layout, heads, size) for layout in ("Norm", "PA_NZ", "NHSD") for heads, size in ((3, 32), (1, 80))),
    ("PA_NZ", 1, 16),  # one unit
    ("NHSD", 3, 33),  # heads that begin at no multiple of 16 bytes
]


def filled_blocks(
    recorder: Recorder, layout: str, heads: int, size: int, distance: int, *, blocks: int, block_size: int, threads: int
) -> int:
    """Fills so many blocks that lie apart, parts of lines by ordinary stores; how many lines were streamed, all whole."""
    shape = {
        "Norm": (2 * blocks, block_size, heads, size),
        "PA_NZ": (2 * blocks, heads * size // 16, block_size, 16),
        "NHSD": (2 * blocks, heads, block_size, size),
    }[layout]
    cache = aligned(int(np.prod(shape)) * 2, distance).view(np.float16).reshape(shape)
    rows = np.ones((blocks * block_size, heads, size), np.float16)
    slots = (np.arange(1, 2 * blocks, 2)[:, None] * block_size + np.arange(block_size)).reshape(-1)
    recorder.library.c.MsspSetPartialStores(0)
    recorder.take()
    generated = Generated([(rows, cache)], [cache], slots, {"layout": layout, "scatter_mode": "None"}, "float16")
    assert recorder.library.scatter(generated.call([cache], threads)) == [0, 0, 0, 0]
    lines = streamed_bytes(recorder.take())
    assert set(lines.values()) <= {LINE}
    return len(lines)


@pytest.mark.parametrize("distance", range(0, LINE, 16))
@pytest.mark.parametrize(("layout", "heads", "size"), FILLED)
def test_blocks_that_are_filled_are_streamed_but_for_their_ends(
    streaming: Recorder, layout: str, heads: int, size: int, distance: int
) -> None:
    """The lines between units, rows and heads of one block are whole ones, wherever the cache begins."""
    lines = filled_blocks(streaming, layout, heads, size, distance, blocks=1, block_size=64, threads=1)
    assert lines * LINE > 64 * heads * size * 2 - 2 * LINE


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("block_size", [32, 64, 128])
@pytest.mark.parametrize("distance", [0, 16])
def test_threads_divide_runs_of_pa_nz_between_blocks(
    streaming: Recorder, distance: int, block_size: int, threads: int
) -> None:
    """A block in two parts would have two parts of lines more in every unit."""
    blocks = 8
    lines = filled_blocks(streaming, "PA_NZ", 8, 32, distance, blocks=blocks, block_size=block_size, threads=threads)
    assert lines * LINE > blocks * (block_size * 8 * 32 * 2 - 2 * LINE)


def aligned(nbytes: int, distance: int) -> npt.NDArray[np.uint8]:
    """Zeros that begin `distance` bytes past a line's border."""
    buffer = np.zeros(nbytes + LINE, np.uint8)
    begin = (distance - buffer.ctypes.data) % LINE
    return buffer[begin : begin + nbytes]
