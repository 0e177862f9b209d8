"""What CANN's callers spell otherwise: rows by strides and offsets ("Nct"), and no value as tensors without elements."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint

from ms_scatter_pa import (
    ScatterPaKvCache,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
)
from ms_scatter_pa.backends.cpu.eager import call_through_pointers
from tests.support.arrays import DTYPE_NAMES, random_array, to_array, to_tensor

BLOCKS, BLOCK_SIZE, HEADS, SIZE, TOKENS = 4, 4, 2, 16, 5
SLOTS = np.array([3, 4, -1, 15, 0], np.int32)
ROW = HEADS * SIZE


def cache_with(rows: Any, cache: Any) -> Any:
    """Norm."""
    want = cache.copy()
    for token, slot in enumerate(SLOTS.tolist()):
        if slot >= 0:
            want[slot // BLOCK_SIZE, slot % BLOCK_SIZE] = rows[token]
    return want


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
def test_nct_takes_rows_from_a_fused_projection(dtype: str) -> None:
    """K and V behind the query in one array, each named by the array's first rows, a stride and an offset."""
    rng = np.random.default_rng(1)
    fused = random_array(rng, (TOKENS, 3, HEADS, SIZE), dtype)
    first = mint.select(to_tensor(fused, dtype), 1, 0)
    arrays = [random_array(rng, (BLOCKS, BLOCK_SIZE, HEADS, SIZE), dtype) for _ in range(2)]
    caches = [to_tensor(array, dtype) for array in arrays]
    modes = {"cache_mode": "Norm", "scatter_mode": "Nct", "strides": (3 * ROW, 3 * ROW), "offsets": (ROW, 2 * ROW)}
    status = npu_scatter_pa_kv_cache(first, first, *caches, Tensor(SLOTS), **modes)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    for side in range(2):
        assert to_array(caches[side], dtype).tobytes() == cache_with(fused[:, 1 + side], arrays[side]).tobytes()


def test_nct_counts_from_the_first_element_of_a_view() -> None:
    fused = np.random.default_rng(2).standard_normal((TOKENS, 3, HEADS, SIZE)).astype(np.float16)
    key = Tensor(fused)[:, 1]
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)
    target = Tensor(cache)
    npu_scatter_pa_kv_cache(
        key, None, target, None, Tensor(SLOTS), cache_mode="Norm", scatter_mode="Nct", strides=[3 * ROW, 1]
    )
    assert target.asnumpy().tobytes() == cache_with(fused[:, 1], cache).tobytes()


@pytest.mark.parametrize(
    ("modes", "error", "says"),
    [
        ({"scatter_mode": "Nct"}, ValueError, "strides: given None with scatter_mode 'Nct'"),
        ({"strides": (ROW, ROW)}, ValueError, "strides, offsets: given with scatter_mode None, expected 'Nct'"),
        ({"scatter_mode": "Rope", "offsets": (0, 0)}, ValueError, "given with scatter_mode 'Rope', expected 'Nct'"),
        ({"scatter_mode": "Nct", "strides": (0, ROW)}, ValueError, r"strides: given \(0, 32\), expected two ints >= 1"),
        ({"scatter_mode": "Nct", "strides": (ROW,)}, ValueError, r"strides: given \(32,\), expected two ints"),
        ({"scatter_mode": "Nct", "strides": ROW}, TypeError, "strides: given 32, expected two ints"),
        ({"scatter_mode": "Nct", "strides": (ROW, 2.0)}, TypeError, "strides: given .* expected two ints"),
        ({"scatter_mode": "Nct", "strides": (ROW, True)}, TypeError, "strides: given .* expected two ints"),
        (
            {"scatter_mode": "Nct", "strides": (2**70, 1)},
            ValueError,
            r"given 1180591620717411303424 and 0 for key \[5, 2, 16\], which has 160 elements",
        ),
        (
            {"scatter_mode": "Nct", "strides": (ROW, ROW), "offsets": (-1, 0)},
            ValueError,
            r"offsets: given \(-1, 0\), expected two ints >= 0",
        ),
        (
            {"scatter_mode": "Nct", "strides": (ROW + 1, ROW)},
            ValueError,
            r"given 33 and 0 for key \[5, 2, 16\], which has 160 elements .* not after 164",
        ),
        (
            {"scatter_mode": "Nct", "strides": (ROW, ROW), "seq_lens": Tensor([1])},
            ValueError,
            "'Nct' with compress_lens, compress_seq_offsets or seq_lens",
        ),
    ],
)
def test_nct_refusals(modes: dict[str, Any], error: type[Exception], says: str) -> None:
    key = Tensor(np.ones((TOKENS, HEADS, SIZE), np.float16))
    cache = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    with pytest.raises(error, match=says):
        npu_scatter_pa_kv_cache(key, None, cache, None, Tensor(SLOTS), cache_mode="Norm", **modes)
    assert not cache.asnumpy().any()


@pytest.mark.parametrize(("below", "above"), [("uint8", "float16"), ("float16", "uint8"), ("float32", "float16")])
def test_nct_ends_with_the_memory_of_a_view_of_another_dtype(below: str, above: str) -> None:
    """MindSpore gives such a view the item size of the memory below it; rows end where that memory does all the same."""
    items = 4 * ROW
    memory = np.arange(items * np.dtype(above).itemsize, dtype=np.uint8)
    key = to_tensor(memory.view(below), below).view(getattr(ms, above))[ROW : 2 * ROW].view(1, HEADS, SIZE)
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), above)
    target, slots = to_tensor(cache, above), Tensor(np.array([5], np.int32))
    modes = {"cache_mode": "Norm", "scatter_mode": "Nct", "strides": (1, 1)}
    room = items - ROW  # from the view's first element on
    with pytest.raises(ValueError, match=f"which has {room} elements from its first one on"):
        npu_scatter_pa_kv_cache(key, None, target, None, slots, offsets=(room - ROW + 1, 0), **modes)
    npu_scatter_pa_kv_cache(key, None, target, None, slots, offsets=(room - ROW, 0), **modes)
    cache[1, 1] = memory.view(above)[-ROW:].reshape(HEADS, SIZE)
    assert to_array(target, above).tobytes() == cache.tobytes()


@pytest.mark.parametrize("stride", [1, 2**62, 2**63, 2**70])
def test_nct_with_one_row_has_any_stride(stride: int) -> None:
    key = np.ones((1, HEADS, SIZE), np.float16)
    target = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    modes = {"cache_mode": "Norm", "scatter_mode": "Nct", "strides": (stride, stride)}
    npu_scatter_pa_kv_cache(Tensor(key), None, target, None, Tensor([5]), **modes)
    assert target.asnumpy()[1, 1].tobytes() == key.tobytes()


def test_nct_takes_numpys_ints() -> None:
    key = np.random.default_rng(4).standard_normal((TOKENS, HEADS, SIZE)).astype(np.float16)
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)
    target = Tensor(cache)
    modes = {"scatter_mode": "Nct", "strides": [np.int64(ROW)] * 2, "offsets": (np.int32(0), 0)}
    npu_scatter_pa_kv_cache(Tensor(key), None, target, None, Tensor(SLOTS), cache_mode="Norm", **modes)
    assert target.asnumpy().tobytes() == cache_with(key, cache).tobytes()


def test_nct_with_a_value_without_elements() -> None:
    key = np.random.default_rng(5).standard_normal((TOKENS, HEADS, SIZE)).astype(np.float16)
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)
    for shape in ((0,), (0, HEADS, SIZE), (TOKENS, HEADS, 0)):
        target, nothing = Tensor(cache), mint.zeros(shape, dtype=ms.float16)
        modes = {"cache_mode": "Norm", "scatter_mode": "Nct", "strides": (ROW, ROW)}
        npu_scatter_pa_kv_cache(Tensor(key), nothing, target, nothing, Tensor(SLOTS), **modes)
        assert target.asnumpy().tobytes() == cache_with(key, cache).tobytes()


def test_nct_is_refused_in_a_graph() -> None:
    @ms.jit
    def write(key: Any, cache: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, cache, None, slots, scatter_mode="Nct", strides=(ROW, ROW))

    key = Tensor(np.ones((TOKENS, HEADS, SIZE), np.float16))
    cache = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    with pytest.raises(ValueError, match="scatter_mode: given 'Nct' in a graph, expected PyNative"):
        write(key, cache, Tensor(SLOTS))


@ms.jit
def in_graph(key: Any, value: Any, key_cache: Any, value_cache: Any, slots: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slots, cache_mode="Norm")


# Functions of (key, value, key_cache, value_cache, slots).
EMPTY_ENTRIES = {
    "functional": lambda *call: npu_scatter_pa_kv_cache(*call, cache_mode="Norm"),
    "pointers": lambda *call: call_through_pointers(*call, None, None, None, "Norm", None, "raise", False, None),
    "graph": in_graph,
}


@pytest.mark.parametrize("entry", EMPTY_ENTRIES)
@pytest.mark.parametrize(
    "empty", [((0,), (0,)), ((0, HEADS, SIZE), (0, BLOCK_SIZE, HEADS, SIZE)), ((TOKENS, 0), (0, 9))]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])  # of what is not there
def test_a_value_without_elements_is_none(entry: str, empty: tuple[Any, Any], dtype: Any) -> None:
    rng = np.random.default_rng(3)
    key, cache = (
        rng.standard_normal((n, *m, HEADS, SIZE)).astype(np.float16) for n, m in ((TOKENS, ()), (BLOCKS, (BLOCK_SIZE,)))
    )
    target = Tensor(cache)
    value, value_cache = (mint.zeros(shape, dtype=getattr(ms, np.dtype(dtype).name)) for shape in empty)
    status = EMPTY_ENTRIES[entry](Tensor(key), value, target, value_cache, Tensor(SLOTS))
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert target.asnumpy().tobytes() == cache_with(key, cache).tobytes()


@pytest.mark.parametrize("entry", EMPTY_ENTRIES)
@pytest.mark.parametrize("which", ["value", "value_cache"])
def test_none_beside_a_tensor_without_elements(which: str, entry: str) -> None:
    """A caller that always passes an empty value, with a cache that has no V."""
    rng = np.random.default_rng(6)
    key, cache = (rng.standard_normal((n, *m, HEADS, SIZE)) for n, m in ((TOKENS, ()), (BLOCKS, (BLOCK_SIZE,))))
    key, cache = key.astype(np.float16), cache.astype(np.float16)
    target, nothing = Tensor(cache), mint.zeros((0,), dtype=ms.float16)
    value, value_cache = (nothing, None) if which == "value" else (None, nothing)
    EMPTY_ENTRIES[entry](Tensor(key), value, target, value_cache, Tensor(SLOTS))
    assert target.asnumpy().tobytes() == cache_with(key, cache).tobytes()


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_a_key_only_cell_and_an_empty_value(mode: int) -> None:
    key = np.random.default_rng(7).standard_normal((TOKENS, HEADS, SIZE)).astype(np.float16)
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)
    target = Parameter(Tensor(cache), name="key_cache", requires_grad=False)
    ms.set_context(mode=mode)
    try:
        cell = ScatterPaKvCache(target, cache_mode="Norm")
        cell(Tensor(key), mint.zeros((0, HEADS, SIZE), dtype=ms.float16), Tensor(SLOTS))
        assert target.asnumpy().tobytes() == cache_with(key, cache).tobytes()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def quantise(key: Any, value: Any, key_cache: Any, value_cache: Any, slots: Any, scale: Any) -> Any:
    return quant_scatter_pa_kv_cache(key, value, key_cache, value_cache, slots, key_scale=scale, cache_mode="Norm")


def gather(key_cache: Any, value_cache: Any, tables: Any, lengths: Any, key: Any, value: Any) -> Any:
    return npu_gather_pa_kv_cache(key_cache, value_cache, tables, lengths, key, value, cache_mode="Norm")


@pytest.mark.parametrize("absent", ["both", "value", "value_cache"])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_operators_beside_the_write_take_it_too(compiled: bool, absent: str) -> None:
    write, read = (ms.jit(quantise), ms.jit(gather)) if compiled else (quantise, gather)
    codes = np.random.default_rng(8).integers(-127, 128, (TOKENS, HEADS, SIZE)).astype(np.float16)
    cache = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.int8))
    value, value_cache = (
        None if absent not in ("both", name) else mint.zeros((0,), dtype=dtype)
        for name, dtype in (("value", ms.float16), ("value_cache", ms.int8))
    )
    slots = Tensor(np.arange(TOKENS, dtype=np.int32))
    scale = Tensor(np.ones(1, np.float32))
    assert write(Tensor(codes), value, cache, value_cache, slots, scale).asnumpy().tolist() == [0, 0, 0, 0]
    back = Tensor(np.zeros((TOKENS, HEADS, SIZE), np.int8))
    tables, lengths = Tensor(np.array([[0, 1]], np.int32)), Tensor(np.array([TOKENS], np.int32))
    value = None if value is None else mint.zeros((0, HEADS, SIZE), dtype=ms.int8)
    assert read(cache, value_cache, tables, lengths, back, value).asnumpy().tolist() == [0, 0, 0, 0]
    assert back.asnumpy().tobytes() == codes.astype(np.int8).tobytes()


@pytest.mark.parametrize("entry", ["functional", "pointers"])
def test_one_empty_tensor_is_no_key_only_write(entry: str) -> None:
    key = Tensor(np.ones((TOKENS, HEADS, SIZE), np.float16))
    caches = [Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)) for _ in range(2)]
    with pytest.raises(ValueError, match="value"):
        EMPTY_ENTRIES[entry](key, mint.zeros((0, HEADS, SIZE), dtype=ms.float16), *caches, Tensor(SLOTS))
    assert not any(cache.asnumpy().any() for cache in caches)
