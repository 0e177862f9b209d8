"""Where one copy ends and the next begins: every length, start and alignment of runs, and more heads or rows than are
copied side by side, on every instruction set, against the reference."""

import platform
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from tests.kernels.generated import CPU_PATHS, Generated

DISTANCES = (0, 16, 32, 48, 8)  # of a cache from a line's border
ALWAYS = 0
Slots = npt.NDArray[np.int64]


# Sets of another architecture are not there to be skipped.
PATHS = [p for p in CPU_PATHS if (p == "neon") == (platform.machine() == "aarch64") or p == "portable"]


@pytest.fixture(
    params=[(path, parts) for path in PATHS for parts in (0, 1) if parts or platform.machine() == "x86_64"], ids=str
)
def streaming(request: pytest.FixtureRequest, library: CoreLibrary) -> CoreLibrary:
    """The library on one instruction set, with stores past the caches, of parts of lines too or not, and threads at any
    size."""
    path, parts = request.param
    if not library.c.MsspSetCpuFeatures(path.encode()):
        pytest.skip(f"this processor has no {path}")
    library.c.MsspSetPartialStores(parts)
    library.c.MsspSetThresholds(ALWAYS, 1)
    return library


def cache_at(distance: int, shape: tuple[int, ...], seed: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """A cache that begins `distance` bytes past a line, and the buffer that it lies in."""
    nbytes = int(np.prod(shape)) * 2
    buffer = np.random.default_rng(seed).integers(0, 256, nbytes + 192, dtype=np.uint8)
    begin = 64 + (distance - buffer.ctypes.data - 64) % 64
    return buffer[begin : begin + nbytes].view(np.float16).reshape(shape), buffer


def key_only(
    rows_shape: tuple[int, ...],
    cache_shape: tuple[int, ...],
    distance: int,
    slots: Slots,
    layout: str,
    **options: Slots,
) -> Generated:
    """A key-only call on random bytes."""
    nbytes = int(np.prod(rows_shape)) * 2
    rows = np.random.default_rng(1).integers(0, 256, nbytes, dtype=np.uint8).view(np.float16).reshape(rows_shape)
    cache, buffer = cache_at(distance, cache_shape, 2)
    mode = "Alibi" if options else "None"
    return Generated([(rows, cache)], [buffer], slots, {"layout": layout, "scatter_mode": mode, **options}, "float16")


def check(library: CoreLibrary, generated: Generated, threads: int = 1) -> None:
    want_status, want = generated.judge()
    assert want_status == [0, 0, 0, 0]
    status, got, _ = generated.run(library, threads)
    assert status == want_status
    for ours, theirs in zip(got, want, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def runs_within(block_size: int) -> Iterator[tuple[int, int]]:
    """(first offset, length), all that differ in how tiles and lines divide them."""
    for length in (*range(1, 38), 47, 48, 49, 63, 64, 65, block_size - 1, block_size):
        for offset in {0, 1, 2, 3, block_size - length}:
            if 0 <= offset <= block_size - length:
                yield offset, length


@pytest.mark.parametrize("block_size", [15, 16, 32, 48, 128])
@pytest.mark.parametrize("channels", [16, 32, 80])  # one unit, two, five
def test_pa_nz_runs_of_every_length(streaming: CoreLibrary, block_size: int, channels: int) -> None:
    for distance in DISTANCES:
        for offset, length in runs_within(block_size):
            slots = block_size + offset + np.arange(length)
            cache = (3, channels // 16, block_size, 16)
            check(streaming, key_only((length, 1, channels), cache, distance, slots, "PA_NZ"))


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("block_size", [8, 16, 64, 256])
def test_pa_nz_runs_shared_out_to_threads(streaming: CoreLibrary, block_size: int, threads: int) -> None:
    """Threads divide the tokens in the middle of blocks, sequences begin anywhere, and some tokens are padding."""
    rng = np.random.default_rng(block_size)
    for distance in DISTANCES:
        blocks = rng.permutation(640 // block_size + 4)
        slots = (blocks[:, None] * block_size + np.arange(block_size)).reshape(-1)
        slots = slots[int(rng.integers(0, block_size)) :][:640]
        slots[rng.random(slots.size) < 0.02] = -1
        cache = (len(blocks), 8, block_size, 16)
        check(streaming, key_only((slots.size, 4, 32), cache, distance, slots, "PA_NZ"), threads)


@pytest.mark.parametrize("row_bytes", [32, 64, 66, 128, 256, 272, 1152, 2048, 8192])
@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 17])
def test_norm_rows_side_by_side(streaming: CoreLibrary, row_bytes: int, tokens: int) -> None:
    slots = np.random.default_rng(tokens).permutation(40)[:tokens] + 1
    slots[tokens // 2] = -1 if tokens > 2 else slots[tokens // 2]
    for distance in (*DISTANCES, 2):
        cache = (11, 4, 1, row_bytes // 2)
        check(streaming, key_only((tokens, 1, row_bytes // 2), cache, distance, slots, "Norm"))


@pytest.mark.parametrize("heads", [1, 8, 9, 17])
@pytest.mark.parametrize("head_size", [8, 32, 33, 64, 128, 136, 576])
def test_nhsd_heads_side_by_side(streaming: CoreLibrary, heads: int, head_size: int) -> None:
    slots = np.concatenate([np.arange(5, 16), [30, 17], np.arange(48, 64), [-1, 2, 3]])
    for distance in DISTANCES:
        cache = (4, heads, 16, head_size)
        check(streaming, key_only((slots.size, heads, head_size), cache, distance, slots, "NHSD"))


@pytest.mark.parametrize("heads", [1, 8, 9, 17])
@pytest.mark.parametrize("head_size", [8, 32, 33, 64, 128, 136])
def test_alibi_heads_of_different_lengths_side_by_side(streaming: CoreLibrary, heads: int, head_size: int) -> None:
    length, rng = 40, np.random.default_rng(heads)
    for distance in DISTANCES:
        counts = rng.integers(0, length + 1, (1, heads))
        counts[0, 0] = length
        slots = (np.cumsum(counts[0]) - counts[0]).reshape(1, heads)
        slots[0, heads // 2] = -1 if heads > 2 else slots[0, heads // 2]
        cache = (int(counts.sum()) // 4 + 1, 4, 1, head_size)
        generated = key_only(
            (1, length, heads, head_size),
            cache,
            distance,
            slots,
            "Norm",
            compress_lens=counts,
            seq_lens=np.array([length]),
        )
        check(streaming, generated, 2)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("key_at", "value_at"), [(1, 2), (2, 1), (0, 2)])
@pytest.mark.parametrize("layout", ["Norm", "PA_NZ", "NHSD"])
def test_rows_sliced_out_of_one_projection(
    streaming: CoreLibrary, layout: str, key_at: int, value_at: int, threads: int
) -> None:
    """[tokens, 3, num_head, head_size]: K and V are written in turns, in runs, alone, and beside padding."""
    rng = np.random.default_rng(key_at)
    tokens, heads, blocks = 300, 3, 12
    for distance in DISTANCES:
        for block_size, value_size in ((16, 32), (64, 32), (64, 16)):
            width = (tokens, 3, heads, 32)
            fused = rng.integers(0, 256, 2 * int(np.prod(width)), dtype=np.uint8).view(np.float16).reshape(width)
            order = rng.permutation(blocks * 64 // block_size)
            slots = (order[:, None] * block_size + np.arange(block_size)).reshape(-1)[5 : tokens + 5]
            slots[[3, 100, 101, 250]] = -1
            sides, buffers = [], []
            for at, size in ((key_at, 32), (value_at, value_size)):
                shape = {
                    "Norm": (len(order), block_size, heads, size),
                    "PA_NZ": (len(order), heads * size // 16, block_size, 16),
                    "NHSD": (len(order), heads, block_size, size),
                }[layout]
                cache, buffer = cache_at(distance, shape, at)
                sides.append((fused[:, at, :, :size], cache))
                buffers.append(buffer)
            check(
                streaming,
                Generated(sides, buffers, slots, {"layout": layout, "scatter_mode": "None"}, "float16"),
                threads,
            )
