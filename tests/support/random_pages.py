"""Random calls of the gather and of the quantising write: one maker for the core over raw pointers and the Ascend model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import numpy as np

from ms_scatter_pa.rules.table import CODES, SCALED_ROWS, dtype_named

from .arrays import DTYPE_NAMES, INDEX_NAMES, Array, random_array, storage
from .paged_call import PagedCall, Side
from .random_calls import SLOTS, Choices, Rng, flag, runs_of_slots, seldom, token_slots
from .shapes import cache_shape, scale_cache_shape

Blocks = tuple[int, int]
"""num_blocks and block_size."""

# Sides ----------------------------------------------------------------------------------------------------------------

STYLES = ("many sizes", "tame", "ordinary", "ties", "wide", "bits")
SCALES = ("many sizes", "power", "tiny", "huge")


def numbers(rng: Rng, shape: tuple[int, ...], style: str) -> Array:
    """float32 of a style: ordinary, ties of many codes, any bits, far apart in size, or of a size for each row."""
    if style == "bits":
        return rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    if style == "ties":
        return (rng.integers(-600, 601, shape) * np.float32(0.25)).astype(np.float32)
    x = rng.standard_normal(shape)
    if style in ("many sizes", "tame"):
        x = x * np.exp2(rng.integers(-12, 12, (*shape[:-1], 1)))
        x[rng.random(shape[:-1]) < 0.1] = 0
        return x.astype(np.float32)
    x = x.astype(np.float32)
    if style == "wide":
        with np.errstate(over="ignore"):
            x = (x * np.exp2(rng.integers(-140, 128, shape)).astype(np.float32)).astype(np.float32)
    special = rng.random(shape) < 0.02
    x[special] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-44], np.float32), int(special.sum()))
    return x


def floats(rng: Rng, shape: tuple[int, ...], dtype: str, style: str = "many sizes") -> Array:
    """Rows of a style; in "many sizes" any bit pattern now and then."""
    with np.errstate(all="ignore"):
        rows = numbers(rng, shape, style).astype(storage(dtype))
    if style == "many sizes":
        wild = random_array(rng, shape, dtype)
        where = rng.random(shape) < 0.05
        where[rng.random(shape[:-1]) < 0.5] = False
        rows[where] = wild[where]
    return rows


def static(
    rng: Rng, granularity: int, heads: int, head_size: int, code: str, offset: bool, style: str = "many sizes"
) -> tuple[Array, Array | None]:
    """A scale, and an offset where ``offset`` and the code allow one."""
    shape = ((1,), (heads,), (heads, head_size))[granularity]
    scale = np.exp2(rng.integers(-3, 3, shape) if style == "power" else rng.uniform(-6, 3, shape)).astype(np.float32)
    scale = (scale * np.float32({"tiny": 1e-38, "huge": 1e30}.get(style, 1.0))).astype(np.float32)
    shift = None
    if offset and code == "int8":
        whole = rng.random() < 0.5
        shift = rng.integers(-50, 50, shape) if whole else rng.uniform(-20, 20, shape)
        shift = (shift + rng.choice((0, 0.5, 1e6), p=(0.8, 0.15, 0.05))).astype(np.float32)
    return scale, shift


def quant_side(rng: Rng, kind: str, layout: str, shape: tuple[int, int, int], blocks: Blocks, rows: str, code: str, *,
               granularity: int = 0, offset: bool = False, style: str = "many sizes",
               scales: str = "many sizes") -> Side:  # fmt: skip
    """A side of a quantising write: T, N, D, then num_blocks and block_size."""
    tokens, heads, head_size = shape
    cache = random_array(rng, cache_shape(layout, *blocks, heads, head_size, code), code)
    kept = rng.standard_normal(scale_cache_shape(layout, *blocks, heads)).astype(np.float32)
    if kind in ("copied", "given"):
        side = Side(random_array(rng, shape, code), cache)
        return (
            side if kind == "copied" else replace(side, scale=numbers(rng, (tokens, heads), "bits"), scale_cache=kept)
        )
    side = Side(floats(rng, shape, rows, style), cache)
    if kind == "dynamic":
        return replace(side, scale_cache=kept)
    scale, shift = static(rng, granularity, heads, head_size, code, offset, scales)
    return replace(side, scale=scale, offset=shift)


def gather_side(rng: Rng, kind: str, layout: str, shape: tuple[int, int, int], blocks: Blocks, rows: str, code: str, *,
                granularity: int = 0, offset: bool = False, flat: bool = False, scales: str = "many sizes",
                style: str | None = None) -> Side:  # fmt: skip
    """A side of a gather; copied rows have ``code`` as their dtype, whatever it is."""
    tokens, heads, head_size = shape
    cache = random_array(rng, cache_shape(layout, *blocks, heads, head_size, code), code)
    dtype = code if kind == "copied" else rows
    side = Side(random_array(rng, (tokens, heads * head_size) if flat else shape, dtype), cache)
    if code == "hifloat8":
        side = replace(side, rows_dtype=code, cache_dtype=code)
    if kind == "copied":
        return side
    if kind == "dynamic":
        kept = scale_cache_shape(layout, *blocks, heads)
        given = np.exp2(rng.uniform(-10, 5, kept)) if style is None else numbers(rng, kept, style)
        return replace(side, scale_cache=given.astype(np.float32))
    scale, shift = static(rng, granularity, heads, head_size, code, offset, scales)
    return replace(side, scale=scale, offset=shift)


def slots(rng: Rng, tokens: int, capacity: int, longest: int, index: str, padding: float = 0.2) -> Array:
    """Runs of slots; some tokens are padding."""
    given = np.array(runs_of_slots(rng, tokens, capacity, longest), np.dtype(index))
    given[rng.random(tokens) < padding] = -1
    return given


def sequences(rng: Rng, lengths: Sequence[int], blocks: Blocks, index: str, *, offsets: bool = False,
              cumsum: bool = False, bad: float = 0.0, runs: bool = False) -> dict[str, Any]:  # fmt: skip
    """Block tables with what is no block beyond what is needed; ``bad`` of the needed entries are no blocks either."""
    num_blocks, size = blocks
    first = rng.integers(0, 3, len(lengths)) if offsets else np.zeros(len(lengths), np.int64)
    needed = [int(f) + -(-length // size) for f, length in zip(first, lengths, strict=True)]
    width = max([1, *needed]) + int(rng.integers(0, 2))
    tables = rng.choice((-1, num_blocks, -7, 2**31 - 1), (len(lengths), width)).astype(np.dtype(index))
    read = np.zeros(tables.shape, bool)
    for b, count in enumerate(needed):
        start, many = int(first[b]), count - int(first[b])
        found = rng.integers(0, num_blocks, many)
        tables[b, start:count] = (found[:1] + np.arange(many)) % num_blocks if runs and many else found
        read[b, start:count] = True
    spoiled = read & (rng.random(tables.shape) < bad)
    tables[spoiled] = rng.choice([-1, num_blocks, np.iinfo(index).max], int(spoiled.sum()))
    given = np.cumsum([0, *lengths]) if cumsum else np.array(lengths)
    return {
        "block_tables": tables,
        "seq_lens": given.astype(np.dtype(index)),
        "seq_offset": (first * size).astype(np.dtype(index)) if offsets else None,
        "is_seq_lens_cumsum": cumsum,
    }


# Calls ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PageSizes:
    """How large calls are.

    Attributes:
        tokens: of a quantising write.
        heads, block_sizes: what there is.
        head_sizes: where numbers are made; in PA_NZ those that divide.
        copied_sizes: head sizes of a gather that copies, but for PA_NZ.
        longest: length of a sequence, one of these at most.
        alike: K and V are of one dtype and of one kind, rows may be flat: what the Ascend operators take.
    """

    tokens: tuple[int, ...]
    heads: tuple[int, ...]
    head_sizes: tuple[int, ...]
    copied_sizes: tuple[int, ...]
    block_sizes: tuple[int, ...]
    longest: tuple[int, ...]
    alike: bool


_ANY = (1, 3, 8, 16, 24, 32, 64, 72, 128)
CORE = PageSizes((0, 1, 2, 9, 40, 100), (1, 2, 3, 4), _ANY, _ANY, (1, 2, 3, 8, 16, 33, 128), (1, 5, 40, 150), False)
MODEL = PageSizes(
    (0, 1, 2, 9, 24, 40), (1, 2, 3, 8, 40), (32, 64, 96, 128, 160), (1, 5, 20, 64, 700), (4, 5, 16), (5, 40), True
)


def _head_size(choices: Choices, layout: str, heads: int, dtype: str, sizes: tuple[int, ...]) -> int:
    last = dtype_named(dtype).elements_per_32_bytes
    unit = last // gcd(last, heads) if layout == "PA_NZ" else 1
    return choices.one_of(tuple(d for d in sizes if d % unit == 0), "D")


def draw_quant(choices: Choices, layout: str, code: str, sizes: PageSizes) -> tuple[PagedCall, int]:
    """A quantising write and its heads; now and then a slot is bad, or a scale."""
    rng, heads = choices.rng(), choices.one_of(sizes.heads, "N")
    tokens, block_size = choices.one_of(sizes.tokens, "T"), choices.one_of(sizes.block_sizes, "block_size")
    blocks = (max(-(-tokens // block_size), 1) + choices.integer(0, 2), block_size)
    capacity = blocks[0] * blocks[1]
    rows, sides = choices.one_of(SCALED_ROWS, "rows"), []
    for _ in range(choices.integer(1, 2, "sides")):
        kind = choices.one_of(("static", "dynamic", "given", "copied"), "kind")
        side = quant_side(
            rng,
            kind,
            layout,
            (tokens, heads, _head_size(choices, layout, heads, code, sizes.head_sizes)),
            blocks,
            rows,
            code,
            granularity=choices.integer(0, 2, "granularity"),
            offset=flag(choices, "offset"),
            style=choices.one_of(STYLES, "style"),
            scales=choices.one_of(SCALES, "scales"),
        )
        if tokens and seldom(choices, 6):
            side.rows[0] = 0
        _spoil_scale(choices, side)
        sides.append(side)
        if not sizes.alike:
            rows, code = choices.one_of(SCALED_ROWS, "rows of V"), choices.one_of(CODES, "code of V")
    if sizes.alike and sides[0].rows.dtype != sides[-1].rows.dtype:
        sides = sides[:1]
    if sizes.alike and tokens and layout != "PA_NZ" and flag(choices, "flat rows"):
        sides = [replace(side, rows=side.rows.reshape(tokens, -1)) for side in sides]
    given = token_slots(rng, tokens, capacity, choices.one_of(SLOTS, "slots"), choices.one_of((1, 3, 30)))
    given[rng.random(tokens) < choices.one_of((0.0, 0.2, 1.0), "padding")] = -1
    for _ in range(choices.one_of((0, 0, 0, 1, 2)) if tokens else 0):
        given[choices.integer(0, tokens - 1)] = choices.one_of((capacity, capacity + 3, 2**31 - 1))
    mapping = given.astype(choices.one_of(INDEX_NAMES, "index"))
    return PagedCall(layout, sides[0], sides[1] if len(sides) > 1 else None, slot_mapping=mapping), heads


def draw_gather(
    choices: Choices, layout: str, sizes: PageSizes, *, dequantises: bool, dtype: str
) -> tuple[PagedCall, int]:
    """A gather and its heads; now and then a block, a length, an offset or a scale is bad.

    Args:
        choices: what chooses.
        layout: cache_mode.
        sizes: how large.
        dequantises: rows are made of codes; otherwise they are copied.
        dtype: of K's cache where rows are copied.
    """
    rng, heads = choices.rng(), choices.one_of(sizes.heads, "N")
    blocks = (choices.integer(1, 9, "num_blocks"), choices.one_of(sizes.block_sizes, "block_size"))
    longest = choices.one_of(sizes.longest, "longest")
    lengths = [int(x) for x in rng.integers(0, longest + 1, choices.integer(0, 5, "B"))]
    kinds = ("static", "dynamic") if dequantises else ("copied",)
    kind, code = choices.one_of(kinds, "kind"), choices.one_of(CODES, "code") if dequantises else dtype
    rows, sides = choices.one_of(SCALED_ROWS, "rows"), []
    flat = sizes.alike and kind != "static" and layout == "NHSD" and flag(choices, "flat rows")
    for _ in range(choices.integer(1, 2, "sides")):
        copied = kind == "copied" and layout != "PA_NZ"
        size = _head_size(choices, layout, heads, code, sizes.copied_sizes if copied else sizes.head_sizes)
        side = gather_side(
            rng,
            kind,
            layout,
            (sum(lengths), heads, size),
            blocks,
            rows,
            code,
            granularity=choices.integer(0, 2, "granularity"),
            offset=flag(choices, "offset"),
            flat=flat,
            scales=choices.one_of(SCALES, "scales"),
            style=choices.one_of((None, *STYLES), "style"),
        )
        _spoil_scale(choices, side)
        sides.append(side)
        if not sizes.alike:
            kind, rows = choices.one_of(kinds, "kind of V"), choices.one_of(SCALED_ROWS, "rows of V")
            code = choices.one_of(CODES if dequantises else DTYPE_NAMES, "code of V")
    index = sequences(
        rng,
        lengths,
        blocks,
        choices.one_of(INDEX_NAMES, "index"),
        offsets=flag(choices, "seq_offset"),
        cumsum=flag(choices, "cumsum"),
        bad=choices.one_of((0.0, 0.0, 0.0, 0.05, 0.2), "bad blocks"),
        runs=flag(choices, "runs of blocks"),
    )
    _spoil_sequences(choices, index, blocks[1])
    return PagedCall(layout, sides[0], sides[1] if len(sides) > 1 else None, **index), heads


def _spoil_scale(choices: Choices, side: Side) -> None:
    """Now and then a scale that is not positive and finite, or an offset that is not finite."""
    if side.kind != "static" or not seldom(choices, 8):
        return
    scale = side.offset is None or flag(choices, "bad scale")
    array = side.scale if scale else side.offset
    assert array is not None
    bad = (np.nan, np.inf, 0.0, -1.0, -0.0) if scale else (np.nan, np.inf, -np.inf)
    array.reshape(-1)[choices.integer(0, array.size - 1)] = choices.one_of(bad)


def _spoil_sequences(choices: Choices, index: dict[str, Any], block_size: int) -> None:
    """Now and then a length, a sum or an offset that is wrong."""
    lengths, offsets = index["seq_lens"], index["seq_offset"]
    if not lengths.size or not seldom(choices, 5):
        return
    at, most = choices.integer(0, lengths.size - 1), np.iinfo(lengths.dtype)
    lengths[at] = np.clip(int(lengths[at]) + choices.one_of((1, -1, -3, 10**6, 2**31)), most.min, most.max)
    if offsets is not None and offsets.size and flag(choices, "bad offset"):
        at = choices.integer(0, offsets.size - 1)
        offsets[at] = choices.one_of((-1, 1, -block_size, 2**31 - 1, block_size * 50))
