"""The NumPy definition of the two operators beside the write: gather, and the quantising write with its inverse.

Plain loops, row by row; nothing is shared with the backends. Arrays are written in place, and nothing is written when a
call is refused.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .float_environment import ieee_floats
from .reference import BAD_LENGTHS, BAD_SLOT, DUPLICATE, OK, Array, Status

BAD_SCALE, BAD_OFFSET = 5, 6

GATHER_ARGUMENTS = (
    *("key_cache", "value_cache", "block_tables", "seq_lens", "key", "value", "seq_offset", "key_scale", "value_scale"),
    *("key_offset", "value_offset", "key_scale_cache", "value_scale_cache"),
)
QUANT_ARGUMENTS = (
    *("key", "value", "key_cache", "value_cache", "slot_mapping", "key_scale", "value_scale", "key_offset"),
    *("value_offset", "key_scale_cache", "value_scale_cache"),
)

LARGEST = {"int8": 127.0, "float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
"""The largest code of each dtype of quantised caches, as a number."""


def _block_size(cache: Array, layout: str) -> int:
    return int({"Norm": cache.shape[1], "PA_NZ": cache.shape[-2], "NHSD": cache.shape[2]}[layout])


def _row(cache: Array, layout: str, block: int, offset: int, heads: int) -> Array:
    """Cache row (block, offset) as [N, D], a copy."""
    if layout == "Norm":
        return np.array(cache[block, offset]).reshape(heads, -1)
    if layout == "NHSD":
        return np.array(cache[block, :, offset])
    groups = cache[block].reshape(-1, cache.shape[-2], cache.shape[-1])
    return np.array(groups[:, offset, :]).reshape(heads, -1)


def _put(cache: Array, layout: str, block: int, offset: int, row: Array) -> None:
    """Writes [N, D] to cache row (block, offset)."""
    if layout == "Norm":
        cache[block, offset] = row.reshape(cache.shape[2:])
    elif layout == "NHSD":
        cache[block, :, offset] = row
    else:
        groups = cache[block].reshape(-1, cache.shape[-2], cache.shape[-1])
        groups[:, offset, :] = row.reshape(-1, cache.shape[-1])


def _scales_at(scale_cache: Array, layout: str, block: int, offset: int) -> Array:
    """The [N] scales of cache row (block, offset), a view."""
    return scale_cache[block, :, offset, 0] if layout == "NHSD" else scale_cache[block, offset]


def _per_channel(scale: Array, heads: int, head_size: int) -> Array:
    """A scale or offset [1], [N] or [N, D] as [N, D]."""
    shaped = scale.reshape(-1, 1) if scale.ndim == 1 else scale
    return np.array(np.broadcast_to(shaped, (heads, head_size)))


def quantise(x: Array, scale: Array, offset: Array | None, dtype: npt.DTypeLike, lowest: float) -> Array:
    """saturate(round(x / scale + offset)) in float32, in that order, to nearest even.

    Args:
        x: float rows, any shape.
        scale: float32, of a shape that broadcasts.
        offset: float32 as ``scale``, or None.
        dtype: int8, float8_e4m3fn or float8_e5m2.
        lowest: the least int8 code.
    """
    dtype = np.dtype(dtype)
    largest = np.float32(LARGEST[dtype.name])
    with ieee_floats(), np.errstate(all="ignore"):
        q = x.astype(np.float32) / scale
        if offset is not None:
            q = q + offset
        if dtype.name == "int8":
            q = np.where(np.isnan(q), np.float32(0), q)
            return np.array(np.rint(np.clip(q, np.float32(lowest), largest)), np.int8)
        return np.clip(q, -largest, largest).astype(dtype)  # ml_dtypes rounds


def dequantise(q: Array, scale: Array, offset: Array | None, dtype: npt.DTypeLike) -> Array:
    """(q - offset) * scale in float32, then one rounding to ``dtype``."""
    with ieee_floats(), np.errstate(all="ignore"):
        x = q.astype(np.float32)
        if offset is not None:
            x = x - offset
        return (x * scale).astype(dtype)


def dynamic_scale(row: Array, dtype: npt.DTypeLike) -> Array:
    """max|x| / qmax over the last axis, float32; 1.0 where that is 0."""
    with ieee_floats(), np.errstate(all="ignore"):
        magnitude = np.abs(row.astype(np.float32))
        most = np.max(magnitude, axis=-1, initial=0)  # a NaN stays one
        scale = np.array(most / np.float32(LARGEST[np.dtype(dtype).name]), np.float32)
        scale[scale == 0] = 1
    return scale


def _bad_scales(sides: list[tuple[str, Array | None, Array | None, bool]], arguments: tuple[str, ...]) -> Status | None:
    """The first static scale that is no positive finite number, or offset that is not finite."""
    for side, scale, offset, static in sides:
        if scale is None or not static:
            continue
        for i, x in enumerate(scale.reshape(-1)):
            if not (x > 0 and np.isfinite(x)):
                return [BAD_SCALE, i, int(x.view(np.uint32)), arguments.index(f"{side}_scale")]
        for i, x in enumerate(() if offset is None else offset.reshape(-1)):
            if not np.isfinite(x):
                return [BAD_OFFSET, i, int(x.view(np.uint32)), arguments.index(f"{side}_offset")]
    return None


def quant_scatter_reference(
    key: Array,
    value: Array | None,
    key_cache: Array,
    value_cache: Array | None,
    slot_mapping: Array,
    *,
    layout: str,
    key_scale: Array | None = None,
    value_scale: Array | None = None,
    key_offset: Array | None = None,
    value_offset: Array | None = None,
    key_scale_cache: Array | None = None,
    value_scale_cache: Array | None = None,
    check_duplicates: bool = False,
) -> Status:
    """Quantises rows into pages in place and returns the status ``[code, position, value, limit]``.

    Args:
        key: [T, N, Dk]; float16, bfloat16 or float32, or of the cache's dtype, which is copied.
        value: as ``key`` with Dv, or None together with ``value_cache``.
        key_cache: int8, float8_e4m3fn or float8_e5m2 in one of the layouts of the write.
        value_cache: as ``key_cache``.
        slot_mapping: int32 or int64 [T].
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        key_scale: static: float32 [1], [N] or [N, Dk]; with ``key_scale_cache``: [T, N], stored unchanged.
        value_scale: as ``key_scale``.
        key_offset: float32 of ``key_scale``'s shape; int8 only.
        value_offset: as ``key_offset``.
        key_scale_cache: float32 [NB, BS, N], or [NB, N, BS, 1] in NHSD; written in place.
        value_scale_cache: as ``key_scale_cache``.
        check_duplicates: refuse slots that are written twice.

    Returns:
        ``[0, 0, 0, 0]`` when the rows were written; otherwise nothing was.

    Example:
        >>> import numpy as np
        >>> from ms_scatter_pa import quant_scatter_reference
        >>> key = np.array([[[1.0, -2.0]]], np.float32)
        >>> key_cache, scale = np.zeros((1, 2, 1, 2), np.int8), np.array([0.5], np.float32)
        >>> quant_scatter_reference(key, None, key_cache, None, np.array([1]), layout="Norm", key_scale=scale)
        [0, 0, 0, 0]
        >>> key_cache[0, 1, 0].tolist()
        [2, -4]
    """
    heads, block_size = key.shape[1], _block_size(key_cache, layout)
    capacity = key_cache.shape[0] * block_size
    slots = [int(slot) for slot in slot_mapping]
    for position, slot in enumerate(slots):
        if slot >= capacity:
            return [BAD_SLOT, position, slot, capacity]
    owners: dict[int, int] = {}
    for position, slot in enumerate(slots if check_duplicates else ()):
        if slot >= 0 and slot in owners:
            return [DUPLICATE, position, slot, owners[slot]]
        owners[slot] = position
    bad = _bad_scales(
        [
            ("key", key_scale, key_offset, key_scale_cache is None),
            ("value", value_scale, value_offset, value_scale_cache is None),
        ],
        QUANT_ARGUMENTS,
    )
    if bad is not None:
        return bad
    sides: list[Any] = [(key, key_cache, key_scale, key_offset, key_scale_cache)]
    if value is not None:
        sides.append((value, value_cache, value_scale, value_offset, value_scale_cache))
    for rows, cache, scale, offset, scale_cache in sides:
        for token, slot in enumerate(slots):
            if slot < 0:
                continue
            block, at = slot // block_size, slot % block_size
            row = rows[token]
            if scale_cache is not None and scale is not None:  # given
                _scales_at(scale_cache, layout, block, at)[:] = scale[token]
            elif scale_cache is not None:  # dynamic
                computed = dynamic_scale(row, cache.dtype)
                _scales_at(scale_cache, layout, block, at)[:] = computed
                row = quantise(row, computed[:, None], None, cache.dtype, -127)
            elif scale is not None:  # static
                shift = None if offset is None else _per_channel(offset, heads, row.shape[-1])
                row = quantise(row, _per_channel(scale, heads, row.shape[-1]), shift, cache.dtype, -128)
            _put(cache, layout, block, at, row)
    return [OK, 0, 0, 0]


def gather_reference(
    key_cache: Array,
    value_cache: Array | None,
    block_tables: Array,
    seq_lens: Array,
    key: Array,
    value: Array | None,
    *,
    layout: str,
    seq_offset: Array | None = None,
    is_seq_lens_cumsum: bool = False,
    key_scale: Array | None = None,
    value_scale: Array | None = None,
    key_offset: Array | None = None,
    value_offset: Array | None = None,
    key_scale_cache: Array | None = None,
    value_scale_cache: Array | None = None,
) -> Status:
    """Reads the rows of sequences from their pages into ``key`` and ``value``, in place, and returns the status.

    Args:
        key_cache: in one of the layouts of the write.
        value_cache: as ``key_cache``, or None together with ``value``.
        block_tables: int32 or int64 [B, W].
        seq_lens: [B], or their sums [B + 1], beginning with 0.
        key: [T, N, Dk], T the sum of the lengths.
        value: as ``key`` with Dv.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        seq_offset: [B], multiples of block_size: rows before them are left out.
        is_seq_lens_cumsum: whether ``seq_lens`` holds sums.
        key_scale: float32 [1], [N] or [N, Dk]: dequantise with it.
        value_scale: as ``key_scale``.
        key_offset: of ``key_scale``'s shape; int8 only.
        value_offset: as ``key_offset``.
        key_scale_cache: float32 [NB, BS, N], or [NB, N, BS, 1] in NHSD: dequantise with the scales of the rows.
        value_scale_cache: as ``key_scale_cache``.

    Returns:
        ``[0, 0, 0, 0]`` when the rows were read; otherwise nothing was written.

    Example:
        >>> import numpy as np
        >>> from ms_scatter_pa import gather_reference
        >>> cache = np.arange(2 * 2 * 1 * 2, dtype=np.float16).reshape(2, 2, 1, 2)
        >>> key = np.zeros((3, 1, 2), np.float16)
        >>> gather_reference(cache, None, np.array([[1, 0]]), np.array([3]), key, None, layout="Norm")
        [0, 0, 0, 0]
        >>> key[:, 0, 0].tolist()
        [4.0, 6.0, 0.0]
    """
    rows_expected, heads = key.shape[:2]
    block_size, num_blocks = _block_size(key_cache, layout), key_cache.shape[0]
    batch, width = block_tables.shape
    first = 1 if is_seq_lens_cumsum else 0
    entries = [int(entry) for entry in seq_lens]
    if is_seq_lens_cumsum and entries[0] != 0:
        return [BAD_LENGTHS, 0, entries[0], 0]
    lengths: list[int] = []
    for b in range(batch):
        so_far = sum(lengths)
        length = entries[b + first] - (so_far if is_seq_lens_cumsum else 0)
        if length < 0 or so_far + length > rows_expected:
            limit = rows_expected if is_seq_lens_cumsum else rows_expected - so_far
            return [BAD_LENGTHS, b + first, entries[b + first], limit]
        lengths.append(length)
    if sum(lengths) != rows_expected:
        return [BAD_LENGTHS, batch - 1 + first if batch else 0, sum(lengths), rows_expected]
    offsets = [0] * batch if seq_offset is None else [int(offset) for offset in seq_offset]
    for b, (length, offset) in enumerate(zip(lengths, offsets, strict=True)):
        if offset < 0 or offset % block_size:
            return [BAD_OFFSET, b, offset, GATHER_ARGUMENTS.index("seq_offset")]
        room = max(width - offset // block_size, 0) * block_size
        if length > room:
            return [BAD_LENGTHS, b + first, length, room]
    bad = _bad_scales(
        [("key", key_scale, key_offset, True), ("value", value_scale, value_offset, True)], GATHER_ARGUMENTS
    )
    if bad is not None:
        return bad
    places: list[tuple[int, int]] = []
    for b, (length, offset) in enumerate(zip(lengths, offsets, strict=True)):
        for i in range(length):
            column = offset // block_size + i // block_size
            block = int(block_tables[b, column])
            if not 0 <= block < num_blocks:
                return [BAD_SLOT, b * width + column, block, num_blocks]
            places.append((block, i % block_size))
    sides: list[Any] = [(key, key_cache, key_scale, key_offset, key_scale_cache)]
    if value is not None:
        sides.append((value, value_cache, value_scale, value_offset, value_scale_cache))
    for rows, cache, scale, offset, scale_cache in sides:
        for token, (block, at) in enumerate(places):
            row = _row(cache, layout, block, at, heads)
            if scale_cache is not None:
                row = dequantise(row, _scales_at(scale_cache, layout, block, at)[:, None], None, rows.dtype)
            elif scale is not None:
                shift = None if offset is None else _per_channel(offset, heads, row.shape[-1])
                row = dequantise(row, _per_channel(scale, heads, row.shape[-1]), shift, rows.dtype)
            rows[token] = row
    return [OK, 0, 0, 0]
