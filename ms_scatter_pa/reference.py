"""The NumPy definition of the operator: slow, obvious, and the judge of every other implementation.

It is written from the operator's contract loop by loop, one ``put`` per cache row, and shares no code with the
backends. Arrays are written in place, and nothing is written when a call is refused.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import hifloat8
from .float_environment import ieee_floats

Array = npt.NDArray[Any]
Status = list[int]

OK, BAD_SLOT, DUPLICATE, BAD_LENGTHS, BAD_SHAPES = range(5)


def write_reference(
    key: Array,
    value: Array | None,
    key_cache: Array,
    value_cache: Array | None,
    slot_mapping: Array,
    *,
    layout: str,
    scatter_mode: str = "None",
    compress_lens: Array | None = None,
    compress_seq_offsets: Array | None = None,
    seq_lens: Array | None = None,
    dtype: str | None = None,
    check_duplicates: bool = False,
) -> Status:
    """Writes K and V rows into the caches in place and returns the status ``[code, position, value, limit]``.

    Args:
        key: [T, N, Dk]; for Alibi, Rope and Omni [B, S, N, Dk], or packed [sum(seq_lens), N, Dk].
        value: as ``key`` with Dv, or None together with ``value_cache`` for a key-only write.
        key_cache: Norm [NB, BS, N, Dk]; PA_NZ [NB, N*Dk/LD, BS, LD] or [NB, N, Dk/LD, BS, LD]; NHSD [NB, N, BS, Dk];
            Alibi, Rope and Omni [NB, BS, 1, Dk].
        value_cache: as ``key_cache`` with Dv.
        slot_mapping: int32 or int64, [T], or [B, N] for Alibi, Rope and Omni.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``; given, never guessed.
        scatter_mode: ``None``, ``Alibi``, ``Rope`` or ``Omni``.
        compress_lens: [B, N].
        compress_seq_offsets: [B*N]; Rope and Omni.
        seq_lens: [B].
        dtype: the element type's name where NumPy cannot tell it (``hifloat8`` held as uint8); else taken from ``key``.
        check_duplicates: refuse slots that are written twice.

    Returns:
        ``[0, 0, 0, 0]`` when the rows were written; otherwise nothing was, and code is 1 (bad slot), 2 (duplicate),
        3 (bad lengths) or 4 (rows that disagree with sum(seq_lens)).

    Example:
        >>> import numpy as np
        >>> from ms_scatter_pa import write_reference
        >>> key = np.arange(2 * 1 * 4, dtype=np.float16).reshape(2, 1, 4)
        >>> cache = np.zeros((2, 2, 1, 4), np.float16)  # [num_blocks, block_size, num_head, head_size]
        >>> write_reference(key, None, cache, None, np.array([3, -1]), layout="Norm")
        [0, 0, 0, 0]
        >>> cache[1, 1, 0].tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    sides = [(key, key_cache)] + ([(value, value_cache)] if value is not None and value_cache is not None else [])
    num_blocks = key_cache.shape[0]
    block_size = {"Norm": key_cache.shape[1], "PA_NZ": key_cache.shape[-2], "NHSD": key_cache.shape[2]}[layout]
    capacity = num_blocks * block_size

    if scatter_mode == "None":
        runs = [(int(slot), 1) for slot in slot_mapping.reshape(-1)]
    else:
        assert compress_lens is not None and seq_lens is not None
        status, pairs = _read_pairs(
            key, slot_mapping, compress_lens, compress_seq_offsets, seq_lens, scatter_mode, capacity
        )
        if status[0]:
            return status
        runs = [(pair.slot, pair.rows) for pair in pairs]

    for position, (slot, rows) in enumerate(runs):
        if slot > capacity - max(rows, 1):
            return [BAD_SLOT, position, slot, capacity]
    if check_duplicates:
        status = _find_duplicate(runs)
        if status[0]:
            return status

    for rows_in, cache in sides:
        put = _putter(cache, layout, block_size)
        if scatter_mode == "None":
            for token, (slot, _) in enumerate(runs):
                if slot >= 0:
                    put(slot, rows_in[token])
        else:
            name = dtype or rows_in.dtype.name
            for pair in pairs:
                for k, row in enumerate(pair.output_rows(rows_in, name)):
                    put(pair.slot + k, row[None])
    return [OK, 0, 0, 0]


def _putter(cache: Array, layout: str, block_size: int) -> Callable[[int, Array], None]:
    """``put(s, row)`` of docs/contract.md, section 3, for one cache; ``row`` is [N, D]."""

    def put_norm(slot: int, row: Array) -> None:
        cache[slot // block_size, slot % block_size] = row

    def put_nhsd(slot: int, row: Array) -> None:
        cache[slot // block_size, :, slot % block_size] = row

    def put_nz(slot: int, row: Array) -> None:
        last_dim = cache.shape[-1]
        groups = cache[slot // block_size].reshape(-1, block_size, last_dim)
        for channel, element in enumerate(row.reshape(-1)):
            groups[channel // last_dim, slot % block_size, channel % last_dim] = element

    return {"Norm": put_norm, "PA_NZ": put_nz, "NHSD": put_nhsd}[layout]


class _Pair:
    """One (batch, head) of Alibi, Rope or Omni: which source rows land at ``slot``, ``slot + 1``, ..."""

    def __init__(self, mode: str, first: tuple[int, int], head: int, slot: int, length: int, n: int, offset: int):
        self.mode, self.first, self.head, self.slot = mode, first, head, slot
        self.length, self.n, self.offset = length, n, offset

    @property
    def compressed(self) -> bool:
        return self.mode != "Alibi" and not (self.offset == -1 or self.n == 0 or self.offset == self.length)

    @property
    def rows(self) -> int:
        """How many cache rows the pair takes."""
        if self.slot < 0:
            return 0
        if self.mode == "Alibi":
            return self.n
        if not self.compressed:
            return self.length
        return self.length - self.n + (1 if self.mode == "Rope" else 0)

    def output_rows(self, source: Array, dtype: str) -> Iterator[Array]:
        if self.slot < 0:
            return
        batch, start = self.first
        rows = source[batch, :, self.head] if source.ndim == 4 else source[start:, self.head]
        if self.mode == "Alibi":
            yield from rows[self.length - self.n : self.length]
            return
        if not self.compressed:
            yield from rows[: self.length]
            return
        yield from rows[: self.offset]
        if self.mode == "Rope":
            yield mean_row(rows[self.offset : self.offset + self.n], dtype)
        yield from rows[self.offset + self.n : self.length]


def _read_pairs(
    key: Array,
    slot_mapping: Array,
    compress_lens: Array,
    compress_seq_offsets: Array | None,
    seq_lens: Array,
    mode: str,
    capacity: int,
) -> tuple[Status, list[_Pair]]:
    packed = key.ndim == 3
    heads = key.shape[-2]
    lengths = [int(x) for x in seq_lens.reshape(-1)]
    slots = [int(x) for x in slot_mapping.reshape(-1)]
    counts = [int(x) for x in compress_lens.reshape(-1)]
    offsets = [-1] * len(slots) if compress_seq_offsets is None else [int(x) for x in compress_seq_offsets.reshape(-1)]
    bound = key.shape[0] if packed else key.shape[1]

    if packed and all(0 <= length <= bound for length in lengths) and sum(lengths) != bound:
        return [BAD_SHAPES, 0, bound, sum(lengths)], []

    pairs = []
    start = 0
    for batch, length in enumerate(lengths):
        for head in range(heads):
            position = batch * heads + head
            slot, n, offset = slots[position], counts[position], offsets[position]
            if (packed or slot >= 0) and not 0 <= length <= bound:
                return [BAD_LENGTHS, position, length, bound], []
            if slot >= 0:
                bad = _bad_length(mode, length, n, offset)
                if bad is not None:
                    return [BAD_LENGTHS, position, bad, length], []
            pair = _Pair(mode, (batch, start), head, slot, length, n, offset)
            if slot > capacity - max(pair.rows, 1):
                return [BAD_SLOT, position, slot, capacity], []
            pairs.append(pair)
        start += length
    return [OK, 0, 0, 0], pairs


def _bad_length(mode: str, length: int, n: int, offset: int) -> int | None:
    """The first value of the pair that breaks docs/contract.md, section 5, or None."""
    if mode == "Alibi":
        return None if 0 <= n <= length else n
    if offset in (-1, length):
        return None
    if not 0 <= offset <= length:
        return offset
    return None if 0 <= n <= length - offset else n


def _find_duplicate(runs: list[tuple[int, int]]) -> Status:
    """The first run that overlaps an earlier one: its position, the lowest shared slot, the earlier position."""
    owner: dict[int, int] = {}
    for position, (slot, rows) in enumerate(runs):
        if slot < 0:
            continue
        taken = [(owner[s], s) for s in range(slot, slot + rows) if s in owner]
        if taken:
            first, shared = min(taken)
            return [DUPLICATE, position, shared, first]
        for s in range(slot, slot + rows):
            owner[s] = position
    return [OK, 0, 0, 0]


def mean_row(rows: Array, dtype: str) -> Array:
    """The mean over axis 0 of [n, D], n >= 1, rounded as docs/contract.md, section 3, says; the result has the dtype of ``rows``.

    Float types: a float32 accumulator that starts at +0.0, rows added in order, one division by float32(n), one
    rounding to nearest even (hifloat8: half away from zero). Integers: a 64-bit sum and a truncating division.
    """
    n = len(rows)
    if dtype == "hifloat8":
        widened = hifloat8.to_float32(rows)
    elif np.issubdtype(rows.dtype, np.integer):
        return np.array([_truncating_mean([int(x) for x in column], n) for column in rows.T], rows.dtype)
    else:
        widened = rows.astype(np.float32)
    with ieee_floats(), np.errstate(all="ignore"):
        total = np.zeros(rows.shape[1], np.float32)
        for row in widened:
            total = total + row
        mean = total / np.float32(n)
        return hifloat8.from_float32(mean) if dtype == "hifloat8" else mean.astype(rows.dtype)


def _truncating_mean(column: list[int], n: int) -> int:
    total = sum(column)
    return -(-total // n) if total < 0 else total // n
