"""Which blocks are free, who holds a block, and the slots of a sequence's tokens. Pure bookkeeping, no tensors.

Every operation happens as a whole or not at all, and threads may share an allocator and its tables.

>>> allocator = BlockAllocator(num_blocks=4)
>>> table = BlockTable(allocator, block_size=2)
>>> table.append(3)                     # three tokens: two blocks, the second one half full
[0, 1, 2]
>>> fork = table.fork()                 # shares both blocks
>>> fork.append(1)                      # the half full one is written: the fork gets a block of its own
[5]
>>> allocator.clear_copy_on_writes()    # what its owner has to copy: (source, target)
[(1, 2)]
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .integers import Int64Array, int64_array, integer
from .journal import Action, Actions, Journal

NO_BLOCKS: Int64Array = np.zeros(0, np.int64)

_FEW = 48
"""Slots that Python counts faster one by one than NumPy sets up its arrays."""


class OutOfBlocksError(RuntimeError):
    """Not enough free blocks; nothing was allocated.

    Example:
        >>> from ms_scatter_pa.pages import BlockAllocator, OutOfBlocksError
        >>> try:
        ...     BlockAllocator(num_blocks=2).allocate(3)
        ... except OutOfBlocksError as error:
        ...     print(error)
        3 blocks asked for, 2 of 2 are free
    """


class Entry(NamedTuple):
    """A sequence's line in the books, never changed in place."""

    blocks: Int64Array = NO_BLOCKS
    num_tokens: int = 0


class BlockAllocator:
    """Hands out block numbers 0..num_blocks-1 and counts their references.

    Freed blocks go to the back of the queue, so that neighbouring pages of a sequence end up far apart, as they do in a
    server that has run for a while.

    Args:
        num_blocks: how many blocks the cache has, >= 1.
        journal: shared with other allocators, so that a call that fails changes none of them; by default one of its own.

    Raises:
        ValueError: num_blocks < 1. TypeError: no integer.

    Example:
        >>> from ms_scatter_pa.pages import BlockAllocator
        >>> allocator = BlockAllocator(num_blocks=4)
        >>> allocator.allocate(2)
        [0, 1]
        >>> allocator.share([1])  # a second sequence has block 1 too
        >>> allocator.free([0, 1])
        >>> allocator.num_free, allocator.ref_count(1)
        (3, 1)
    """

    def __init__(self, num_blocks: int, *, journal: Journal | None = None):
        num_blocks = integer(num_blocks, "num_blocks")
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        self.num_blocks = num_blocks
        self.journal = journal or Journal()
        self._queue = np.arange(num_blocks, dtype=np.int64)  # a ring; the free blocks lie in its window
        self._window = (0, num_blocks)  # where the free blocks begin, and how many there are
        self._references = np.zeros(num_blocks, np.int64)
        self._copy_on_writes: tuple[tuple[int, int], ...] = ()

    @property
    def num_free(self) -> int:
        """How many blocks are free."""
        return self.journal.look(self.free_now)

    def ref_count(self, block: int) -> int:
        """How many tables hold ``block``; 0 for a free one, and for one that does not exist."""
        return self.journal.look(self.references_now, integer(block, "block"))

    def allocate(self, count: int) -> list[int]:
        """Takes ``count`` free blocks, each with one reference.

        Raises:
            OutOfBlocksError: fewer than ``count`` are free; none is taken.
            ValueError: count < 0.
        """
        return self.journal.run(self._allocate, _count(count))

    def share(self, blocks: Sequence[int]) -> None:
        """Adds a reference to each of ``blocks``.

        Raises:
            ValueError: a block is not in use, or is listed twice; none is shared.
        """
        self.journal.run(self._refer, int64_array(blocks, "blocks"), 1)

    def free(self, blocks: Sequence[int]) -> None:
        """Takes a reference from each of ``blocks``; those without any left are free.

        Raises:
            ValueError: a block is not in use, or is listed twice; none is freed.
        """
        self.journal.run(self._refer, int64_array(blocks, "blocks"), -1)

    def record_copy_on_write(self, source: int, target: int) -> None:
        """Notes that what block ``source`` holds has to be copied to ``target`` before either is written."""
        self.journal.run(self._record, integer(source, "source"), integer(target, "target"))

    def clear_copy_on_writes(self) -> list[tuple[int, int]]:
        """The copies, (source, target), noted since the last call, to be made in this order.

        A copy whose target was freed meanwhile is forgotten.
        """
        return self.journal.run(self._clear)

    # What follows runs inside of an operation, on settled books.

    def free_now(self) -> int:
        """As ``num_free``, for what runs inside of an operation."""
        return self._window[1]

    def references_now(self, block: int) -> int:
        """As ``ref_count``, for what runs inside of an operation."""
        return int(self._references[block]) if 0 <= block < self.num_blocks else 0

    def prepare(
        self,
        *,
        take: int = 0,
        uses: Any = 1,
        touched: Int64Array = NO_BLOCKS,
        change: Any = 0,
        forget_copies: bool = True,
    ) -> tuple[Int64Array, Actions]:
        """Takes blocks with ``uses`` references each, and changes the references of ``touched``, distinct blocks in
        use; those without any left are free, and copies to them that nobody needs are forgotten.

        Returns:
            The blocks taken, and what is to be done.

        Raises:
            OutOfBlocksError: not that many are free.
        """
        begin, free = self._window
        if take > free:
            raise OutOfBlocksError(f"{take} blocks asked for, {free} of {self.num_blocks} are free")
        taken = self._queue[self._ring(begin, take)]
        actions: list[Action] = []
        if take:
            actions.append((self._references.__setitem__, (taken, uses)))
        freed = NO_BLOCKS
        if touched.size:
            left = self._references[touched] + change
            actions.append((self._references.__setitem__, (touched, left)))
            freed = touched[left == 0]
        if freed.size:
            actions.append((self._queue.__setitem__, (self._ring(begin + free, freed.size), freed)))
            if forget_copies:
                actions += self._without_copies_to(freed)
        if take or freed.size:
            window = ((begin + take) % self.num_blocks, free - take + freed.size)
            actions.append((setattr, (self, "_window", window)))
        return taken, tuple(actions)

    def copied(self, journal: Journal) -> "BlockAllocator":
        """Another one in the same state, for other books."""
        other = BlockAllocator.__new__(BlockAllocator)
        arrays = {"_queue": self._queue.copy(), "_references": self._references.copy()}
        vars(other).update(vars(self), **arrays, journal=journal)
        return other

    def prepare_copy(self, source: int, target: int) -> Actions:
        """Notes a copy.

        A source that is itself still to be copied is replaced by where its bytes are, where nothing is going to change
        them: so the source's own copy can be forgotten when it is freed.
        """
        copies = self._copy_on_writes
        position = len(copies)
        while True:
            position = next((i for i in range(position - 1, -1, -1) if copies[i][1] == source), -1)
            if position < 0 or any(later[1] == copies[position][0] for later in copies[position + 1 :]):
                break
            source = copies[position][0]
        note = () if source == target else ((source, target),)
        return ((setattr, (self, "_copy_on_writes", copies + note)),)

    def _without_copies_to(self, freed: Int64Array) -> Actions:
        """Forgets the copies that nobody needs: the target is free and no copy that is kept reads it later."""
        if not self._copy_on_writes:
            return ()
        gone = set(freed.tolist())
        read: set[int] = set()
        kept = []
        for source, target in reversed(self._copy_on_writes):
            if target in read or not (target in gone or self._references[target] == 0):
                kept.append((source, target))
                read.discard(target)
                read.add(source)
        return ((setattr, (self, "_copy_on_writes", tuple(reversed(kept)))),)

    def _ring(self, begin: int, count: int) -> Any:
        """Index of ``count`` places in the queue from ``begin`` on."""
        begin %= self.num_blocks
        if begin + count <= self.num_blocks:
            return slice(begin, begin + count)
        return np.arange(begin, begin + count) % self.num_blocks

    def _allocate(self, count: int) -> tuple[Actions, list[int]]:
        blocks, actions = self.prepare(take=count)
        return actions, blocks.tolist()

    def _refer(self, blocks: Int64Array, change: int) -> tuple[Actions, None]:
        known = blocks.size == 0 or (blocks.min() >= 0 and blocks.max() < self.num_blocks)
        if not known or len(set(blocks.tolist())) != blocks.size or not self._references[blocks].all():
            raise ValueError(f"blocks {blocks.tolist()} are not all in use, or one is listed twice")
        return self.prepare(touched=blocks, change=change)[1], None

    def _record(self, source: int, target: int) -> tuple[Actions, None]:
        return self.prepare_copy(source, target), None

    def _clear(self) -> tuple[Actions, list[tuple[int, int]]]:
        return ((setattr, (self, "_copy_on_writes", ())),), list(self._copy_on_writes)

    def __getstate__(self) -> dict[str, Any]:
        return self.journal.look(vars(self).copy)


class BlockTable:
    """The blocks of one sequence, in the order of its tokens; grows a block at a time.

    Args:
        allocator: where blocks come from.
        block_size: tokens per block, >= 1.

    Raises:
        ValueError: block_size < 1. TypeError: no integer.

    Example:
        >>> from ms_scatter_pa.pages import BlockAllocator, BlockTable
        >>> table = BlockTable(BlockAllocator(num_blocks=4), block_size=2)
        >>> table.append(3)  # the slots of three tokens
        [0, 1, 2]
        >>> table.blocks, table.num_tokens
        ([0, 1], 3)
        >>> table.slot(2)
        2
    """

    def __init__(self, allocator: BlockAllocator, block_size: int):
        block_size = integer(block_size, "block_size")
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size}")
        self.block_size = block_size
        self._entry = Entry()
        self._allocator = allocator

    @property
    def blocks(self) -> list[int]:
        """The blocks, as a list of their own."""
        return self._look().blocks.tolist()

    @property
    def num_tokens(self) -> int:
        """How many tokens the sequence has."""
        return self._look().num_tokens

    def blocks_to_append(self, count: int) -> int:
        """How many free blocks ``append(count)`` takes: the new ones, and one where the last block is shared.

        Raises:
            ValueError: count < 0.
        """
        return self._allocator.journal.look(self._blocks_to_append, _count(count))

    def append(self, count: int) -> list[int]:
        """Makes room for ``count`` more tokens and returns their slots, ``block * block_size + offset`` each.

        A last block that is not full and is shared is replaced by a new one; the allocator notes the copy to make.

        Raises:
            OutOfBlocksError: not enough free blocks; the table is unchanged.
            ValueError: count < 0.
        """
        return self._allocator.journal.run(self._append, _count(count))

    def slot(self, position: int) -> int:
        """The slot of the token at ``position``.

        Raises:
            IndexError: the sequence has no such token.
        """
        position = integer(position, "position")
        return self.slots(position, position + 1)[0]

    def slots(self, start: int = 0, stop: int | None = None) -> list[int]:
        """The slots of the tokens from ``start`` up to ``stop``, which is the end by default.

        Raises:
            IndexError: the sequence has no such token.
        """
        return slot_list(self._look(), self.block_size, start, stop)

    def fork(self, num_tokens: int | None = None) -> "BlockTable":
        """A table of the first ``num_tokens`` tokens, all by default, that shares the blocks they lie in.

        Raises:
            ValueError: the sequence has fewer tokens, or num_tokens < 0.
        """
        return self._allocator.journal.run(self._fork, num_tokens)

    @classmethod
    def over(
        cls, blocks: Sequence[int] | Int64Array, num_tokens: int, allocator: BlockAllocator, block_size: int
    ) -> "BlockTable":
        """A table over ``blocks``, whose references become the table's."""
        table = cls(allocator, block_size)
        table._entry = Entry(int64_array(blocks, "blocks"), integer(num_tokens, "num_tokens"))
        return table

    def release(self) -> list[int]:
        """Gives its references back and returns the blocks; the table is empty afterwards."""
        return self._allocator.journal.run(self._release)

    def _look(self) -> Entry:
        return self._allocator.journal.look(getattr, self, "_entry")

    def _blocks_to_append(self, count: int) -> int:
        return blocks_to_append(self._entry, count, self._allocator, self.block_size)

    def _append(self, count: int) -> tuple[Actions, list[int]]:
        grown = prepare_append(self._entry, count, self._allocator, self.block_size)
        copy = self._allocator.prepare_copy(*grown.copy) if grown.copy else ()
        slots = slot_list(grown.entry, self.block_size, self._entry.num_tokens)
        return (*grown.actions, *copy, (setattr, (self, "_entry", grown.entry))), slots

    def _fork(self, num_tokens: int | None) -> tuple[Actions, "BlockTable"]:
        entry, actions = prepare_fork(self._entry, num_tokens, self._allocator, self.block_size)
        return actions, BlockTable.over(entry.blocks, entry.num_tokens, self._allocator, self.block_size)

    def _release(self) -> tuple[Actions, list[int]]:
        blocks = self._entry.blocks
        _, actions = self._allocator.prepare(touched=blocks, change=-1)
        return (*actions, (setattr, (self, "_entry", Entry()))), blocks.tolist()

    def __getstate__(self) -> dict[str, Any]:
        return self._allocator.journal.look(vars(self).copy)


class Growth(NamedTuple):
    """What an append comes to: the entry, the copy that it needs, if any, and what is to be done."""

    entry: Entry
    copy: tuple[int, int] | None
    actions: Actions


def prepare_append(entry: Entry, count: int, allocator: BlockAllocator, block_size: int) -> Growth:
    """Room for ``count`` tokens more. OutOfBlocksError: not enough free blocks."""
    missing = blocks_to_append(entry, count, allocator, block_size)
    blocks, num_tokens = entry.blocks, entry.num_tokens + count
    if not missing:
        return Growth(Entry(blocks, num_tokens), None, ())
    if not _writes_shared_block(entry, count, allocator, block_size):
        taken, actions = allocator.prepare(take=missing)
        return Growth(Entry(np.concatenate([blocks, taken]), num_tokens), None, actions)
    source = blocks[-1:]
    taken, actions = allocator.prepare(take=missing, touched=source, change=-1)
    copy = (int(source[0]), int(taken[0]))
    return Growth(Entry(np.concatenate([blocks[:-1], taken]), num_tokens), copy, actions)


def prepare_fork(
    entry: Entry, num_tokens: int | None, allocator: BlockAllocator, block_size: int
) -> tuple[Entry, Actions]:
    """An entry that shares the first tokens' blocks. ValueError: there are fewer tokens."""
    count = entry.num_tokens if num_tokens is None else integer(num_tokens, "num_tokens")
    if not 0 <= count <= entry.num_tokens:
        raise ValueError(f"num_tokens must be between 0 and {entry.num_tokens}, got {count}")
    shared = entry.blocks[: blocks_for(count, block_size)]
    return Entry(shared, count), allocator.prepare(touched=shared, change=1)[1]


def blocks_to_append(entry: Entry, count: int, allocator: BlockAllocator, block_size: int) -> int:
    """How many free blocks an append takes."""
    missing = blocks_for(entry.num_tokens + count, block_size) - entry.blocks.size
    return missing + _writes_shared_block(entry, count, allocator, block_size)


def slot_array(entry: Entry, block_size: int, start: int, stop: int) -> Int64Array:
    """The slots of an entry's tokens ``start`` to ``stop``, which it has."""
    first = start // block_size
    blocks = entry.blocks[first : blocks_for(stop, block_size)]
    if stop - start < block_size:  # in one block or two, which may be long
        offsets = np.arange(start - first * block_size, stop - first * block_size)
        return blocks[offsets // block_size] * block_size + offsets % block_size
    slots = (blocks[:, None] * block_size + np.arange(block_size)).reshape(-1)
    return slots[start - first * block_size : stop - first * block_size]


def slot_list(entry: Entry, block_size: int, start: int, stop: int | None = None) -> list[int]:
    """The slots of an entry's tokens. IndexError: it has no such token."""
    start = integer(start, "start")
    stop = entry.num_tokens if stop is None else integer(stop, "stop")
    if not 0 <= start <= stop <= entry.num_tokens:
        raise IndexError(
            f"slots: given {start} to {stop} of a sequence of {entry.num_tokens} tokens, expected "
            f"0 <= start <= stop <= {entry.num_tokens}"
        )
    if stop - start > _FEW:
        return slot_array(entry, block_size, start, stop).tolist()
    first = start // block_size
    blocks = entry.blocks[first : blocks_for(stop, block_size)].tolist()
    return [blocks[p // block_size - first] * block_size + p % block_size for p in range(start, stop)]


def blocks_for(num_tokens: int, block_size: int) -> int:
    """How many blocks of ``block_size`` tokens ``num_tokens`` tokens take.

    Raises:
        TypeError: no integers.

    Example:
        >>> from ms_scatter_pa.pages import blocks_for
        >>> blocks_for(33, block_size=16)
        3
    """
    return -(-integer(num_tokens, "num_tokens") // integer(block_size, "block_size"))


def _writes_shared_block(entry: Entry, count: int, allocator: BlockAllocator, block_size: int) -> bool:
    return count > 0 and entry.num_tokens % block_size > 0 and allocator.references_now(int(entry.blocks[-1])) > 1


def _count(value: Any) -> int:
    count = integer(value, "count")
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    return count
