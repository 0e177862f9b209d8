"""Random calls of the gather and of the quantising write for the model, and the judge's answers."""

from dataclasses import replace
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 and float8 with NumPy)
import numpy as np

from ms_scatter_pa.paged_reference import gather_reference, quant_scatter_reference
from ms_scatter_pa.rules.table import dtype_named
from tests.ascendc.ascendc_cases import cache_shape, random_bits, runs_of_slots
from tests.ascendc.host_model.paged_runner import PagedCall, Side
from tests.ascendc.host_model.runner import Array

Rng = np.random.Generator


def floats(rng: Rng, shape: tuple[int, ...], dtype: str, *, odd: bool) -> Array:
    """Numbers of many sizes, zero rows, ties; with ``odd`` any bit pattern too."""
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-12, 12, (*shape[:-1], 1)))
    x[rng.random(shape[:-1]) < 0.1] = 0
    rows = x.astype(np.float32).astype(np.dtype(dtype))
    if odd:
        wild = random_bits(rng, shape, dtype)
        where = rng.random(shape) < 0.05
        where[rng.random(shape[:-1]) < 0.5] = False
        rows[where] = wild[where]
    return rows


def scale_cache_shape(layout: str, num_blocks: int, block_size: int, heads: int) -> tuple[int, ...]:
    return (num_blocks, heads, block_size, 1) if layout == "NHSD" else (num_blocks, block_size, heads)


def static(
    rng: Rng, granularity: int, heads: int, head_size: int, code: str, offset: bool
) -> tuple[Array, Array | None]:
    """A scale, and an offset where ``offset`` and the code allow one."""
    shape = ((1,), (heads,), (heads, head_size))[granularity]
    scale = np.exp2(rng.uniform(-6, 3, shape)).astype(np.float32)
    shift = rng.uniform(-20, 20, shape).astype(np.float32) if offset and code == "int8" else None
    return scale, shift


def quant_side(rng: Rng, kind: str, layout: str, shape: tuple[int, int, int], blocks: tuple[int, int], rows: str,
               code: str, *, granularity: int = 0, offset: bool = False, odd: bool = True) -> Side:  # fmt: skip
    """A side of a quantising write: T, N, D, then num_blocks and block_size."""
    tokens, heads, head_size = shape
    cache = random_bits(rng, cache_shape(layout, *blocks, heads, head_size, code), code)
    kept = rng.standard_normal(scale_cache_shape(layout, *blocks, heads)).astype(np.float32)
    if kind in ("copied", "given"):
        side = Side(random_bits(rng, shape, code), cache)
        given = rng.standard_normal((tokens, heads)).astype(np.float32)
        return side if kind == "copied" else replace(side, scale=given, scale_cache=kept)
    side = Side(floats(rng, shape, rows, odd=odd), cache)
    if kind == "dynamic":
        return replace(side, scale_cache=kept)
    scale, shift = static(rng, granularity, heads, head_size, code, offset)
    return replace(side, scale=scale, offset=shift)


def slots(rng: Rng, tokens: int, capacity: int, longest: int, index: str, padding: float = 0.2) -> Array:
    """Runs of slots; some tokens are padding."""
    given = np.array(runs_of_slots(rng, tokens, capacity, longest), np.dtype(index))
    given[rng.random(tokens) < padding] = -1
    return given


def _arguments(call: PagedCall) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, side in (("key", call.key), ("value", call.value)):
        for part in ("scale", "offset", "scale_cache"):
            found[f"{name}_{part}"] = None if side is None else getattr(side, part)
    return found


def copied(call: PagedCall) -> PagedCall:
    """The call with memory of its own for all that is written."""

    def side(given: Side) -> Side:
        kept = None if given.scale_cache is None else given.scale_cache.copy()
        return replace(given, rows=given.rows.copy(), cache=given.cache.copy(), scale_cache=kept)

    return replace(call, key=side(call.key), value=None if call.value is None else side(call.value),
                   last_status=call.last_status.copy())  # fmt: skip


def _three(rows: Array, heads: int) -> Array:
    return rows.reshape(rows.shape[0], heads, int(np.prod(rows.shape[1:])) // heads)


def expected_quant(call: PagedCall, heads: int) -> tuple[PagedCall, list[int]]:
    """What Ascend must write and say: bad slots are left out, a bad scale refuses the call."""
    want = copied(call)
    assert want.slot_mapping is not None
    first: list[int] | None = None
    left = want.slot_mapping.copy()
    while True:
        status = quant_scatter_reference(
            _three(want.key.rows, heads),
            None if want.value is None else _three(want.value.rows, heads),
            want.key.cache,
            None if want.value is None else want.value.cache,
            left,
            layout=call.layout,
            **_arguments(want),
        )
        first = first or status
        if status[0] != 1:
            return want, first
        left[status[1]] = -1


def expected_gather(call: PagedCall, heads: int) -> tuple[PagedCall, list[int]]:
    """What Ascend must write and say: rows of bad blocks become zeros, other bad values refuse the call."""
    want = copied(call)
    assert want.block_tables is not None and want.seq_lens is not None
    tables = want.block_tables.copy()
    bad: list[tuple[int, int]] = []
    first: list[int] | None = None
    while True:
        key = _three(want.key.rows, heads).copy()
        value = None if want.value is None else _three(want.value.rows, heads).copy()
        status = gather_reference(
            want.key.cache,
            None if want.value is None else want.value.cache,
            tables,
            want.seq_lens,
            key,
            value,
            layout=call.layout,
            seq_offset=want.seq_offset,
            is_seq_lens_cumsum=want.is_seq_lens_cumsum,
            **_arguments(want),
        )
        first = first or status
        if status[0] != 1:
            break
        bad.append((status[1] // tables.shape[1], status[1] % tables.shape[1]))
        tables[bad[-1]] = 0
    if status[0] == 0:
        for rows, got in ((want.key.rows, key), (None if want.value is None else want.value.rows, value)):
            if rows is not None and got is not None:
                rows[...] = got.reshape(rows.shape)
                _zero(call, rows, bad)
    return want, first


def _zero(call: PagedCall, rows: Array, bad: list[tuple[int, int]]) -> None:
    assert call.seq_lens is not None
    size = call.key.cache.shape[{"Norm": 1, "NHSD": 2}.get(call.layout, -2)]
    lengths = np.diff(call.seq_lens) if call.is_seq_lens_cumsum else call.seq_lens
    start = 0
    for b, length in enumerate(lengths):
        first = 0 if call.seq_offset is None else int(call.seq_offset[b]) // size
        for i in range(int(length)):
            if (b, first + i // size) in bad:
                rows[start + i] = 0
        start += int(length)


def same(got: Array, want: Array) -> bool:
    """Bit for bit; any NaN equals any NaN."""
    bits = got.view(f"u{got.dtype.itemsize}") == want.view(f"u{got.dtype.itemsize}")
    if got.dtype.kind == "f" or dtype_named(got.dtype.name).kind == "float":
        with np.errstate(all="ignore"):
            bits |= np.isnan(got.astype(np.float32)) & np.isnan(want.astype(np.float32))
    return bool(bits.all())


def check(got: PagedCall, want: PagedCall) -> None:
    """AssertionError where something that is written differs."""
    for name, a, b in (("key", got.key, want.key), ("value", got.value, want.value)):
        if a is None or b is None:
            continue
        assert same(a.rows, b.rows), f"{name}: rows differ"
        assert same(a.cache, b.cache), f"{name}_cache differs"
        if a.scale_cache is not None and b.scale_cache is not None:
            assert same(a.scale_cache, b.scale_cache), f"{name}_scale_cache differs"


def gather_side(rng: Rng, kind: str, layout: str, shape: tuple[int, int, int], blocks: tuple[int, int], rows: str,
                code: str, *, granularity: int = 0, offset: bool = False, flat: bool = False) -> Side:  # fmt: skip
    """A side of a gather; copied rows have ``code`` as their dtype, whatever it is."""
    tokens, heads, head_size = shape
    cache = random_bits(rng, cache_shape(layout, *blocks, heads, head_size, code), code)
    dtype = code if kind == "copied" else rows
    side = Side(random_bits(rng, (tokens, heads * head_size) if flat else shape, dtype), cache)
    if code == "hifloat8":
        side = replace(side, rows_dtype=code, cache_dtype=code)
    if kind == "copied":
        return side
    if kind == "dynamic":
        kept = np.exp2(rng.uniform(-10, 5, scale_cache_shape(layout, *blocks, heads))).astype(np.float32)
        return replace(side, scale_cache=kept)
    scale, shift = static(rng, granularity, heads, head_size, code, offset)
    return replace(side, scale=scale, offset=shift)


def sequences(rng: Rng, lengths: list[int], blocks: tuple[int, int], index: str, *, offsets: bool = False,
              cumsum: bool = False, bad: float = 0.0) -> dict[str, Any]:  # fmt: skip
    """Block tables with -1 beyond what is needed; ``bad`` of the needed entries are no blocks."""
    num_blocks, size = blocks
    first = rng.integers(0, 3, len(lengths)) if offsets else np.zeros(len(lengths), np.int64)
    needed = [int(f) + -(-length // size) for f, length in zip(first, lengths, strict=True)]
    width = max([1, *needed]) + int(rng.integers(0, 2))
    tables = np.full((len(lengths), width), -1, np.dtype(index))
    for b, count in enumerate(needed):
        tables[b, int(first[b]) : count] = rng.integers(0, num_blocks, count - int(first[b]))
    spoiled = (tables >= 0) & (rng.random(tables.shape) < bad)
    tables[spoiled] = rng.choice([-1, num_blocks, np.iinfo(index).max], int(spoiled.sum()))
    given = np.cumsum([0, *lengths]) if cumsum else np.array(lengths)
    return {
        "block_tables": tables,
        "seq_lens": given.astype(np.dtype(index)),
        "seq_offset": (first * size).astype(np.dtype(index)) if offsets else None,
        "is_seq_lens_cumsum": cumsum,
    }
