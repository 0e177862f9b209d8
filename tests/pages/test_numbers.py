"""Counts, slots and blocks of every integer type are the same numbers; what does not fit is refused."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa import PagedKVCache
from ms_scatter_pa.pages import BlockAllocator, BlockManager, blocks_for, pad_block_tables, pad_slot_mapping

TYPES = [int, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_integer_type_counts_alike(kind: Any, data: st.DataObject) -> None:
    """The same calls, with Python ints and with ``kind``."""
    numbers = st.integers(0, 60)
    steps = data.draw(st.lists(st.tuples(st.sampled_from("afgsr"), numbers, numbers), max_size=8))
    sizes = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5)), data.draw(st.integers(0, 20)))

    def run(number: Any) -> list[Any]:
        manager = BlockManager(*map(number, sizes))
        seen: list[Any] = [manager.num_free_blocks, manager.can_allocate(number(100))]
        for step, (what, a, b) in enumerate(steps):
            try:
                if what == "a":
                    seen.append(manager.allocate(step, number(a)))
                elif what == "g":
                    seen.append((manager.can_append(a % 8, number(b)), manager.append(a % 8, number(b))))
                elif what == "f":
                    seen.append(manager.fork(a % 8, step, number(b)))
                elif what == "s":
                    seen.append(manager.slots(a % 8, number(min(a, b)), number(max(a, b))))
                else:
                    seen.append(manager.ref_count(number(a)))
            except (RuntimeError, ValueError, KeyError, IndexError) as error:
                seen.append(f"{type(error).__name__}: {error}")
        return [*seen, {name: (manager.num_tokens(name), manager.block_table(name)) for name in manager.seq_ids}]

    assert run(kind) == run(int)


@pytest.mark.parametrize("kind", TYPES)
def test_every_integer_type_in_an_allocator(kind: Any) -> None:
    allocator = BlockAllocator(kind(6))
    assert allocator.allocate(kind(3)) == [0, 1, 2]
    allocator.share([kind(1), kind(2)])
    allocator.free(np.array([2, 1, 0], kind))
    assert [allocator.ref_count(kind(block)) for block in range(7)] == [0, 1, 1, 0, 0, 0, 0]
    assert blocks_for(kind(9), kind(4)) == 3
    assert pad_slot_mapping([[kind(4), kind(5)], np.array([9], kind)], kind(2)).tolist() == [4, 5, 9, -1]


def test_unsigned_counts_do_not_wrap() -> None:
    manager = BlockManager(4, 4)
    manager.allocate("a", 6)
    manager.fork("a", "b", np.uint32(6))
    assert manager.block_table("b") == [0, 1]
    assert not manager.can_allocate(np.uint32(1000))
    assert blocks_for(np.uint8(255), np.uint8(2)) == 128


@pytest.mark.parametrize("number", [1.0, np.float32(2), "3", None, np.array([1, 2])])
def test_what_is_no_integer_is_refused(number: Any) -> None:
    manager = BlockManager(4, 4)
    manager.allocate("a", 1)
    for call in (
        lambda: BlockManager(number, 4),
        lambda: BlockManager(4, number),
        lambda: manager.allocate("b", number),
        lambda: manager.append("a", number),
        lambda: manager.can_allocate(number),
        lambda: manager.ref_count(number),
        lambda: blocks_for(number, 2),
        lambda: pad_slot_mapping([[number]], 2),
    ):
        with pytest.raises(TypeError, match=r"expected .*integer"):
            call()
    assert manager.seq_ids == ["a"]


def test_blocks_that_do_not_exist_are_refused() -> None:
    allocator = BlockAllocator(4)
    allocator.allocate(4)
    for blocks in ([-1], [4], [2**40], [0, -4]):
        with pytest.raises(ValueError, match="not all in use"):
            allocator.free(blocks)
    with pytest.raises(ValueError, match="int64 does not hold"):
        allocator.free([2**63])
    assert allocator.num_free == 0


@pytest.mark.parametrize("slot", [2**31 - 1, 2**31, 2**40, 2**63 - 1])
def test_padding_never_narrows(slot: int) -> None:
    for rows in ([[slot, 3]], [np.array([slot, 3])], [np.array([slot, 3], np.uint64)], [[np.uint64(slot), 3]]):
        assert pad_slot_mapping(rows, 3).tolist() == [slot, 3, -1]
        assert pad_block_tables(rows, 3).tolist() == [[slot, 3, 0]]
        if slot >= 2**31:
            with pytest.raises(ValueError, match=f"{slot} does not fit in int32"):
                pad_slot_mapping(rows, 3, np.int32)
    with pytest.raises(ValueError, match="int64 does not hold"):
        pad_slot_mapping([np.array([2**63], np.uint64)], 1)
    for padding in (2**63, np.uint64(2**63), 2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match=r"padding: given .* int64 does not hold"):
            pad_block_tables([[slot]], 3, padding)
    with pytest.raises(TypeError, match="expected int32 or int64"):
        pad_slot_mapping([[1]], 1, np.int16)


def test_slots_past_two_to_the_31() -> None:
    sizes = {"num_layers": 1, "block_size": 1 << 20, "num_kv_heads": 1, "head_size": 1}
    cache = PagedKVCache(**sizes, num_blocks=2050, dtype="int8", key_only=True)
    for name in range(2047):
        cache.allocate(name, 1)
    late = [cache.allocate("border", (1 << 20) + 2)[-3:], cache.slots("border", 5, 7)]
    assert late == [[2**31 - 1, 2**31, 2**31 + 1], [(2047 << 20) + 5, (2047 << 20) + 6]]
    batch = (["border", None, "border"], [3, 0, 1])
    for options in ({}, {"dtype": ms.int64}):
        assert cache.slot_mapping(*batch, **options).asnumpy().tolist() == [*late[0], 2**31 + 1]
        assert cache.slot_mapping(*batch, width=3, **options).asnumpy().tolist()[-3:] == [2**31 + 1, -1, -1]
        assert cache.slot_mapping(*batch, pad_to=5, **options).asnumpy().tolist() == [*late[0], 2**31 + 1, -1]
    for options in ({}, {"width": 4}, {"pad_to": 9}):
        with pytest.raises(ValueError, match=r"slot_mapping: 2147483649 does not fit in int32; expected dtype int64"):
            cache.slot_mapping(*batch, dtype=ms.int32, **options)
    assert cache.slot_mapping([2046], [1], dtype=ms.int32).asnumpy().tolist() == [2046 << 20]
    with pytest.raises(TypeError, match="expected int32 or int64"):
        cache.slot_mapping([2046], [1], dtype=ms.float32)


def test_slots_that_int64_does_not_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="less than"):
        BlockManager(1 << 20, 1 << 43)


def test_a_graph_sees_one_dtype_whatever_the_slots() -> None:
    """By default the dtype is the cache's, not the step's: a compiled graph stays."""
    sizes = {"num_layers": 1, "block_size": 1 << 20, "num_kv_heads": 1, "head_size": 1, "key_only": True}
    large = PagedKVCache(**sizes, num_blocks=2050, dtype="int8")
    small = PagedKVCache(**sizes, num_blocks=4, dtype="int8")
    for cache, dtype in ((large, ms.int64), (small, ms.int32)):
        cache.allocate("a", 1)
        assert cache.slot_mapping(["a"], [1]).dtype == dtype
