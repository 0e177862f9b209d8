"""Edges of the contract: huge sizes, smallest caches, slots near the limits of their type, empty calls."""

from dataclasses import replace
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES
from tests.support.cases import SCENARIOS, Spec
from tests.support.entries import GRAPH, PYNATIVE, check
from tests.support.examples import example_case

ENTRIES = {**PYNATIVE, **GRAPH}


@pytest.mark.parametrize("entry", PYNATIVE)
@pytest.mark.parametrize("row", SCENARIOS)
@pytest.mark.parametrize(("blocks", "block_size"), [(1, 1), (1, 16), (16, 1), (1, 7)])
def test_one_block_and_blocks_of_one_row(row: str, blocks: int, block_size: int, entry: str) -> None:
    for seed in range(4):
        check(example_case(Spec(row, blocks=blocks, block_size=block_size), seed), ENTRIES[entry])


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("row", SCENARIOS)
def test_empty_calls_write_nothing(row: str, entry: str) -> None:
    for spec in (Spec(row, tokens=0, batch=0), Spec(row, tokens=0, batch=0, value_size=None)):
        check(example_case(spec, 1), ENTRIES[entry])


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["", "dynamic"])
@pytest.mark.parametrize("rows", [(0, 64), (1, 0, 64), (3, 0, 64), (0, 5, 64), (0, 2, 32)])
def test_no_token_in_every_form_of_rows(rows: tuple[int, ...], dynamic: bool, mode: int) -> None:
    class Write(nn.Cell):
        def construct(self, key: Any, cache: Any, slots: Any) -> Any:
            return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")

    before = np.random.default_rng(0).standard_normal((3, 4, 2, 32)).astype(np.float16)
    cache, slots = Tensor(before), Tensor(np.zeros(0, np.int32))
    ms.set_context(mode=mode)
    try:
        net = Write()
        if dynamic:
            shape = [None if i < len(rows) - (2 if rows[-1] == 32 else 1) else dim for i, dim in enumerate(rows)]
            net.set_inputs(Tensor(shape=shape, dtype=ms.float16), cache, Tensor(shape=[None], dtype=ms.int32))
        assert net(Tensor(np.zeros(rows, np.float16)), cache, slots).asnumpy().tolist() == [0, 0, 0, 0]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert np.array_equal(cache.asnumpy(), before)


@pytest.mark.parametrize("mode", CACHE_MODES)
def test_a_block_size_of_0_that_a_dynamic_graph_learns_at_run_time(mode: str) -> None:
    class Write(nn.Cell):
        def construct(self, key: Any, cache: Any, slots: Any) -> Any:
            return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode=mode, on_error="record")

    shapes = {"Norm": (2, 0, 2, 16), "PA_NZ": (2, 2, 0, 16), "NHSD": (2, 2, 0, 16)}
    dynamic = [None if dim == 0 else dim for dim in shapes[mode]]
    key, slots = Tensor(np.ones((3, 2, 16), np.float16)), Tensor(np.full(3, -1, np.int32))
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        net = Write()
        net.set_inputs(key, Tensor(shape=dynamic, dtype=ms.float16), slots)
        status = net(key, Tensor(np.zeros(shapes[mode], np.float16)), slots).asnumpy().tolist()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert status == [4, 2, 0, 1]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("row", COMPRESSED_MODES)
@pytest.mark.parametrize("packed", [False, True])
def test_sequences_of_length_0_write_nothing(row: str, packed: bool, entry: str) -> None:
    spec = Spec(row, packed=packed, tokens=0, seq=0, batch=3)
    check(example_case(spec, 1), ENTRIES[entry])


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("row", SCENARIOS)
def test_all_slots_negative_is_a_no_op(row: str, entry: str) -> None:
    case = example_case(Spec(row, index="int64"), 1)
    lowest = [-1, -(2**31), -(2**63), -7]
    shape = case.arrays["slot_mapping"].shape
    case.arrays["slot_mapping"] = np.resize(np.array(lowest, np.int64), shape)
    check(case, ENTRIES[entry])
    assert np.array_equal(case.expected.key_cache.view(np.uint16), case.arrays["key_cache"].view(np.uint16))


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_block_at_all(entry: str) -> None:
    """num_blocks = 0: nothing fits, and a call of negative slots is legal."""
    case = example_case(Spec("Norm", blocks=0), 1)
    case.arrays["slot_mapping"] = np.full(5, -1, np.int32)
    check(case, ENTRIES[entry])


BOUNDS = [16, 17, 2**31 - 1, 2**31, 2**32, 2**32 + 3, 2**62, 2**63 - 1]


@pytest.mark.parametrize("row", SCENARIOS)
@pytest.mark.parametrize("slot", BOUNDS)
def test_slots_are_never_narrowed(row: str, slot: int) -> None:
    """2**32 + 3 is not slot 3, and 2**63 - 1 plus a run's rows does not wrap."""
    case = example_case(Spec(row, index="int64"), 1, padding=0.0)
    case.arrays["slot_mapping"].reshape(-1)[1] = slot
    if row in COMPRESSED_MODES:
        case.arrays["seq_lens"][:], case.arrays["compress_lens"][:] = 5, 2
        if row != "Alibi":
            case.arrays["compress_seq_offsets"][:] = 1
        case.arrays["slot_mapping"].reshape(-1)[[0, 2, 3]] = -1
    for entry in PYNATIVE.values():
        got = entry(case, "record")
        assert got.status == [1, 1, slot, 16] == case.expected.status
        assert np.array_equal(got.key_cache.view(np.uint16), case.arrays["key_cache"].view(np.uint16))


HUGE = {  # over 2**32 bytes each; untouched pages of an empty tensor take no memory
    "Norm": ((2**17 + 3, 128, 4, 72), (3, 4, 72)),
    "PA_NZ": ((2**17 + 3, 9, 128, 32), (3, 4, 72)),
    "NHSD": ((2**17 + 3, 4, 128, 72), (3, 4, 72)),
}


@pytest.mark.parametrize("path", ["functional", "graph"])
@pytest.mark.parametrize("layout", HUGE)
def test_a_cache_of_more_than_2_to_the_32_elements_is_written_near_its_end(layout: str, path: str) -> None:
    shape, rows = HUGE[layout]
    assert np.prod(shape, dtype=np.int64) > 2**32 + 2**29
    array = np.empty(shape, np.int8)
    cache = Tensor.from_numpy(array)
    block_size = 128
    capacity = shape[0] * block_size
    slots = np.array([capacity - 1, 2**32 // (4 * 72), capacity - block_size - 1], np.int64)
    neighbours = [(s + step) for s in slots.tolist() for step in (-1, 1) if s + step < capacity]

    def read(slot: int) -> np.ndarray:
        block, offset = divmod(slot, block_size)
        if layout == "Norm":
            return array[block, offset].reshape(-1)
        if layout == "NHSD":
            return array[block, :, offset].reshape(-1)
        return array[block, :, offset].reshape(-1)

    wrapped = [slot % (2**32 // (4 * 72)) for slot in slots.tolist()]  # where 32-bit offsets would land, or near it
    before = {slot: read(slot).copy() for slot in neighbours + wrapped}
    key = np.random.default_rng(1).integers(-128, 128, rows).astype(np.int8)

    def write(key: ms.Tensor, cache: ms.Tensor, slots: ms.Tensor) -> ms.Tensor:
        return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode=layout)

    run = write if path == "functional" else HUGE_GRAPHS[layout]
    assert run(Tensor(key), cache, Tensor(slots)).asnumpy().tolist() == [0, 0, 0, 0]
    for token, slot in enumerate(slots.tolist()):
        assert np.array_equal(read(slot), key[token].reshape(-1))
    for slot, row in before.items():
        assert np.array_equal(read(slot), row)


def _graph(layout: str) -> object:
    @ms.jit
    def write(key: ms.Tensor, cache: ms.Tensor, slots: ms.Tensor) -> ms.Tensor:
        return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode=layout)

    return write


HUGE_GRAPHS = {layout: _graph(layout) for layout in HUGE}


def test_an_empty_tensor_of_mindspore_over_2_to_the_32_elements() -> None:
    cache = mint.empty((2**25 + 1, 1, 2, 80), dtype=ms.int8, device="CPU")
    slots = Tensor(np.array([2**25, 0], np.int64))
    key = np.arange(2 * 2 * 80, dtype=np.int8).reshape(2, 2, 80)
    npu_scatter_pa_kv_cache(Tensor(key), None, cache, None, slots, cache_mode="Norm").asnumpy()
    assert np.array_equal(cache[2**25, 0].asnumpy(), key[0]) and np.array_equal(cache[0, 0].asnumpy(), key[1])


def test_dk_differs_from_dv_everywhere() -> None:
    for row in SCENARIOS:
        for sizes in ((16, 48), (64, 16)):
            spec = replace(Spec(row), key_size=sizes[0], value_size=sizes[1])
            for entry in PYNATIVE.values():
                check(example_case(spec, 1), entry)
