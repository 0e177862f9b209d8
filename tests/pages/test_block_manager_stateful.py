"""A pool of tokens that is kept by a BlockManager's words alone: what it says to copy is all that has to be copied.

The owner collects the copies late, at any time before it writes; every prefix that was written is still there.
"""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ms_scatter_pa.pages import BlockManager, OutOfBlocksError
from tests.support.interruptions import Interrupted, interrupted

PICK, COUNT, LINE = st.integers(0, 50), st.sampled_from([1, 2, 3, 0, 5]), st.sampled_from([*range(0, 60, 3), 999])
resident = precondition(lambda self: self.manager.seq_ids)


class Owner(RuleBasedStateMachine):
    """``model`` has each sequence's tokens, None where one was never written. Calls are interrupted, and repeated."""

    @initialize(num_blocks=st.sampled_from([12, 6, 3, 30]), block_size=st.sampled_from([4, 3, 2, 1]))
    def start(self, num_blocks: int, block_size: int) -> None:
        self.manager = BlockManager(num_blocks, block_size, num_host_blocks=num_blocks // 2)
        self.pool = np.full((num_blocks, block_size), -1)
        self.host = np.full((max(num_blocks // 2, 1), block_size), -1)
        self.model: dict[int, list[int | None]] = {}
        self.next = 0

    def new(self) -> int:
        self.next += 1
        return self.next

    def call(self, line: int, name: str, *arguments: Any) -> Any:
        try:
            return interrupted(lambda: getattr(self.manager, name)(*arguments), line, KeyboardInterrupt)
        except Interrupted:
            return getattr(self.manager, name)(*arguments)

    @rule(count=COUNT, line=LINE)
    def allocate(self, count: int, line: int) -> None:
        name = self.new()
        try:
            self.call(line, "allocate", name, count)
        except OutOfBlocksError:
            return
        self.model[name] = [None] * count

    @resident
    @rule(index=PICK, count=COUNT, line=LINE)
    def append(self, index: int, count: int, line: int) -> None:
        name = self.pick(self.manager.seq_ids, index)
        try:
            slots = self.call(line, "append", name, count)
        except OutOfBlocksError:
            return
        assert all(self.manager.ref_count(slot // self.manager.block_size) == 1 for slot in slots)
        self.model[name] += [None] * count

    @resident
    @rule(index=PICK, cut=COUNT, line=LINE, drop_parent=st.booleans(), count=COUNT)
    def fork(self, index: int, cut: int, line: int, drop_parent: bool, count: int) -> None:
        parent, child = self.pick(self.manager.seq_ids, index), self.new()
        kept = max(len(self.model[parent]) - cut, 0)
        self.call(line, "fork", parent, child, kept)
        self.model[child] = self.model[parent][:kept]
        if count and self.manager.can_append(child, count):
            self.manager.append(child, count)
            self.model[child] += [None] * count
        if drop_parent:
            self.call(line, "free", parent)
            del self.model[parent]

    @precondition(lambda self: self.model)
    @rule(index=PICK, line=LINE)
    def free(self, index: int, line: int) -> None:
        name = self.pick(list(self.model), index)
        self.call(line, "free", name)
        del self.model[name]

    @rule(line=LINE)
    def collect_and_write(self, line: int) -> None:
        self.collect(line)
        for name in self.manager.seq_ids:
            for position, slot in enumerate(self.manager.slots(name)):
                alone = self.manager.ref_count(slot // self.manager.block_size) == 1
                if self.model[name][position] is None and alone:
                    self.model[name][position] = self.pool.reshape(-1)[slot] = self.new()

    def collect(self, line: int) -> None:
        for source, target in self.call(line, "clear_copy_on_writes"):
            self.pool[target] = self.pool[source]

    @resident
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), line=LINE)
    def swap_out(self, picks: list[int], line: int) -> None:
        group = list({self.pick(self.manager.seq_ids, index) for index in picks})
        if not self.manager.can_swap_out(group):
            with pytest.raises(OutOfBlocksError):
                self.manager.swap_out(group)
            return
        pairs = self.call(line, "swap_out", group)
        self.collect(line)
        for block, host_block in pairs:
            self.host[host_block] = self.pool[block]

    @precondition(lambda self: self.manager.swapped_seq_ids)
    @rule(index=PICK, line=LINE)
    def swap_in(self, index: int, line: int) -> None:
        name = self.pick(self.manager.swapped_seq_ids, index)
        if not self.manager.can_swap_in(name):
            return
        self.collect(line)
        for host_block, block in self.call(line, "swap_in", name):
            self.pool[block] = self.host[host_block]

    def pick(self, names: list[Any], index: int) -> Any:
        return names[index % len(names)]

    @invariant()
    def what_was_written_is_there_once_it_is_copied(self) -> None:
        pool = self.pool.copy()
        copies = self.manager._allocator._copy_on_writes
        for source, target in copies:
            pool[target] = pool[source]
        for name, tokens in self.model.items():
            if name in self.manager.seq_ids:
                found = pool.reshape(-1)[self.manager.slots(name)].tolist()
                assert [t for t in tokens if t is not None] == [
                    f for f, t in zip(found, tokens, strict=True) if t is not None
                ]

    @invariant()
    def blocks_are_free_or_held(self) -> None:
        tables = [self.manager.block_table(name) for name in self.manager.seq_ids]
        held = [block for table in tables for block in table]
        assert len(set(held)) + self.manager.num_free_blocks == self.manager.num_blocks
        assert all(self.manager.ref_count(block) == held.count(block) for block in range(self.manager.num_blocks))


TestOwner = Owner.TestCase
TestOwner.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("chain", [True, False])
def test_memory_is_flat(collects: bool, chain: bool) -> None:
    """Thousands of requests, each with a copy, and nobody who asks for them."""
    manager = BlockManager(num_blocks=64, block_size=4)
    manager.allocate("prompt", 5)
    parent: Any = "prompt"

    def serve(first: int, last: int) -> None:
        nonlocal parent
        for request in range(first, last):
            manager.fork(parent, request)
            manager.append(request)
            if chain:
                manager.free(parent)
                manager.fork(request, "short", 5)
                manager.free(request)
                manager.fork("short", parent := -request - 1)
                manager.free("short")
            else:
                manager.free(request)
            if collects:
                manager.clear_copy_on_writes()

    serve(0, 500)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    serve(500, 4000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000
    assert len(manager.clear_copy_on_writes()) <= 1
