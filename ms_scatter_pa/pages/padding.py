"""From lists of slots and blocks to the padded arrays that a step takes."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from .integers import Int64Array, int64_array, integer, narrowed

PADDING_SLOT = -1

IndexArray = npt.NDArray[Any]


def pad_slot_mapping(rows: Sequence[Sequence[int]], width: int, dtype: Any = None) -> IndexArray:
    """One row of slots per batch row, padded with -1, which the operator skips: [len(rows) * width].

    Args:
        dtype: ``numpy.int32`` or ``numpy.int64``; by default int32 where every slot fits, else int64.

    Raises:
        ValueError: a row is longer than ``width``, or a slot does not fit in ``dtype``. TypeError: no integers.

    >>> pad_slot_mapping([[4, 5], [9]], 2).tolist()
    [4, 5, 9, -1]
    """
    return narrowed(pad_rows(rows, width, PADDING_SLOT, "slots"), dtype, "slots").reshape(-1)


def pad_block_tables(rows: Sequence[Sequence[int]], width: int, padding: int = 0, dtype: Any = None) -> IndexArray:
    """One row of blocks per batch row: [len(rows), width].

    Padding is block 0 by default: a table that is read with a gather needs blocks that exist, and attention masks what
    it reads there. Paged attention kernels take -1.

    Args:
        dtype: ``numpy.int32`` or ``numpy.int64``; by default int32 where every block fits, else int64.

    Raises:
        ValueError: a row is longer than ``width``, or a block does not fit in ``dtype``. TypeError: no integers.

    >>> pad_block_tables([[4], [9, 1]], 2).tolist()
    [[4, 0], [9, 1]]
    """
    return narrowed(pad_rows(rows, width, padding, "blocks"), dtype, "blocks")


def pad_rows(rows: Sequence[Sequence[int] | Int64Array], width: int, padding: int, what: str) -> Int64Array:
    """int64 [len(rows), width]; ``what`` names the numbers in the error."""
    width = integer(width, "width")
    (filler,) = int64_array([integer(padding, "padding")], "padding")
    if width < 0:
        raise ValueError(f"width: given {width}, expected at least 0")
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    if (lengths > width).any():
        index = int((lengths > width).argmax())
        raise ValueError(f"row {index} has {lengths[index]} {what}, more than {width}")
    padded = np.full((len(rows), width), filler, np.int64)
    padded[np.arange(width) < lengths[:, None]] = joined(rows, what)
    return padded


def joined(rows: Sequence[Sequence[int] | Int64Array], what: str) -> Int64Array:
    """All rows' numbers, one after another."""
    if any(isinstance(row, np.ndarray) for row in rows):
        return np.concatenate([int64_array(row, what) for row in rows])
    return int64_array(chain.from_iterable(rows), what)
