"""Random calls of the write: one maker for MindSpore's ways in, for the core over raw pointers and for the Ascend model.

``draw_spec`` draws what a graph is compiled for, ``fill`` the values, ``spoil`` what is wrong in them. Choices come from
hypothesis (``Drawn``) or from a generator (``Seeded``), content always from a generator. Calls of the gather and of the
quantising write are in ``random_pages``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, Protocol, TypeVar

import numpy as np
from hypothesis import strategies as st

from ms_scatter_pa.rules.table import dtype_named

from .arrays import INDEX_NAMES, Array, random_array
from .cases import NAMES, Case, Spec, is_unambiguous

T = TypeVar("T")
Rng = np.random.Generator
Ranges = tuple[tuple[int, int], ...]
"""Of whole numbers; one of the ranges is chosen first."""

seeds = st.integers(0, 2**32 - 1)


class Choices(Protocol):
    """What chooses."""

    def one_of(self, options: Sequence[T], what: str = "") -> T: ...

    def integer(self, low: int, high: int, what: str = "") -> int:
        """Both included."""

    def rng(self) -> Rng: ...


class Drawn:
    """Choices of hypothesis, which shrinks them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def one_of(self, options: Sequence[T], what: str = "") -> T:
        return self._draw(st.sampled_from(options), label=what or None)

    def integer(self, low: int, high: int, what: str = "") -> int:
        return self._draw(st.integers(low, high), label=what or None)

    def rng(self) -> Rng:
        return np.random.default_rng(self._draw(seeds, label="seed"))


class Seeded:
    """Choices of a generator."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng

    def one_of(self, options: Sequence[T], what: str = "") -> T:
        return options[int(self._rng.integers(len(options)))]

    def integer(self, low: int, high: int, what: str = "") -> int:
        return int(self._rng.integers(low, high + 1))

    def rng(self) -> Rng:
        return self._rng


def flag(choices: Choices, what: str = "") -> bool:
    return choices.one_of((False, True), what)


def seldom(choices: Choices, one_in: int) -> bool:
    return choices.integer(0, one_in - 1) == one_in - 1


@dataclass(frozen=True)
class Sizes:
    """How large calls are.

    Attributes:
        tokens: T.
        batch, seq: B and S; a packed call has up to B * S rows.
        heads, block_sizes: what there is.
        head_sizes: sizes of a head.
        units: head sizes in the least that PA_NZ allows, and in 32 bytes beside ``head_sizes`` elsewhere.
        blocks: num_blocks, or None for as many as the call needs and a few more.
    """

    tokens: Ranges
    batch: tuple[int, int]
    seq: int
    heads: tuple[int, ...]
    head_sizes: tuple[int, ...]
    block_sizes: tuple[int, ...]
    units: tuple[int, ...] = ()
    blocks: tuple[int, int] | None = None


SMALL = Sizes(((0, 9),), (0, 3), 6, (1, 2, 4), tuple(range(1, 21)), (1, 2, 3, 8), (1, 2), (1, 6))
CORE = Sizes(
    ((0, 70),), (0, 3), 30, (1, 2, 3, 4, 5), (1, 3, 8, 16, 24, 32, 48, 64, 72, 96, 128), (1, 2, 3, 4, 7, 8, 16, 33, 64)
)
MODEL = Sizes(
    ((0, 9), (10, 70), (100, 400)),
    (0, 4),
    25,
    (1, 2, 3, 4),
    tuple(range(1, 97)),
    (1, 2, 3, 16, 37, 128),
    (1, 2, 3, 4, 5),
)


def draw_spec(
    choices: Choices,
    row: str,
    dtypes: Sequence[str],
    sizes: Sizes = SMALL,
    value_dtypes: Sequence[str] | None = None,
    **fixed: Any,
) -> Spec:
    """Shapes of a legal call of one row of the contract's table, in its plain spelling and form.

    Args:
        choices: what chooses.
        row: of SCENARIOS.
        dtypes: of key.
        sizes: how large.
        value_dtypes: of value in PA_NZ; ``dtypes`` where None.
        fixed: fields of the Spec.
    """
    spec = Spec(
        row,
        choices.one_of(dtypes, "dtype"),
        index=choices.one_of(INDEX_NAMES, "index"),
        batch=choices.integer(*sizes.batch, "B"),
        seq=choices.integer(0, sizes.seq, "S"),
        heads=choices.one_of(sizes.heads, "N"),
        block_size=choices.one_of(sizes.block_sizes, "block_size"),
        packed=bool(fixed.get("packed", False)),
    )
    if spec.packed:
        spec = replace(spec, tokens=choices.integer(0, spec.batch * spec.seq, "T"))
    else:
        spec = replace(spec, tokens=choices.integer(*choices.one_of(sizes.tokens), "T"))
    has_value = fixed["value_size"] is not None if "value_size" in fixed else flag(choices, "a value")
    spec = replace(spec, **fixed)
    if row == "PA_NZ" and "value_dtype" not in fixed:
        spec = replace(spec, value_dtype=choices.one_of(value_dtypes or dtypes, "dtype of value"))
    if "key_size" not in fixed or row == "PA_NZ":
        spec = replace(spec, key_size=_head_size(choices, spec, sizes, spec.dtype))
    if not has_value:
        spec = replace(spec, value_size=None)
    elif "value_size" not in fixed or row == "PA_NZ":
        spec = replace(spec, value_size=_head_size(choices, spec, sizes, spec.dtype_of("value")))
    if "blocks" not in fixed:
        spec = replace(spec, blocks=_blocks(choices, spec, sizes))
    return spec


def _head_size(choices: Choices, spec: Spec, sizes: Sizes, dtype: str) -> int:
    """A head size; in PA_NZ 32 bytes hold no part of another token, or by head, of another head."""
    last = dtype_named(dtype).elements_per_32_bytes
    unit = 1
    if spec.row == "PA_NZ":
        unit = last if spec.cache_rank == 5 else last // gcd(last, spec.heads)
    if sizes.units and (spec.row == "PA_NZ" or flag(choices, "aligned")):
        return (unit if spec.row == "PA_NZ" else last) * choices.one_of(sizes.units, "D")
    return choices.one_of(tuple(d for d in sizes.head_sizes if d % unit == 0), "D")


def _blocks(choices: Choices, spec: Spec, sizes: Sizes) -> int:
    if sizes.blocks is not None:
        return choices.integer(*sizes.blocks, "num_blocks")
    return blocks_for(spec) + choices.integer(0, 3, "blocks more")


def blocks_for(spec: Spec) -> int:
    """As many blocks as any values of the call need, and one at least."""
    rows = spec.tokens
    if spec.compressed:
        rows = spec.heads * ((spec.tokens if spec.packed else spec.batch * spec.seq) + spec.batch)
    return max(-(-rows // spec.block_size), 1)


# Values ---------------------------------------------------------------------------------------------------------------

SLOTS = ("random", "runs", "ascending", "descending", "pieces")


def fill(
    rng: Rng,
    spec: Spec,
    *,
    slots: str = "random",
    longest: int = 5,
    padding: float = 0.0,
    any_bits: bool = True,
    repeat: bool = False,
    lengths: Array | None = None,
    check_duplicates: bool = False,
) -> Case:
    """Legal values for a spec: distinct slots, caches of random bits.

    Args:
        rng: of all content.
        spec: the shapes.
        slots: how slots follow each other, one of SLOTS.
        longest: the longest of "runs".
        padding: about how many of the slots are negative.
        any_bits: rows of any bits at all, or of ordinary numbers.
        repeat: slots may repeat, which is legal where nothing checks for it.
        lengths: [B], instead of random ones.
        check_duplicates: as the operator's.
    """
    shapes = spec.plain_shapes()
    arrays: dict[str, Array | None] = dict.fromkeys(NAMES)
    for name in ("key", "value"):
        shape, cache = shapes[name], shapes[f"{name}_cache"]
        if shape is not None and cache is not None:
            arrays[name] = random_array(rng, shape, spec.dtype_of(name), any_bits=any_bits)
            arrays[f"{name}_cache"] = random_array(rng, cache, spec.dtype_of(name))
    if spec.compressed:
        _fill_pairs(rng, spec, arrays, padding, repeat, lengths)
    else:
        found = token_slots(rng, spec.tokens, spec.capacity, slots, longest)
        if repeat and spec.tokens:
            found[rng.random(spec.tokens) < 0.3] = found[rng.integers(spec.tokens)]
        found[rng.random(spec.tokens) < padding] = -rng.integers(1, 2**31)
        arrays["slot_mapping"] = found.astype(spec.index)
    return Case(spec, arrays, check_duplicates)


def runs_of_slots(rng: Rng, tokens: int, capacity: int, longest: int) -> list[int]:
    """Distinct slots in runs of random length, in no order."""
    free = np.ones(capacity, bool)
    slots: list[int] = []
    while len(slots) < tokens:
        start = int(rng.choice(np.flatnonzero(free)))
        for slot in range(start, min(start + int(rng.integers(1, longest + 1)), capacity)):
            if not free[slot] or len(slots) == tokens:
                break
            free[slot] = False
            slots.append(slot)
    return slots


def token_slots(rng: Rng, tokens: int, capacity: int, style: str, longest: int) -> Array:
    """Distinct slots; -1 for tokens beyond the cache, wherever they are."""
    count = min(tokens, capacity)
    if style == "runs":
        found = np.array(runs_of_slots(rng, count, capacity, longest), np.int64)
    elif style == "pieces":  # of all slots, cut at a few places
        pieces = np.split(np.arange(capacity), np.sort(rng.integers(0, capacity + 1, rng.integers(0, 6))))
        found = np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])[:count]
    elif style in ("ascending", "descending"):
        found = np.arange(count) + int(rng.integers(0, capacity - count + 1))
        found = found[::-1].copy() if style == "descending" else found
    else:
        found = rng.permutation(capacity)[:count]
    slots = np.full(tokens, -1, np.int64)
    slots[np.sort(rng.permutation(tokens)[:count])] = found
    return slots


def rows_written(row: str, length: int, count: int, offset: int) -> int:
    """How many rows a pair writes."""
    if row == "Alibi":
        return count
    if offset == -1 or count == 0 or offset == length:
        return length
    return length - count + (row == "Rope")


def _fill_pairs(
    rng: Rng, spec: Spec, arrays: dict[str, Array | None], padding: float, repeat: bool, lengths: Array | None
) -> None:
    if lengths is None:
        lengths = (
            _composition(rng, spec.tokens, spec.batch) if spec.packed else rng.integers(0, spec.seq + 1, spec.batch)
        )
    pairs = spec.batch * spec.heads
    counts, offsets, rows = np.zeros(pairs, np.int64), np.full(pairs, -1, np.int64), np.zeros(pairs, np.int64)
    for pair, length in enumerate(np.repeat(lengths, spec.heads).tolist()):
        if spec.row == "Alibi":
            counts[pair] = rng.integers(0, length + 1)
        else:
            offsets[pair] = [-1, length, 0, rng.integers(0, length + 1)][int(rng.integers(0, 4))]
            ignored = offsets[pair] in (-1, length)
            counts[pair] = rng.integers(-5, 99) if ignored else rng.integers(0, length - offsets[pair] + 1)
        rows[pair] = rows_written(spec.row, length, int(counts[pair]), int(offsets[pair]))
    slots = _place_runs(rng, rows, spec.capacity)
    if repeat:
        moved = rng.random(pairs) < 0.3
        slots[moved] = np.maximum(slots[moved] - 2, np.minimum(slots[moved], 0))
    slots[rng.random(pairs) < padding] = -rng.integers(1, 2**31)
    skipped = slots < 0
    counts[skipped] = rng.integers(-9, 99, skipped.sum())  # lengths of a skipped pair are nobody's business
    offsets[skipped] = rng.integers(-9, 99, skipped.sum())
    lengths = np.array(lengths)
    if not spec.packed:
        for batch in range(spec.batch):
            if skipped[batch * spec.heads : (batch + 1) * spec.heads].all() and rng.random() < 0.5:
                lengths[batch] = rng.choice((-9, 99, 2**31 - 1, -(2**31)))
    arrays["slot_mapping"] = slots.reshape(spec.batch, spec.heads).astype(spec.index)
    arrays["compress_lens"] = counts.reshape(spec.batch, spec.heads).astype(spec.index)
    arrays["seq_lens"] = lengths.astype(spec.index)
    if spec.row != "Alibi":
        arrays["compress_seq_offsets"] = offsets.astype(spec.index)


def _composition(rng: Rng, total: int, parts: int) -> Array:
    if not parts:
        assert total == 0
        return np.zeros(0, np.int64)
    cuts = np.sort(rng.integers(0, total + 1, parts - 1))
    return np.diff(np.concatenate(([0], cuts, [total])))


def _place_runs(rng: Rng, rows: Array, capacity: int) -> Array:
    """Distinct places for runs of that many rows, the last one often at the very end; -1 where there is no room."""
    slots = np.full(len(rows), -1, np.int64)
    order, at = rng.permutation(len(rows)), 0
    for index, pair in enumerate(order):
        need = max(int(rows[pair]), 1)
        spare = capacity - at - int(np.maximum(rows[order[index:]], 1).sum())
        if at + need > capacity:
            continue
        gap = int(rng.integers(0, spare + 1)) if spare > 0 and rng.random() < 0.5 else 0
        if index == len(order) - 1 and spare > 0 and rng.random() < 0.5:
            gap = spare
        slots[pair] = at + gap
        at += gap + need
    return slots


def spoil(choices: Choices, case: Case) -> None:
    """One or a few values that are wrong, or nearly: slots, lengths, counts and offsets at and beyond every end."""
    slots = case.arrays["slot_mapping"]
    assert slots is not None
    info = np.iinfo(slots.dtype)
    extreme = (int(info.max), int(info.max) - 1, int(info.min), 2**31 - 1, -2, 1000)
    capacity = case.spec.capacity
    for name in ("seq_lens", "compress_lens", "compress_seq_offsets"):
        array = case.arrays[name]
        if array is not None and array.size and flag(choices, f"{name} is wrong"):
            at = choices.integer(0, array.size - 1)
            near = int(np.clip(int(array.reshape(-1)[at]) + choices.one_of((1, -1)), info.min, info.max))
            array.reshape(-1)[at] = choices.one_of((near, -1, *extreme))
    for _ in range(choices.one_of((0, 1, 2, 8)) if slots.size else 0):
        at = choices.integer(0, slots.size - 1)
        slots.reshape(-1)[at] = choices.one_of((capacity, capacity - 1, capacity + 3, -1, *extreme))


def draw_case(choices: Choices, spec: Spec, **options: Any) -> Case:
    """Legal values for a spec; ``options`` go to ``fill``."""
    rng = choices.rng()
    return fill(
        rng,
        spec,
        slots=choices.one_of(SLOTS, "slots"),
        longest=choices.one_of((1, 2, 5, 200)),
        padding=choices.one_of((0.0, 0.2, 1.0), "padding"),
        any_bits=flag(choices, "any bits"),
        **options,
    )


# What tests of MindSpore's ways in draw -------------------------------------------------------------------------------


@st.composite
def specs(draw: st.DrawFn, row: str, dtypes: tuple[str, ...], **fixed: Any) -> Spec:
    """Small shapes of one row of the contract's table, in every spelling and form."""
    choices = Drawn(draw)
    spec = draw_spec(choices, row, dtypes, **fixed)
    if spec.compressed:
        spellings = ("mode", "inferred") if row != "Omni" else ("mode",)
        return replace(spec, pairs_form=choices.one_of(("BN", "flat")), spelling=choices.one_of(spellings))
    if "rows_form" not in fixed:
        spec = replace(spec, rows_form=choices.one_of(("TND", "TND", "TC", "1TC") if spec.tokens else ("TND", "TC")))
        if spec.rows_form == "1TC" and flag(choices):
            batch = choices.one_of([b for b in range(1, spec.tokens + 1) if spec.tokens % b == 0])
            spec = replace(spec, rows_form="BSC", batch=batch)
    if row == "NHSD":
        return replace(spec, spelling=choices.one_of(("mode", "scatter_mode")))
    return replace(spec, spelling=choices.one_of(("mode", "inferred") if is_unambiguous(spec) else ("mode",)))


@st.composite
def cases(draw: st.DrawFn, spec: Spec, **options: Any) -> Case:
    """Legal values for a spec."""
    return draw_case(Drawn(draw), spec, **options)
