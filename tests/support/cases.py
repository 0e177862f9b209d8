"""Legal calls: a ``Spec`` fixes shapes, dtypes and spelling, a ``Case`` adds values, ``expect`` says what must come.

The reference judges; nothing here shares code with the backends.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ms_scatter_pa import write_reference
from ms_scatter_pa.rules.table import ARGUMENTS, CACHE_MODES, COMPRESSED_MODES, dtype_named

from .arrays import INDEX_NAMES, Array, is_nan, random_array
from .table import layouts_that_fit

NAMES = tuple(argument.name for argument in ARGUMENTS)
SCENARIOS = (*CACHE_MODES, *COMPRESSED_MODES)
"""Every ``row`` of a Spec."""

# What is fixed of a Spec, for every row of the contract's table and every form of it.
ROWS: dict[str, dict[str, Any]] = {
    "PA_NZ": {"row": "PA_NZ", "value_dtype": None},
    "PA_NZ by head": {"row": "PA_NZ", "cache_rank": 5, "value_dtype": None},
    "PA_NZ, K and V of two dtypes": {"row": "PA_NZ"},
    "Norm": {"row": "Norm"},
    "Norm, flat channels": {"row": "Norm", "cache_rank": 3},
    "NHSD": {"row": "NHSD"},
    "Alibi": {"row": "Alibi"},
    "Rope": {"row": "Rope"},
    "Omni": {"row": "Omni"},
    "Alibi packed": {"row": "Alibi", "packed": True, "tokens": 9, "batch": 3},
    "Rope packed": {"row": "Rope", "packed": True, "tokens": 9, "batch": 2},
    "Omni packed": {"row": "Omni", "packed": True, "tokens": 7, "batch": 3},
    "packed, empty batch": {"row": "Rope", "packed": True, "tokens": 0, "batch": 0},
    "key only": {"row": "Norm", "value_size": None},
    "key only, PA_NZ": {"row": "PA_NZ", "value_size": None, "value_dtype": None},
    "key only, Rope": {"row": "Rope", "value_size": None},
}


@dataclass(frozen=True)
class Spec:
    """Shapes, dtypes and spelling of a legal call.

    Attributes:
        row: one of SCENARIOS.
        tokens: T; packed: the rows of key.
        batch, seq: B and S of Alibi, Rope and Omni (S only where not packed).
        value_size: Dv, or None for a key-only write.
        cache_rank: 4; 5 for PA_NZ by head; 3 for Norm with flat channels.
        rows_form: TND, or flattened as TC, 1TC or BSC.
        pairs_form: BN or flat: how slot_mapping, compress_lens and compress_seq_offsets come.
        spelling: the argument that names the row: cache_mode, scatter_mode or inferred.
    """

    row: str
    dtype: str = "float16"
    value_dtype: str | None = None
    index: str = "int32"
    tokens: int = 5
    batch: int = 2
    seq: int = 5
    heads: int = 2
    key_size: int = 16
    value_size: int | None = 32
    blocks: int = 4
    block_size: int = 4
    cache_rank: int = 4
    packed: bool = False
    rows_form: str = "TND"
    pairs_form: str = "BN"
    spelling: str = "mode"

    @property
    def compressed(self) -> bool:
        return self.row in COMPRESSED_MODES

    @property
    def layout(self) -> str:
        return "Norm" if self.compressed else self.row

    @property
    def capacity(self) -> int:
        return self.blocks * self.block_size

    @property
    def modes(self) -> dict[str, str | None]:
        if self.spelling == "inferred":
            return {"cache_mode": None, "scatter_mode": None}
        if self.compressed:
            return {"cache_mode": None, "scatter_mode": self.row}
        if self.spelling == "scatter_mode":
            return {"cache_mode": None, "scatter_mode": self.row}
        return {"cache_mode": self.row, "scatter_mode": None}

    def dtype_of(self, name: str) -> str:
        if name in ("key", "key_cache"):
            return self.dtype
        if name in ("value", "value_cache"):
            return self.value_dtype or self.dtype
        return self.index

    def plain_shapes(self) -> dict[str, tuple[int, ...] | None]:
        """The shapes that the reference takes."""
        shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(NAMES)
        for rows, size in (("key", self.key_size), ("value", self.value_size)):
            if size is None:
                continue
            shapes[rows] = (self.tokens, self.heads, size)
            if self.compressed and not self.packed:
                shapes[rows] = (self.batch, self.seq, self.heads, size)
            shapes[f"{rows}_cache"] = self._cache_shape(size, dtype_named(self.dtype_of(rows)).elements_per_32_bytes)
        shapes["slot_mapping"] = (self.batch, self.heads) if self.compressed else (self.tokens,)
        if self.compressed:
            shapes["compress_lens"] = (self.batch, self.heads)
            shapes["seq_lens"] = (self.batch,)
            if self.row != "Alibi":
                shapes["compress_seq_offsets"] = (self.batch * self.heads,)
        return shapes

    def shapes(self) -> dict[str, tuple[int, ...] | None]:
        """The shapes that are passed to the operator."""
        shapes = self.plain_shapes()
        for rows, size in (("key", self.key_size), ("value", self.value_size)):
            if size is None:
                continue
            channels = self.heads * size
            forms = {"TC": (self.tokens, channels), "1TC": (1, self.tokens, channels)}
            forms["BSC"] = (self.batch, self.tokens // self.batch, channels) if self.batch else (0, 1, channels)
            shapes[rows] = forms.get(self.rows_form, shapes[rows])
            if self.layout == "Norm" and self.cache_rank == 3:
                shapes[f"{rows}_cache"] = (self.blocks, self.block_size, channels)
        if self.compressed:
            flat = self.pairs_form == "flat"
            for name in ("slot_mapping", "compress_lens", "compress_seq_offsets"):
                if shapes[name] is not None:
                    shapes[name] = (self.batch * self.heads,) if flat else (self.batch, self.heads)
        return shapes

    def _cache_shape(self, size: int, last: int) -> tuple[int, ...]:
        if self.compressed:
            return (self.blocks, self.block_size, 1, size)
        if self.row == "NHSD":
            return (self.blocks, self.heads, self.block_size, size)
        if self.row == "Norm":
            return (self.blocks, self.block_size, self.heads, size)
        if self.cache_rank == 5:
            return (self.blocks, self.heads, size // last, self.block_size, last)
        return (self.blocks, self.heads * size // last, self.block_size, last)


@dataclass(repr=False)
class Case:
    """A legal call with its values; ``arrays`` have the reference's shapes."""

    spec: Spec
    arrays: dict[str, Array | None]
    check_duplicates: bool = False

    def __repr__(self) -> str:
        indices = {
            name: array.tolist() for name, array in self.arrays.items() if array is not None and name in NAMES[4:]
        }
        return f"Case({self.spec}, {indices})"

    def passed(self, name: str) -> Array | None:
        array, shape = self.arrays[name], self.spec.shapes()[name]
        return None if array is None or shape is None else array.reshape(shape)

    @cached_property
    def expected(self) -> "Expected":
        return expect(self)


@dataclass
class Expected:
    status: list[int]
    key_cache: Array
    value_cache: Array | None
    mean_rows: Array | None


def expect(case: Case) -> Expected:
    """Runs the reference on copies of the caches."""
    arrays, spec = case.arrays, case.spec
    key_cache, value_cache = _copy(arrays["key_cache"]), _copy(arrays["value_cache"])
    assert key_cache is not None
    status = write_reference(
        arrays["key"],
        arrays["value"],
        key_cache,
        value_cache,
        arrays["slot_mapping"],
        layout=spec.layout,
        scatter_mode=spec.row if spec.compressed else "None",
        compress_lens=arrays["compress_lens"],
        compress_seq_offsets=arrays["compress_seq_offsets"],
        seq_lens=arrays["seq_lens"],
        dtype=spec.dtype,
        check_duplicates=case.check_duplicates,
    )
    return Expected(status, key_cache, value_cache, _mean_rows(case) if status[0] == 0 else None)


def _copy(array: Array | None) -> Array | None:
    return None if array is None else array.copy()


def _mean_rows(case: Case) -> Array | None:
    """Which cache rows [NB, BS] hold a mean, where any NaN equals any NaN."""
    spec, arrays = case.spec, case.arrays
    if spec.row != "Rope":
        return None
    rows = np.zeros(spec.capacity, bool)
    slots, counts = arrays["slot_mapping"].reshape(-1), arrays["compress_lens"].reshape(-1)
    offsets, lengths = arrays["compress_seq_offsets"].reshape(-1), np.repeat(arrays["seq_lens"], spec.heads)
    for slot, n, offset, length in zip(slots, counts, offsets, lengths, strict=True):
        if slot >= 0 and offset != -1 and n != 0 and offset != length:
            rows[slot + offset] = True
    return rows.reshape(spec.blocks, spec.block_size)


def assert_same_bits(got: Array, want: Array, dtype: str, mean_rows: Array | None = None) -> None:
    """Bit for bit, but for NaN against NaN in mean rows."""
    assert got.nbytes == want.nbytes and got.dtype == want.dtype
    got = got.reshape(want.shape)
    unsigned = np.dtype(f"u{want.itemsize}")
    differ = np.ascontiguousarray(got).view(unsigned) != np.ascontiguousarray(want).view(unsigned)
    if mean_rows is not None:
        differ &= ~(is_nan(got, dtype) & is_nan(want, dtype) & mean_rows[:, :, None, None])
    where = np.argwhere(differ)
    assert not len(where), f"{len(where)} elements differ, the first at {where[0].tolist()}"


# Strategies -----------------------------------------------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)


@st.composite
def specs(draw: Any, row: str, dtypes: tuple[str, ...], **fixed: Any) -> Spec:
    """Small shapes of one row of the contract's table, in every spelling and form."""
    dtype = draw(st.sampled_from(dtypes))
    spec = Spec(
        row,
        dtype,
        index=draw(st.sampled_from(INDEX_NAMES)),
        tokens=draw(st.integers(0, 9)),
        batch=draw(st.integers(0, 3)),
        seq=draw(st.integers(0, 6)),
        heads=draw(st.sampled_from((1, 2, 4))),
        key_size=draw(st.integers(1, 20)),
        value_size=draw(st.one_of(st.none(), st.integers(1, 20))),
        blocks=draw(st.integers(1, 6)),
        block_size=draw(st.sampled_from((1, 2, 3, 8))),
    )
    spec = replace(spec, **fixed)
    if row == "PA_NZ":
        spec = _nz_sizes(draw, spec, dtypes if "value_dtype" not in fixed else (fixed["value_dtype"] or dtype,))
    if spec.compressed:
        return replace(spec, pairs_form=draw(st.sampled_from(("BN", "flat"))), spelling=_compressed_spelling(draw, row))
    if "rows_form" not in fixed:
        forms = ("TND", "TND", "TC", "1TC") if spec.tokens else ("TND", "TC")
        spec = replace(spec, rows_form=draw(st.sampled_from(forms)))
        if spec.tokens and draw(st.booleans()) and spec.rows_form == "1TC":
            batch = draw(st.sampled_from([b for b in range(1, spec.tokens + 1) if spec.tokens % b == 0]))
            spec = replace(spec, rows_form="BSC", batch=batch)
    spellings = (
        ("mode", "scatter_mode") if row == "NHSD" else ("mode", "inferred") if is_unambiguous(spec) else ("mode",)
    )
    return replace(spec, spelling=draw(st.sampled_from(spellings)))


def _compressed_spelling(draw: Any, row: str) -> str:
    return draw(st.sampled_from(("mode", "inferred") if row != "Omni" else ("mode",)))


def _nz_sizes(draw: Any, spec: Spec, value_dtypes: tuple[str, ...]) -> Spec:
    value_dtype = draw(st.sampled_from(value_dtypes))
    sizes = []
    for dtype, has_side in ((spec.dtype, True), (value_dtype, spec.value_size is not None)):
        last = dtype_named(dtype).elements_per_32_bytes
        unit = last if spec.cache_rank == 5 else max(last // spec.heads, 1)
        sizes.append(unit * draw(st.integers(1, 2)) if has_side else None)
    return replace(spec, key_size=sizes[0], value_size=sizes[1], value_dtype=value_dtype)


def is_unambiguous(spec: Spec) -> bool:
    """Whether the shapes fit the row's layout alone."""
    fitting = layouts_that_fit(spec.shapes(), {name: spec.dtype_of(name) for name in NAMES})
    return fitting - {"NHSD"} == {spec.layout}  # NHSD is never inferred


@st.composite
def cases(draw: Any, spec: Spec, **options: Any) -> Case:
    """Legal values for a spec: distinct slots, some of them negative, caches of random bits."""
    rng = np.random.default_rng(draw(seeds))
    shapes = spec.plain_shapes()
    any_bits = draw(st.booleans())
    arrays: dict[str, Array | None] = dict.fromkeys(NAMES)
    for name in ("key", "value"):
        shape = shapes[name]
        if shape is not None:
            arrays[name] = random_array(rng, shape, spec.dtype_of(name), any_bits=any_bits)
            cache_shape = shapes[f"{name}_cache"]
            assert cache_shape is not None
            arrays[f"{name}_cache"] = random_array(rng, cache_shape, spec.dtype_of(name))
    padding = draw(st.sampled_from((0.0, 0.2, 1.0)))
    if spec.compressed:
        draw_pairs(rng, spec, arrays, padding)
    else:
        slots = np.full(spec.tokens, -1, np.int64)
        found = rng.permutation(spec.capacity)[: spec.tokens]
        slots[: len(found)] = found
        slots[rng.random(spec.tokens) < padding] = -rng.integers(1, 2**31)
        arrays["slot_mapping"] = rng.permutation(slots).astype(spec.index)
        if draw(st.booleans()):
            arrays["slot_mapping"] = np.sort(arrays["slot_mapping"])  # runs, as prefill writes them
    return Case(spec, arrays, **options)


def draw_pairs(rng: np.random.Generator, spec: Spec, arrays: dict[str, Array | None], padding: float) -> None:
    lengths = _composition(rng, spec.tokens, spec.batch) if spec.packed else rng.integers(0, spec.seq + 1, spec.batch)
    pairs = spec.batch * spec.heads
    length_of = np.repeat(lengths, spec.heads)
    counts, offsets = np.zeros(pairs, np.int64), np.full(pairs, -1, np.int64)
    rows = np.zeros(pairs, np.int64)
    for pair in range(pairs):
        length = int(length_of[pair])
        counts[pair] = rng.integers(0, length + 1)
        rows[pair] = counts[pair]
        if spec.row != "Alibi":
            offsets[pair] = rng.integers(-1, length + 1)
            if offsets[pair] in (-1, length):
                counts[pair], rows[pair] = rng.integers(-5, 99), length  # ignored
            else:
                counts[pair] = rng.integers(0, length - offsets[pair] + 1)
                rows[pair] = length - counts[pair] + (1 if spec.row == "Rope" else 0) if counts[pair] else length
    slots = _place_runs(rng, rows, spec.capacity)
    slots[rng.random(pairs) < padding] = -rng.integers(1, 2**31)
    skipped = slots < 0
    counts[skipped] = rng.integers(-9, 99, skipped.sum())  # lengths of a skipped pair are nobody's business
    offsets[skipped] = rng.integers(-9, 99, skipped.sum())
    lengths = np.array(lengths)
    if not spec.packed:
        for batch in range(spec.batch):
            if skipped[batch * spec.heads : (batch + 1) * spec.heads].all() and rng.random() < 0.5:
                lengths[batch] = rng.integers(-9, 99)
    arrays["slot_mapping"] = slots.reshape(spec.batch, spec.heads).astype(spec.index)
    arrays["compress_lens"] = counts.reshape(spec.batch, spec.heads).astype(spec.index)
    arrays["seq_lens"] = lengths.astype(spec.index)
    if spec.row != "Alibi":
        arrays["compress_seq_offsets"] = offsets.astype(spec.index)


def _composition(rng: np.random.Generator, total: int, parts: int) -> Array:
    if not parts:
        assert total == 0
        return np.zeros(0, np.int64)
    cuts = np.sort(rng.integers(0, total + 1, parts - 1))
    return np.diff(np.concatenate(([0], cuts, [total])))


def _place_runs(rng: np.random.Generator, rows: Array, capacity: int) -> Array:
    """Distinct places for runs of that many rows, the last one often at the very end; -1 where there is no room."""
    slots = np.full(len(rows), -1, np.int64)
    order, at = rng.permutation(len(rows)), 0
    for index, pair in enumerate(order):
        need = max(int(rows[pair]), 1)
        spare = capacity - at - int(np.maximum(rows[order[index:]], 1).sum())
        if at + need > capacity:
            continue
        gap = int(rng.integers(0, spare + 1)) if spare > 0 else 0
        if index == len(order) - 1 and spare > 0 and rng.random() < 0.5:
            gap = spare
        slots[pair] = at + gap
        at += gap + need
    return slots
