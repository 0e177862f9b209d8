"""Legal calls: a ``Spec`` fixes shapes, dtypes and spelling, a ``Case`` adds values, ``expect`` says what must come.

The reference judges; nothing here shares code with the backends.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ms_scatter_pa import write_reference
from ms_scatter_pa.rules.table import ARGUMENTS, CACHE_MODES, COMPRESSED_MODES

from .arrays import Array, is_nan
from .shapes import cache_shape
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
            shapes[f"{rows}_cache"] = self._cache_shape(size, self.dtype_of(rows))
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

    def _cache_shape(self, size: int, dtype: str) -> tuple[int, ...]:
        if self.compressed:
            return (self.blocks, self.block_size, 1, size)
        rank = self.cache_rank if self.row == "PA_NZ" else 4  # the reference takes no flat channels
        return cache_shape(self.row, self.blocks, self.block_size, self.heads, size, dtype, rank)


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


def is_unambiguous(spec: Spec) -> bool:
    """Whether the shapes fit the row's layout alone."""
    fitting = layouts_that_fit(spec.shapes(), {name: spec.dtype_of(name) for name in NAMES})
    return fitting - {"NHSD"} == {spec.layout}  # NHSD is never inferred
