"""No block is lost, shared or freed twice, and slots are where the block table says."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ms_scatter_pa.pages import (
    BlockAllocator,
    BlockManager,
    BlockTable,
    OutOfBlocksError,
    blocks_for,
    pad_block_tables,
    pad_slot_mapping,
)


class Pages(RuleBasedStateMachine):
    """Sequences grow and go at random over one allocator; every slot's content is modelled by a dict."""

    @initialize(num_blocks=st.integers(1, 12), block_size=st.integers(1, 5))
    def start(self, num_blocks, block_size):
        self.allocator = BlockAllocator(num_blocks)
        self.block_size = block_size
        self.tables: list[BlockTable] = []
        self.memory: dict[int, tuple[int, int]] = {}

    @rule()
    def join(self):
        self.tables.append(BlockTable(self.allocator, self.block_size))

    @rule(index=st.integers(0, 50), count=st.integers(0, 12))
    def append(self, index, count):
        if not self.tables:
            return
        table = self.tables[index % len(self.tables)]
        before, blocks, free = table.num_tokens, list(table.blocks), self.allocator.num_free
        try:
            slots = table.append(count)
        except OutOfBlocksError:
            assert blocks_for(before + count, self.block_size) - len(blocks) > free
            assert (table.num_tokens, table.blocks, self.allocator.num_free) == (before, blocks, free)
            return
        assert len(slots) == count
        assert table.blocks[: len(blocks)] == blocks
        for position, slot in enumerate(slots, start=before):
            self.memory[slot] = (id(table), position)

    @rule(index=st.integers(0, 50))
    def leave(self, index):
        if self.tables:
            table = self.tables.pop(index % len(self.tables))
            blocks = table.release()
            assert table.blocks == []
            with pytest.raises(ValueError, match="not all in use"):
                self.allocator.free(blocks or [0, 0])

    @invariant()
    def every_block_has_one_owner(self):
        if hasattr(self, "tables"):
            owned = [block for table in self.tables for block in table.blocks]
            assert len(owned) == len(set(owned))
            assert set(owned) <= set(range(self.allocator.num_blocks))
            assert len(owned) + self.allocator.num_free == self.allocator.num_blocks
            assert all(len(t.blocks) == blocks_for(t.num_tokens, self.block_size) for t in self.tables)

    @invariant()
    def every_token_is_where_it_was_put(self):
        for table in getattr(self, "tables", []):
            for position in range(table.num_tokens):
                assert self.memory[table.slot(position)] == (id(table), position)


TestPages = Pages.TestCase
TestPages.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_freeing_a_block_twice_in_one_call_frees_none():
    allocator = BlockAllocator(3)
    (block,) = allocator.allocate(1)
    with pytest.raises(ValueError, match="listed twice"):
        allocator.free([block, block])
    assert allocator.num_free == 2


def test_freeing_a_free_block_is_refused():
    allocator = BlockAllocator(3)
    with pytest.raises(ValueError, match="not all in use"):
        allocator.free([0])


@pytest.mark.parametrize("call", [lambda: BlockAllocator(0), lambda: BlockTable(BlockAllocator(1), 0)])
def test_empty_caches_are_refused(call):
    with pytest.raises(ValueError, match="at least 1"):
        call()


def test_negative_counts_are_refused():
    allocator = BlockAllocator(2)
    table = BlockTable(allocator, 2)
    for call in (allocator.allocate, table.append):
        with pytest.raises(ValueError, match="negative"):
            call(-1)


def test_slot_outside_the_sequence_is_refused():
    table = BlockTable(BlockAllocator(2), 2)
    table.append(1)
    with pytest.raises(IndexError, match="given 1 to 2 of a sequence of 1 tokens"):
        table.slot(1)


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, -1), (5, 2), (0, 7), (2**63, None), (-(2**63), 2**63)])
def test_slots_of_an_impossible_range_are_refused(start, stop):
    manager = BlockManager(4, 4)
    manager.allocate("a", 6)
    with pytest.raises(IndexError, match=f"slots: given {start} to"):
        manager.slots("a", start, stop)
    assert manager.slots("a", 6) == []


def test_padding():
    slots = pad_slot_mapping([[4, 5], [], [9]], 3)
    assert slots.dtype == np.int32
    assert slots.tolist() == [4, 5, -1, -1, -1, -1, 9, -1, -1]
    tables = pad_block_tables([[4], [], [9, 1]], 2)
    assert tables.dtype == np.int32
    assert tables.tolist() == [[4, 0], [0, 0], [9, 1]]
    with pytest.raises(ValueError, match="row 0 has 3 slots"):
        pad_slot_mapping([[1, 2, 3]], 2)
    with pytest.raises(ValueError, match="row 1 has 2 blocks"):
        pad_block_tables([[], [1, 2]], 1)


def test_shared_blocks_are_free_when_the_last_holder_lets_go():
    allocator = BlockAllocator(3)
    table = BlockTable(allocator, 2)
    table.append(4)
    fork = table.fork()
    assert [allocator.ref_count(block) for block in range(3)] == [2, 2, 0]
    table.release()
    assert allocator.num_free == 1
    fork.release()
    assert allocator.num_free == 3


def test_a_write_to_a_shared_block_takes_one_of_its_own_once():
    allocator = BlockAllocator(4)
    table = BlockTable(allocator, 2)
    table.append(3)
    fork = table.fork()
    assert fork.blocks_to_append(2) == 2
    assert fork.append(2) == [5, 6]
    assert allocator.clear_copy_on_writes() == [(1, 2)]
    assert table.append(1) == [3]
    assert allocator.clear_copy_on_writes() == []


def test_a_full_allocator_refuses_the_copy_too():
    allocator = BlockAllocator(2)
    table = BlockTable(allocator, 2)
    table.append(3)
    fork = table.fork()
    with pytest.raises(OutOfBlocksError, match="1 blocks asked for, 0 of 2"):
        fork.append(1)
    assert (fork.blocks, fork.num_tokens) == ([0, 1], 3)
    assert allocator.clear_copy_on_writes() == []


def test_sharing_a_free_block_is_refused():
    with pytest.raises(ValueError, match="not all in use"):
        BlockAllocator(3).share([0])
