"""The block tables of all sequences: allocate, append, fork, free, swap; no tensors, no MindSpore.

>>> manager = BlockManager(num_blocks=8, block_size=4)
>>> manager.allocate("a", 6)
[0, 1, 2, 3, 4, 5]
>>> manager.fork("a", "b")
>>> manager.block_table("b"), manager.num_free_blocks
([0, 1], 6)
>>> manager.append("b")                 # block 1 is shared and not full: "b" gets a block of its own
[10]
>>> manager.clear_copy_on_writes()      # what the owner of the caches copies before it writes: (source, target)
[(1, 2)]
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from .block_table import (
    BlockAllocator,
    Entry,
    OutOfBlocksError,
    blocks_for,
    blocks_to_append,
    prepare_append,
    prepare_fork,
    slot_list,
)
from .integers import int64_array, integer
from .journal import Action, Actions, Journal

SeqId = Hashable
Tables = dict[SeqId, Entry]


class BlockManager:
    """Which blocks each sequence has. ``PagedKVCache`` is one that also holds and moves what the blocks contain.

    A sequence is known by any hashable id but None, such as a request's number. Counts may be integers of any type.

    Atomic: a call either raises and has changed nothing, or it has happened. Threads may share a manager: every call
    runs alone. A caller that asks and then acts on the answer (``can_append``, then ``append``) needs a lock of its own
    for the two, or catches OutOfBlocksError.

    Args:
        num_blocks: blocks in the cache, >= 1.
        block_size: tokens per block, >= 1.
        num_host_blocks: blocks that swapped-out sequences may take on the host.

    Raises:
        ValueError: a count that is too small, or slots that int64 does not hold. TypeError: no integer.

    Example:
        >>> from ms_scatter_pa.pages import BlockManager
        >>> manager = BlockManager(num_blocks=4, block_size=2)
        >>> manager.allocate("a", 3)  # the slots of three tokens
        [0, 1, 2]
        >>> manager.fork("a", "b")  # both blocks are shared
        >>> manager.append("b", 1)  # the half full one is written: b gets one of its own
        [5]
        >>> manager.clear_copy_on_writes()  # which block to copy where
        [(1, 2)]
        >>> manager.free("a")
        >>> manager.num_free_blocks
        2
    """

    def __init__(self, num_blocks: int, block_size: int, num_host_blocks: int = 0):
        num_blocks, block_size = integer(num_blocks, "num_blocks"), integer(block_size, "block_size")
        num_host_blocks = integer(num_host_blocks, "num_host_blocks")
        if block_size < 1 or num_host_blocks < 0:
            raise ValueError(
                f"block_size and num_host_blocks: given {block_size} and {num_host_blocks}, expected >= 1 and >= 0"
            )
        if num_blocks * block_size >= 2**63:
            raise ValueError(f"num_blocks * block_size: given {num_blocks * block_size}, expected less than 2**63")
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.num_host_blocks = num_host_blocks
        self._journal = Journal()
        self._allocator = BlockAllocator(num_blocks, journal=self._journal)
        self._host_allocator = BlockAllocator(num_host_blocks, journal=self._journal) if num_host_blocks else None
        self._tables: Tables = {}
        self._swapped: Tables = {}

    @property
    def num_free_blocks(self) -> int:
        """Blocks that nobody holds."""
        return self._allocator.num_free

    @property
    def num_free_host_blocks(self) -> int:
        """Blocks on the host that no swapped-out sequence holds."""
        return self._host_allocator.num_free if self._host_allocator else 0

    @property
    def seq_ids(self) -> list[SeqId]:
        """The sequences in the cache, the oldest first."""
        return self._journal.look(list, self._tables)

    @property
    def swapped_seq_ids(self) -> list[SeqId]:
        """The sequences on the host."""
        return self._journal.look(list, self._swapped)

    def can_allocate(self, num_tokens: int) -> bool:
        """Whether a new sequence of ``num_tokens`` tokens fits now. ValueError: num_tokens < 0."""
        return blocks_for(_num_tokens(num_tokens), self.block_size) <= self.num_free_blocks

    def allocate(self, seq_id: SeqId, num_tokens: int = 0) -> list[int]:
        """Begins a sequence with room for ``num_tokens`` tokens and returns their slots.

        Raises:
            ValueError: the sequence exists already, its id is None, or num_tokens < 0.
            OutOfBlocksError: not enough free blocks; the sequence is not begun.
        """
        return self._journal.run(self._allocate, seq_id, _num_tokens(num_tokens))

    def can_append(self, seq_id: SeqId, num_tokens: int = 1) -> bool:
        """Whether ``append`` finds enough free blocks. KeyError: no such sequence in the cache."""
        return self._journal.look(self._can_append, seq_id, _num_tokens(num_tokens))

    def append(self, seq_id: SeqId, num_tokens: int = 1) -> list[int]:
        """Makes room for ``num_tokens`` more tokens and returns their slots.

        Where the last block is shared and not full, the sequence gets one of its own (copy-on-write):
        ``clear_copy_on_writes`` tells the owner of the caches what to copy.

        Raises:
            KeyError: no such sequence in the cache. ValueError: num_tokens < 0.
            OutOfBlocksError: not enough free blocks; nothing has changed.
        """
        return self._journal.run(self._append, seq_id, _num_tokens(num_tokens))

    def clear_copy_on_writes(self) -> list[tuple[int, int]]:
        """The blocks to copy, (source, target), since the last call; empty for a PagedKVCache, which copies by itself.

        The owner of the caches copies them in every layer, in this order, before anything is written to a slot that it
        was given since. A copy that nobody needs any more, because its target is free again, is not in the list.
        """
        return self._allocator.clear_copy_on_writes()

    def fork(self, parent: SeqId, child: SeqId, num_tokens: int | None = None) -> None:
        """Begins ``child`` with the first ``num_tokens`` tokens of ``parent``, all by default. Takes no block.

        With ``num_tokens`` it shares a prompt's prefix; in whole blocks (a multiple of ``block_size``) nothing will
        have to be copied later.

        Raises:
            KeyError: no parent in the cache. ValueError: the child exists, or the parent has fewer tokens.
        """
        self._journal.run(self._fork, parent, child, num_tokens)

    def free(self, seq_id: SeqId) -> None:
        """Ends a sequence, in the cache or swapped out; blocks that nobody else holds are free.

        Raises:
            KeyError: no such sequence.
        """
        self._journal.run(self._free, seq_id)

    def can_swap_out(self, seq_ids: SeqId | Sequence[SeqId]) -> bool:
        """Whether the host has room for the sequences. KeyError: no such sequence in the cache."""
        return self._journal.look(self._can_move, seq_ids, self._tables, self._host_allocator)

    def can_swap_in(self, seq_ids: SeqId | Sequence[SeqId]) -> bool:
        """Whether the cache has room for the sequences. KeyError: no such sequence on the host."""
        return self._journal.look(self._can_move, seq_ids, self._swapped, self._allocator)

    def swap_out(self, seq_ids: SeqId | Sequence[SeqId]) -> list[tuple[int, int]]:
        """Moves sequences to the host: one, or a list that moves together and keeps sharing among itself.

        Blocks that others share stay for them. The owner of the caches copies the blocks that
        ``clear_copy_on_writes`` gives, then these.

        Returns:
            What is to be copied, (block, host block); a PagedKVCache has copied it.

        Raises:
            KeyError: no such sequence in the cache. ValueError: an id is listed twice.
            OutOfBlocksError: the host has not that many free blocks; nothing has changed.
        """
        if self._host_allocator is None:
            raise OutOfBlocksError("num_host_blocks is 0: there is no room on the host")
        return self._journal.run(self._swap_out, seq_ids)

    def swap_in(self, seq_ids: SeqId | Sequence[SeqId]) -> list[tuple[int, int]]:
        """Moves swapped-out sequences back, into other blocks than before in general.

        Returns:
            What is to be copied, (host block, block); a PagedKVCache has copied it.

        Raises:
            KeyError: no such sequence on the host. ValueError: an id is listed twice.
            OutOfBlocksError: the cache has not that many free blocks; nothing has changed.
        """
        return self._journal.run(self._swap_in, seq_ids)

    def num_tokens(self, seq_id: SeqId) -> int:
        """Tokens of a sequence, in the cache or swapped out. KeyError: no such sequence."""
        return self._journal.look(self._anywhere, seq_id).num_tokens

    def block_table(self, seq_id: SeqId) -> list[int]:
        """The blocks of a sequence, in the order of its tokens. KeyError: no such sequence in the cache."""
        blocks: list[int] = self._journal.look(self._table, seq_id).blocks.tolist()
        return blocks

    def slots(self, seq_id: SeqId, start: int = 0, stop: int | None = None) -> list[int]:
        """The slots of a sequence's tokens from ``start`` to ``stop``.

        Raises:
            KeyError: no such sequence in the cache. IndexError: no such token.
        """
        return slot_list(self._journal.look(self._table, seq_id), self.block_size, start, stop)

    def ref_count(self, block: int) -> int:
        """How many sequences hold a block of the cache."""
        return self._allocator.ref_count(block)

    # What moves blocks' contents, before the books say so: nothing here, everything in PagedKVCache.

    def _copy_on_write(self, source: int, target: int) -> Actions:
        return self._allocator.prepare_copy(source, target)

    def _copy_out(self, pairs: list[tuple[int, int]]) -> None:
        pass

    def _copy_in(self, pairs: list[tuple[int, int]]) -> None:
        pass

    # Operations: what they return is carried out after them, as a whole.

    def _allocate(self, seq_id: SeqId, num_tokens: int) -> tuple[Actions, list[int]]:
        self._check_new(seq_id)
        grown = prepare_append(Entry(), num_tokens, self._allocator, self.block_size)
        slots = slot_list(grown.entry, self.block_size, 0)
        return (*grown.actions, (self._tables.__setitem__, (seq_id, grown.entry))), slots

    def _append(self, seq_id: SeqId, num_tokens: int) -> tuple[Actions, list[int]]:
        entry = self._table(seq_id)
        grown = prepare_append(entry, num_tokens, self._allocator, self.block_size)
        slots = slot_list(grown.entry, self.block_size, entry.num_tokens)
        copy = self._copy_on_write(*grown.copy) if grown.copy else ()
        return (*grown.actions, *copy, (self._tables.__setitem__, (seq_id, grown.entry))), slots

    def _fork(self, parent: SeqId, child: SeqId, num_tokens: int | None) -> tuple[Actions, None]:
        entry = self._table(parent)
        self._check_new(child)
        entry, actions = prepare_fork(entry, num_tokens, self._allocator, self.block_size)
        return (*actions, (self._tables.__setitem__, (child, entry))), None

    def _free(self, seq_id: SeqId) -> tuple[Actions, None]:
        entry = self._anywhere(seq_id)
        swapped = seq_id in self._swapped
        owner, allocator = (self._swapped, self._host_allocator) if swapped else (self._tables, self._allocator)
        assert allocator is not None
        _, actions = allocator.prepare(touched=entry.blocks, change=-1)
        return (*actions, (owner.pop, (seq_id, None))), None

    def _swap_out(self, seq_ids: SeqId | Sequence[SeqId]) -> tuple[Actions, list[tuple[int, int]]]:
        assert self._host_allocator is not None
        actions, pairs = self._move(seq_ids, self._tables, self._swapped, self._allocator, self._host_allocator)
        self._copy_out(pairs)
        return actions, pairs

    def _swap_in(self, seq_ids: SeqId | Sequence[SeqId]) -> tuple[Actions, list[tuple[int, int]]]:
        # Without room on the host no sequence is found there.
        host = self._host_allocator or self._allocator
        actions, pairs = self._move(seq_ids, self._swapped, self._tables, host, self._allocator)
        self._copy_in(pairs)
        return actions, pairs

    def _move(
        self,
        seq_ids: SeqId | Sequence[SeqId],
        source: Tables,
        target: Tables,
        source_allocator: BlockAllocator,
        target_allocator: BlockAllocator,
    ) -> tuple[Actions, list[tuple[int, int]]]:
        moving = self._tables_of(seq_ids, source)
        uses = _uses(moving.values())
        counts = int64_array(list(uses.values()), "uses")
        taken, taking = target_allocator.prepare(take=len(uses), uses=counts)
        blocks = int64_array(list(uses), "blocks")
        # What is still to be copied to a block that moves is needed where it moves to.
        _, leaving = source_allocator.prepare(touched=blocks, change=-counts, forget_copies=False)
        moved = dict(zip(uses, taken.tolist(), strict=True))
        actions: list[Action] = [*taking, *leaving]
        for seq_id, entry in moving.items():
            there = int64_array([moved[block] for block in entry.blocks.tolist()], "blocks")
            actions.append((target.__setitem__, (seq_id, Entry(there, entry.num_tokens))))
            actions.append((source.pop, (seq_id, None)))
        return tuple(actions), list(moved.items())

    def _can_append(self, seq_id: SeqId, num_tokens: int) -> bool:
        needed = blocks_to_append(self._table(seq_id), num_tokens, self._allocator, self.block_size)
        return needed <= self._allocator.free_now()

    def _can_move(
        self, seq_ids: SeqId | Sequence[SeqId], source: Tables, target_allocator: BlockAllocator | None
    ) -> bool:
        needed = len(_uses(self._tables_of(seq_ids, source).values()))
        return target_allocator is not None and needed <= target_allocator.free_now()

    def _tables_of(self, seq_ids: SeqId | Sequence[SeqId], owner: Mapping[SeqId, Entry]) -> Tables:
        group = seq_ids if isinstance(seq_ids, list) else [seq_ids]
        if len(set(group)) != len(group):
            raise ValueError(f"seq_ids: given {group}, expected each once")
        return {seq_id: self._table(seq_id, owner) for seq_id in group}

    def _anywhere(self, seq_id: SeqId) -> Entry:
        return self._table(seq_id, self._swapped if seq_id in self._swapped else self._tables)

    def _table(self, seq_id: SeqId, owner: Mapping[SeqId, Entry] | None = None) -> Entry:
        entry = (self._tables if owner is None else owner).get(seq_id)
        if entry is not None:
            return entry
        if seq_id in self._swapped:
            where = "it is swapped out"
        elif seq_id in self._tables:
            where = "it is in the cache, not on the host"
        else:
            where = "there is no such sequence"
        raise KeyError(f"sequence {seq_id!r}: {where}")

    def _check_new(self, seq_id: SeqId) -> None:
        if seq_id is None:
            raise ValueError("seq_id: given None, which means a padding row; expected anything else")
        if seq_id in self._tables or seq_id in self._swapped:
            raise ValueError(f"sequence {seq_id!r} exists already")

    def __getstate__(self) -> dict[str, Any]:
        return self._journal.look(vars(self).copy)


def _uses(entries: Iterable[Entry]) -> "Counter[int]":
    """How many entries list each block, in the order of the blocks' first use."""
    return Counter(block for entry in entries for block in entry.blocks.tolist())


def _num_tokens(value: Any) -> int:
    count = integer(value, "num_tokens")
    if count < 0:
        raise ValueError(f"num_tokens must not be negative, got {count}")
    return count
