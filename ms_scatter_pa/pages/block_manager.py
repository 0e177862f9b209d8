"""The block tables of all sequences: allocate, append, fork, free, swap; no tensors, no MindSpore.

>>> manager = BlockManager(num_blocks=8, block_size=4)
>>> manager.allocate("a", 6)
[0, 1, 2, 3, 4, 5]
>>> manager.fork("a", "b")
>>> manager.block_table("b"), manager.num_free_blocks
([0, 1], 6)
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence

from .block_table import BlockAllocator, BlockTable, OutOfBlocksError, blocks_for

SeqId = Hashable


class BlockManager:
    """Which blocks each sequence has. ``PagedKVCache`` is one that also holds and moves what the blocks contain.

    A sequence is known by any hashable id but None, such as a request's number.

    Args:
        num_blocks: blocks in the cache, >= 1.
        block_size: tokens per block, >= 1.
        num_host_blocks: blocks that swapped-out sequences may take on the host.

    Raises:
        ValueError: a count that is too small.
    """

    def __init__(self, num_blocks: int, block_size: int, num_host_blocks: int = 0):
        if block_size < 1 or num_host_blocks < 0:
            raise ValueError(
                f"block_size and num_host_blocks: given {block_size} and {num_host_blocks}, expected >= 1 and >= 0"
            )
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.num_host_blocks = num_host_blocks
        self._allocator = BlockAllocator(num_blocks)
        self._host_allocator = BlockAllocator(num_host_blocks) if num_host_blocks else None
        self._tables: dict[SeqId, BlockTable] = {}
        self._swapped: dict[SeqId, BlockTable] = {}

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
        return list(self._tables)

    @property
    def swapped_seq_ids(self) -> list[SeqId]:
        """The sequences on the host."""
        return list(self._swapped)

    def can_allocate(self, num_tokens: int) -> bool:
        """Whether a new sequence of ``num_tokens`` tokens fits now."""
        return blocks_for(num_tokens, self.block_size) <= self.num_free_blocks

    def allocate(self, seq_id: SeqId, num_tokens: int = 0) -> list[int]:
        """Begins a sequence with room for ``num_tokens`` tokens and returns their slots.

        Raises:
            ValueError: the sequence exists already, its id is None, or num_tokens < 0.
            OutOfBlocksError: not enough free blocks; the sequence is not begun.
        """
        self._check_new(seq_id)
        table = BlockTable(self._allocator, self.block_size)
        slots = table.append(num_tokens)
        self._tables[seq_id] = table
        return slots

    def can_append(self, seq_id: SeqId, num_tokens: int = 1) -> bool:
        """Whether ``append`` finds enough free blocks. KeyError: no such sequence in the cache."""
        return self._table(seq_id).blocks_to_append(num_tokens) <= self.num_free_blocks

    def append(self, seq_id: SeqId, num_tokens: int = 1) -> list[int]:
        """Makes room for ``num_tokens`` more tokens and returns their slots.

        Where the last block is shared and not full, the sequence gets one of its own (copy-on-write).

        Raises:
            KeyError: no such sequence in the cache. ValueError: num_tokens < 0.
            OutOfBlocksError: not enough free blocks; nothing has changed.
        """
        return self._table(seq_id).append(num_tokens)

    def fork(self, parent: SeqId, child: SeqId, num_tokens: int | None = None) -> None:
        """Begins ``child`` with the first ``num_tokens`` tokens of ``parent``, all by default. Takes no block.

        With ``num_tokens`` it shares a prompt's prefix; in whole blocks (a multiple of ``block_size``) nothing will
        have to be copied later.

        Raises:
            KeyError: no parent in the cache. ValueError: the child exists, or the parent has fewer tokens.
        """
        table = self._table(parent)
        self._check_new(child)
        self._tables[child] = table.fork(num_tokens)

    def free(self, seq_id: SeqId) -> None:
        """Ends a sequence, in the cache or swapped out; blocks that nobody else holds are free.

        Raises:
            KeyError: no such sequence.
        """
        owner = self._swapped if seq_id in self._swapped else self._tables
        self._table(seq_id, owner).release()
        del owner[seq_id]

    def can_swap_out(self, seq_ids: SeqId | Sequence[SeqId]) -> bool:
        """Whether the host has room for the sequences. KeyError: no such sequence in the cache."""
        needed = _num_blocks(self._tables_of(seq_ids, self._tables).values())
        return self._host_allocator is not None and needed <= self.num_free_host_blocks

    def can_swap_in(self, seq_ids: SeqId | Sequence[SeqId]) -> bool:
        """Whether the cache has room for the sequences. KeyError: no such sequence on the host."""
        return _num_blocks(self._tables_of(seq_ids, self._swapped).values()) <= self.num_free_blocks

    def swap_out(self, seq_ids: SeqId | Sequence[SeqId]) -> list[tuple[int, int]]:
        """Moves sequences to the host: one, or a list that moves together and keeps sharing among itself.

        Blocks that others share stay for them.

        Returns:
            What was copied, (block, host block).

        Raises:
            KeyError: no such sequence in the cache. ValueError: an id is listed twice.
            OutOfBlocksError: the host has not that many free blocks; nothing has changed.
        """
        if self._host_allocator is None:
            raise OutOfBlocksError("num_host_blocks is 0: there is no room on the host")
        return self._move(seq_ids, self._tables, self._swapped, self._host_allocator)

    def swap_in(self, seq_ids: SeqId | Sequence[SeqId]) -> list[tuple[int, int]]:
        """Moves swapped-out sequences back, into other blocks than before in general.

        Returns:
            What was copied, (host block, block).

        Raises:
            KeyError: no such sequence on the host. ValueError: an id is listed twice.
            OutOfBlocksError: the cache has not that many free blocks; nothing has changed.
        """
        return self._move(seq_ids, self._swapped, self._tables, self._allocator)

    def num_tokens(self, seq_id: SeqId) -> int:
        """Tokens of a sequence, in the cache or swapped out. KeyError: no such sequence."""
        return self._table(seq_id, {**self._tables, **self._swapped}).num_tokens

    def block_table(self, seq_id: SeqId) -> list[int]:
        """The blocks of a sequence, in the order of its tokens. KeyError: no such sequence in the cache."""
        return list(self._table(seq_id).blocks)

    def slots(self, seq_id: SeqId, start: int = 0, stop: int | None = None) -> list[int]:
        """The slots of a sequence's tokens from ``start`` to ``stop``.

        Raises:
            KeyError: no such sequence in the cache. IndexError: no such token.
        """
        return self._table(seq_id).slots(start, stop)

    def ref_count(self, block: int) -> int:
        """How many sequences hold a block of the cache."""
        return self._allocator.ref_count(block)

    def _move(
        self,
        seq_ids: SeqId | Sequence[SeqId],
        source: dict[SeqId, BlockTable],
        target: dict[SeqId, BlockTable],
        allocator: BlockAllocator,
    ) -> list[tuple[int, int]]:
        moving = self._tables_of(seq_ids, source)
        blocks = _distinct(moving.values())
        moved = dict(zip(blocks, allocator.allocate(len(blocks)), strict=True))
        first_use = set(blocks)
        for seq_id, table in moving.items():
            allocator.share([moved[block] for block in table.blocks if block not in first_use])
            first_use.difference_update(table.blocks)
            there = [moved[block] for block in table.blocks]
            target[seq_id] = BlockTable.over(there, table.num_tokens, allocator, self.block_size)
            table.release()
            del source[seq_id]
        return list(moved.items())

    def _tables_of(
        self, seq_ids: SeqId | Sequence[SeqId], owner: Mapping[SeqId, BlockTable]
    ) -> dict[SeqId, BlockTable]:
        group = seq_ids if isinstance(seq_ids, list) else [seq_ids]
        if len(set(group)) != len(group):
            raise ValueError(f"seq_ids: given {group}, expected each once")
        return {seq_id: self._table(seq_id, owner) for seq_id in group}

    def _table(self, seq_id: SeqId, owner: Mapping[SeqId, BlockTable] | None = None) -> BlockTable:
        table = (self._tables if owner is None else owner).get(seq_id)
        if table is not None:
            return table
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


def _distinct(tables: Iterable[BlockTable]) -> list[int]:
    return list(dict.fromkeys(block for table in tables for block in table.blocks))


def _num_blocks(tables: Iterable[BlockTable]) -> int:
    return len(_distinct(tables))
