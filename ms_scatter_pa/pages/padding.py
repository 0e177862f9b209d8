"""From lists of slots and blocks to the padded arrays that a step takes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PADDING_SLOT = -1

Int32Array = npt.NDArray[np.int32]


def pad_slot_mapping(rows: Sequence[Sequence[int]], width: int) -> Int32Array:
    """One row of slots per batch row, padded with -1, which the operator skips: int32 [len(rows) * width].

    Raises:
        ValueError: a row is longer than ``width``.

    >>> pad_slot_mapping([[4, 5], [9]], 2).tolist()
    [4, 5, 9, -1]
    """
    return pad_rows(rows, width, PADDING_SLOT, "slots").reshape(-1)


def pad_block_tables(rows: Sequence[Sequence[int]], width: int, padding: int = 0) -> Int32Array:
    """One row of blocks per batch row: int32 [len(rows), width].

    Padding is block 0 by default: a table that is read with a gather needs blocks that exist, and attention masks what
    it reads there. Paged attention kernels take -1.

    Raises:
        ValueError: a row is longer than ``width``.

    >>> pad_block_tables([[4], [9, 1]], 2).tolist()
    [[4, 0], [9, 1]]
    """
    return pad_rows(rows, width, padding, "blocks")


def pad_rows(rows: Sequence[Sequence[int]], width: int, padding: int, what: str) -> Int32Array:
    """int32 [len(rows), width]; ``what`` names the numbers in the error."""
    padded = np.full((len(rows), width), padding, np.int32)
    for index, row in enumerate(rows):
        if len(row) > width:
            raise ValueError(f"row {index} has {len(row)} {what}, more than {width}")
        padded[index, : len(row)] = row
    return padded
