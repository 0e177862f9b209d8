"""Which blocks are free, who holds a block, and the slots of a sequence's tokens. Pure bookkeeping, no tensors.

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

from collections import Counter, deque
from collections.abc import Sequence


class OutOfBlocksError(RuntimeError):
    """Not enough free blocks; nothing was allocated."""


class BlockAllocator:
    """Hands out block numbers 0..num_blocks-1 and counts their references.

    Freed blocks go to the back of the queue, so that neighbouring pages of a sequence end up far apart, as they do in a
    server that has run for a while.

    Args:
        num_blocks: how many blocks the cache has, >= 1.

    Raises:
        ValueError: num_blocks < 1.
    """

    def __init__(self, num_blocks: int):
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        self.num_blocks = num_blocks
        self._free = deque(range(num_blocks))
        self._references: Counter[int] = Counter()
        self._copy_on_writes: list[tuple[int, int]] = []

    @property
    def num_free(self) -> int:
        """How many blocks are free."""
        return len(self._free)

    def ref_count(self, block: int) -> int:
        """How many tables hold ``block``; 0 for a free one."""
        return self._references[block]

    def allocate(self, count: int) -> list[int]:
        """Takes ``count`` free blocks, each with one reference.

        Raises:
            OutOfBlocksError: fewer than ``count`` are free; none is taken.
            ValueError: count < 0.
        """
        if count < 0:
            raise ValueError(f"count must not be negative, got {count}")
        if count > len(self._free):
            raise OutOfBlocksError(f"{count} blocks asked for, {len(self._free)} of {self.num_blocks} are free")
        blocks = [self._free.popleft() for _ in range(count)]
        self._references.update(blocks)
        return blocks

    def share(self, blocks: Sequence[int]) -> None:
        """Adds a reference to each of ``blocks``.

        Raises:
            ValueError: a block is not in use, or is listed twice; none is shared.
        """
        self._check_in_use(blocks)
        self._references.update(blocks)

    def free(self, blocks: Sequence[int]) -> None:
        """Takes a reference from each of ``blocks``; those without any left are free.

        Raises:
            ValueError: a block is not in use, or is listed twice; none is freed.
        """
        self._check_in_use(blocks)
        self._references.subtract(blocks)
        self._free.extend(block for block in blocks if not self._references[block])

    def record_copy_on_write(self, source: int, target: int) -> None:
        """Notes that what block ``source`` holds has to be copied to ``target`` before either is written."""
        self._copy_on_writes.append((source, target))

    def clear_copy_on_writes(self) -> list[tuple[int, int]]:
        """The copies, (source, target), noted since the last call."""
        copies, self._copy_on_writes = self._copy_on_writes, []
        return copies

    def _check_in_use(self, blocks: Sequence[int]) -> None:
        if len(set(blocks)) != len(blocks) or not all(self._references[block] for block in blocks):
            raise ValueError(f"blocks {list(blocks)} are not all in use, or one is listed twice")


class BlockTable:
    """The blocks of one sequence, in the order of its tokens; grows a block at a time.

    Args:
        allocator: where blocks come from.
        block_size: tokens per block, >= 1.

    Raises:
        ValueError: block_size < 1.
    """

    def __init__(self, allocator: BlockAllocator, block_size: int):
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size}")
        self.block_size = block_size
        self.blocks: list[int] = []
        self.num_tokens = 0
        self._allocator = allocator

    def blocks_to_append(self, count: int) -> int:
        """How many free blocks ``append(count)`` takes: the new ones, and one where the last block is shared.

        Raises:
            ValueError: count < 0.
        """
        if count < 0:
            raise ValueError(f"count must not be negative, got {count}")
        missing = blocks_for(self.num_tokens + count, self.block_size) - len(self.blocks)
        return missing + (count > 0 and self._writes_shared_block())

    def append(self, count: int) -> list[int]:
        """Makes room for ``count`` more tokens and returns their slots, ``block * block_size + offset`` each.

        A last block that is not full and is shared is replaced by a new one; the allocator notes the copy to make.

        Raises:
            OutOfBlocksError: not enough free blocks; the table is unchanged.
            ValueError: count < 0.
        """
        new = self._allocator.allocate(self.blocks_to_append(count))
        if count and self._writes_shared_block():
            source, target = self.blocks[-1], new.pop(0)
            self.blocks[-1] = target
            self._allocator.record_copy_on_write(source, target)
            self._allocator.free([source])
        self.blocks += new
        start, self.num_tokens = self.num_tokens, self.num_tokens + count
        return self.slots(start, self.num_tokens)

    def slot(self, position: int) -> int:
        """The slot of the token at ``position``.

        Raises:
            IndexError: the sequence has no such token.
        """
        if not 0 <= position < self.num_tokens:
            raise IndexError(f"position {position} is outside a sequence of {self.num_tokens} tokens")
        return self.blocks[position // self.block_size] * self.block_size + position % self.block_size

    def slots(self, start: int = 0, stop: int | None = None) -> list[int]:
        """The slots of the tokens from ``start`` up to ``stop``, which is the end by default.

        Raises:
            IndexError: the sequence has no such token.
        """
        return [self.slot(position) for position in range(start, self.num_tokens if stop is None else stop)]

    def fork(self, num_tokens: int | None = None) -> "BlockTable":
        """A table of the first ``num_tokens`` tokens, all by default, that shares the blocks they lie in.

        Raises:
            ValueError: the sequence has fewer tokens, or num_tokens < 0.
        """
        count = self.num_tokens if num_tokens is None else num_tokens
        if not 0 <= count <= self.num_tokens:
            raise ValueError(f"num_tokens must be between 0 and {self.num_tokens}, got {count}")
        shared = self.blocks[: blocks_for(count, self.block_size)]
        self._allocator.share(shared)
        return BlockTable.over(shared, count, self._allocator, self.block_size)

    @classmethod
    def over(cls, blocks: Sequence[int], num_tokens: int, allocator: BlockAllocator, block_size: int) -> "BlockTable":
        """A table over ``blocks``, whose references become the table's."""
        table = cls(allocator, block_size)
        table.blocks, table.num_tokens = list(blocks), num_tokens
        return table

    def release(self) -> list[int]:
        """Gives its references back and returns the blocks; the table is empty afterwards."""
        blocks, self.blocks, self.num_tokens = self.blocks, [], 0
        self._allocator.free(blocks)
        return blocks

    def _writes_shared_block(self) -> bool:
        return self.num_tokens % self.block_size > 0 and self._allocator.ref_count(self.blocks[-1]) > 1


def blocks_for(num_tokens: int, block_size: int) -> int:
    """How many blocks ``num_tokens`` tokens take."""
    return -(-num_tokens // block_size)
