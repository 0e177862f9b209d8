"""Bugs planted in the kernel itself: the twin, or the comparison with the definition, catches every one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ascendc_cases as cases
import numpy as np
import pytest
from test_compressed import make_call, mean_elements

from tests.ascendc.host_model import runner
from tests.ascendc.host_model.runner import Call, Twin, TwinFault

KERNEL = Path(__file__).resolve().parents[2] / "aicore_kernels" / "op_kernel"


def _tokens(layout: str, runs: bool = True) -> Call:
    rng = np.random.default_rng(0)
    shape = cases.cache_shape(layout, 90, 16, 2, 64, "float16")
    key = cases.random_bits(rng, (1300, 2, 64), "float16")
    slots = np.arange(20, 1320) if runs else rng.permutation(1440)[:1300]
    slots[[5, 600]] = (-1, 99_999)
    return Call(key, None, cases.random_bits(rng, shape, "float16"), None, slots, layout, key_dtype="float16")


def _rope(dtype: str) -> Call:
    call = make_call(np.random.default_rng(2), "Rope", False, dtype, 2, 60, 2, (80, 40), 16, np.int32)
    assert call.compress_lens is not None and call.compress_seq_offsets is not None and call.seq_lens is not None
    lengths = np.repeat(call.seq_lens, 2)
    call.compress_seq_offsets[:] = np.minimum(2, lengths)
    call.compress_lens.reshape(-1)[:] = np.maximum(lengths - 4, 0)
    return call


Make = Callable[[], Call]
BUGS: dict[str, tuple[str, str, str, Make]] = {
    "slots read before they arrive": (
        "ms_scatter_pa_index_window.h",
        "    Sync<AscendC::HardEvent::MTE2_S>();\n",
        "",
        lambda: _tokens("Norm"),
    ),
    "slots overwritten while they are read": (
        "ms_scatter_pa_index_window.h",
        "    Sync<AscendC::HardEvent::S_MTE2>();\n",
        "",
        lambda: _tokens("Norm"),
    ),
    "status stored before it is complete": (
        "ms_scatter_pa_status.h",
        "    Sync<AscendC::HardEvent::S_MTE3>();\n",
        "",
        lambda: _tokens("Norm"),
    ),
    "no upper bound on slots": (
        "ms_scatter_pa_slot_mapping.h",
        "slot >= capacity_)",
        "slot < 0)",
        lambda: _tokens("Norm"),
    ),
    "no skip of negative slots": (
        "ms_scatter_pa_slot_mapping.h",
        "if (slot < 0) {\n      return -1;",
        "if (slot < 0) {\n      return 0;",
        lambda: _tokens("Norm"),
    ),
    "runs across blocks": (
        "ms_scatter_pa_copy_groups.h",
        "(slot / block_size_ + 1) * block_size_)",
        "INT64_MAX)",
        lambda: _tokens("PA_NZ"),
    ),
    "rows freed before they are transposed": (
        "ms_scatter_pa_copy_groups.h",
        "    Transpose(tile,",
        "    load_queue_.FreeTensor(loaded);\n    Transpose(tile,",
        lambda: _tokens("PA_NZ"),
    ),
    "transposed tile stored without the queue": (
        "ms_scatter_pa_copy_groups.h",
        "    store_queue_.EnQue(tile);\n    tile = store_queue_.DeQue<uint8_t>();\n",
        "",
        lambda: _tokens("NHSD"),
    ),
    "one group too many": (
        "ms_scatter_pa_copy_groups.h",
        "(column_end - column) / group, copy_bytes_ / pitch)",
        "(column_end - column) / group + 1, copy_bytes_ / pitch)",
        lambda: _tokens("PA_NZ", runs=False),
    ),
    "cores cut rows at different places": (
        "ms_scatter_pa_copy_rows.h",
        "const int64_t end = part.to.tile * row + part.to.column;",
        "const int64_t end = part.to.tile * row + part.to.column + 32;",
        lambda: _tokens("Norm"),
    ),
    "32-bit cache offsets": (
        "ms_scatter_pa_copy_rows.h",
        "slot * row + begin - token * row",
        "static_cast<int64_t>(static_cast<int8_t>(slot)) * row + begin - token * row",
        lambda: _tokens("Norm"),
    ),
    "sums read while they are added to": (
        "ms_scatter_pa_mean.h",
        "      AscendC::Add(sums, sums, wide[static_cast<uint32_t>(row * pitch)], count);\n"
        "      AscendC::PipeBarrier<PIPE_V>();\n",
        "      AscendC::Add(sums, sums, wide[static_cast<uint32_t>(row * pitch)], count);\n",
        lambda: _rope("float16"),
    ),
    "division before the sums are complete": (
        "ms_scatter_pa_mean.h",
        "    AscendC::LocalTensor<uint32_t> bits = sums_.Get<uint32_t>();\n    Sync<AscendC::HardEvent::V_S>();\n",
        "    AscendC::LocalTensor<uint32_t> bits = sums_.Get<uint32_t>();\n",
        lambda: _rope("bfloat16"),
    ),
    "mean stored while it is rounded": (
        "ms_scatter_pa_mean.h",
        "    Sync<AscendC::HardEvent::V_MTE3>();\n",
        "",
        lambda: _rope("float32"),
    ),
    "integer mean overwritten while it is stored": (
        "ms_scatter_pa_mean.h",
        "      Sync<AscendC::HardEvent::MTE3_S>();\n",
        "",
        lambda: _rope("int16"),
    ),
    "the tail of Rope starts again at row 0": (
        "ms_scatter_pa_copy_pairs.h",
        "CopyRows(side, pair, pair.mean_end,",
        "CopyRows(side, pair, 0,",
        lambda: _rope("int8"),
    ),
}


def _build_with(folder: Path, rest: Path, file: str, good: str, bad: str) -> Twin:
    """The twin around a copy of the kernel in which one place is wrong; only the kernel is compiled anew."""
    kernel = folder / "op_kernel"
    kernel.mkdir(parents=True)
    for path in KERNEL.iterdir():
        text = path.read_text()
        if path.name == file:
            assert good in text, f"{file} no longer contains {good!r}"
            text = text.replace(good, bad)
        (kernel / path.name).write_text(text)
    return Twin(runner.build(folder, "-O0", sources=[kernel / "ms_scatter_pa_kv_cache.cpp", rest]))


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Twin]:
    root = tmp_path_factory.mktemp("mutants")
    others = [path for path in runner.SOURCES if path.parent != KERNEL]
    rest = runner.build(root, "-O0", "-r", "-nostdlib", sources=others, name="rest.o")
    with ThreadPoolExecutor(2) as pool:
        built = pool.map(
            lambda item: (item[1][0], _build_with(root / str(item[0]), rest, *item[1][1][:3])), enumerate(BUGS.items())
        )
        return dict(built)


def _caught(twin: Twin, call: Call) -> bool:
    want = cases.expect(call)
    return any(_differs(twin, call, want, cores) for cores in (1, 5))


def _differs(twin: Twin, call: Call, want: cases.Expected, cores: int) -> bool:
    got = cases.copy_of(call)
    try:
        run = twin.run(got, cores=cores)
    except TwinFault:
        return True
    dtype = call.key_dtype or "float16"
    mean = mean_elements(call, want.key_cache)
    return run.status != want.status or bool(cases.differences(got.key_cache, want.key_cache, dtype, mean).size)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(twin: Twin, mutants: dict[str, Twin], bug: str) -> None:
    call = BUGS[bug][3]()
    assert not _caught(twin, call), "the kernel without the bug must pass"
    assert _caught(mutants[bug], call)
