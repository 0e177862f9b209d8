"""Pages of the KV cache: which blocks are free, which sequence owns which block, and the slots of its tokens.

>>> allocator = BlockAllocator(num_blocks=4)
>>> table = BlockTable(allocator, block_size=2)
>>> table.append(3)                     # three tokens: two blocks, the second one half full
[0, 1, 2]
>>> table.blocks
[0, 1]
>>> table.release(); allocator.num_free
4
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PADDING_SLOT = -1


class OutOfBlocksError(RuntimeError):
    """No free block is left; nothing was allocated."""


class BlockAllocator:
    """Hands out block numbers 0..num_blocks-1.

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
        self._used: set[int] = set()

    @property
    def num_free(self) -> int:
        """How many blocks are free."""
        return len(self._free)

    def allocate(self, count: int) -> list[int]:
        """Takes ``count`` free blocks.

        Raises:
            OutOfBlocksError: fewer than ``count`` are free; none is taken.
            ValueError: count < 0.
        """
        if count < 0:
            raise ValueError(f"count must not be negative, got {count}")
        if count > len(self._free):
            raise OutOfBlocksError(f"{count} blocks asked for, {len(self._free)} of {self.num_blocks} are free")
        blocks = [self._free.popleft() for _ in range(count)]
        self._used.update(blocks)
        return blocks

    def free(self, blocks: Sequence[int]) -> None:
        """Gives blocks back.

        Raises:
            ValueError: a block is not in use, or is listed twice; none is freed.
        """
        if len(set(blocks)) != len(blocks) or not self._used.issuperset(blocks):
            raise ValueError(f"blocks {list(blocks)} are not all in use, or one is listed twice")
        self._used.difference_update(blocks)
        self._free.extend(blocks)


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

    def append(self, count: int) -> list[int]:
        """Makes room for ``count`` more tokens and returns their slots, ``block * block_size + offset`` each.

        Raises:
            OutOfBlocksError: not enough free blocks; the table is unchanged.
            ValueError: count < 0.
        """
        if count < 0:
            raise ValueError(f"count must not be negative, got {count}")
        positions = range(self.num_tokens, self.num_tokens + count)
        missing = blocks_for(self.num_tokens + count, self.block_size) - len(self.blocks)
        self.blocks += self._allocator.allocate(missing)
        self.num_tokens += count
        return [self.slot(position) for position in positions]

    def slot(self, position: int) -> int:
        """The slot of the token at ``position``.

        Raises:
            IndexError: the sequence has no such token.
        """
        if not 0 <= position < self.num_tokens:
            raise IndexError(f"position {position} is outside a sequence of {self.num_tokens} tokens")
        return self.blocks[position // self.block_size] * self.block_size + position % self.block_size

    def release(self) -> list[int]:
        """Gives every block back and returns them; the table is empty afterwards."""
        blocks, self.blocks, self.num_tokens = self.blocks, [], 0
        self._allocator.free(blocks)
        return blocks


def blocks_for(num_tokens: int, block_size: int) -> int:
    """How many blocks ``num_tokens`` tokens take."""
    return -(-num_tokens // block_size)


def pad_slot_mapping(rows: Sequence[Sequence[int]], width: int) -> npt.NDArray[np.int32]:
    """One row of slots per batch row, padded with -1, which the operator skips: int32 [len(rows) * width].

    Raises:
        ValueError: a row is longer than ``width``.
    """
    return _pad(rows, width, PADDING_SLOT, "slots").reshape(-1)


def pad_block_tables(rows: Sequence[Sequence[int]], width: int) -> npt.NDArray[np.int32]:
    """One row of blocks per batch row: int32 [len(rows), width].

    Padding is block 0: the table is read with a gather, which needs a block that exists, and attention masks what it
    reads there.

    Raises:
        ValueError: a row is longer than ``width``.
    """
    return _pad(rows, width, 0, "blocks")


def _pad(rows: Sequence[Sequence[int]], width: int, filler: int, what: str) -> npt.NDArray[np.int32]:
    padded = np.full((len(rows), width), filler, np.int32)
    for index, row in enumerate(rows):
        if len(row) > width:
            raise ValueError(f"row {index} has {len(row)} {what}, more than {width}")
        padded[index, : len(row)] = row
    return padded
