"""PyNative: ``arena.view(dtype)[a:b]`` lies where its own dtype says, whatever the arena's is; every argument, narrow to
wide and wide to narrow, views of views."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor, ops

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.cpu.eager import call_through_pointers
from ms_scatter_pa.backends.mindspore_release import has_views_of_another_dtype

if not has_views_of_another_dtype():
    pytest.skip("MindSpore before 2.8 has none", allow_module_level=True)

ITEM_SIZES = {"uint8": 1, "int8": 1, "float16": 2, "int16": 2, "float32": 4, "int32": 4, "float8_e4m3fn": 1}
INDEX_SIZES = {"int32": 4, "int64": 8}
BASES = {"uint8": 1, "float16": 2, "float32": 4, "int64": 8}
BYTES = 1 << 14


class Arena:
    """One allocation, from which tensors are cut by views only."""

    def __init__(self, base: str) -> None:
        self.bytes = np.random.default_rng(0).integers(0, 256, BYTES).astype(np.uint8)
        self.tensor = Tensor.from_numpy(self.bytes.view(base))
        self.next = 0

    def cut(self, dtype: str, item: int, shape: tuple[int, ...], gap: int, through: str | None) -> tuple[Any, Any]:
        """A view of ``shape`` and its bytes; ``through``: first a view of another dtype, cut, then this one."""
        begin = (self.next + gap * 64) // 64 * 64
        size = int(np.prod(shape)) * item
        self.next = begin + size
        whole = self.tensor
        offset = begin
        if through is not None:  # a slice of the middle dtype first: the last offset counts from there
            step = BASES[through]
            whole, offset = whole.view(getattr(ms, through))[64 // step :], begin - 64
        view = whole.view(getattr(ms, dtype))[offset // item : (offset + size) // item].view(shape)
        assert view.is_contiguous()
        return view, self.bytes[begin : begin + size]


def run(entry: str, key: Any, cache: Any, slots: Any) -> Any:
    if entry == "pointers":
        return call_through_pointers(
            key, None, cache, None, slots, None, None, None, "Norm", None, "raise", False, None
        )
    if entry == "queued":  # not on this very thread: the queue is busy
        busy = Tensor(np.ones((300, 300), np.float32))
        for _ in range(3):
            busy = ops.matmul(busy, busy) * 1e-3
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")


@pytest.mark.parametrize("entry", ["here", "queued", "pointers"])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dtype", ITEM_SIZES)
@given(data=st.data())
@settings(max_examples=4, deadline=None)
def test_every_argument_of_one_arena(entry: str, base: str, dtype: str, data: st.DataObject) -> None:
    item, arena = ITEM_SIZES[dtype], Arena(base)
    index = data.draw(st.sampled_from(sorted(INDEX_SIZES)))
    gaps = data.draw(st.lists(st.integers(1, 9), min_size=3, max_size=3))
    through = data.draw(st.sampled_from([None, *BASES]))
    tokens, num_blocks, block_size, row = 3, 3, 4, 16
    if item == 1 and dtype.startswith("float8"):
        through = None
    slots, slot_bytes = arena.cut(index, INDEX_SIZES[index], (tokens,), gaps[0], None)
    key, key_bytes = arena.cut(dtype, item, (tokens, 1, row), gaps[1], through)
    cache, cache_bytes = arena.cut(dtype, item, (num_blocks, block_size, 1, row), gaps[2], through)
    wanted = data.draw(st.permutations(range(num_blocks * block_size)))[:tokens]
    slot_bytes.view(index)[...] = wanted
    want = arena.bytes.copy()
    start = cache_bytes.ctypes.data - arena.bytes.ctypes.data
    for token, slot in enumerate(wanted):
        width = row * item
        want[start + slot * width : start + (slot + 1) * width] = key_bytes[token * width : (token + 1) * width]
    status = run(entry, key, cache, slots)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert np.array_equal(arena.bytes, want)
