"""One call of the gather or of the quantising write, as arrays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ms_scatter_pa.rules.schema import Operator
from ms_scatter_pa.rules.table import CACHE_MODES, GATHER_PA, QUANT_SCATTER_PA, SCALING_KINDS

Array = npt.NDArray[Any]


@dataclass
class Side:
    """K or V: rows, cache, and how it is scaled.

    Attributes:
        rows: [T, N, D] or [T, N*D].
        cache: in the call's layout.
        scale: static, [1], [N] or [N, D]; given: [T, N].
        offset: of ``scale``'s shape.
        scale_cache: [NB, BS, N], in NHSD [NB, N, BS, 1].
    """

    rows: Array
    cache: Array
    scale: Array | None = None
    offset: Array | None = None
    scale_cache: Array | None = None
    rows_dtype: str | None = None  # hifloat8's bits have no dtype in NumPy
    cache_dtype: str | None = None
    size_was_unknown: bool = False  # of the scale, to a graph: taken for [N], it may be [1]

    @property
    def kind(self) -> str:
        if self.scale_cache is not None:
            return "dynamic" if self.scale is None else "given"
        return "copied" if self.scale is None else "static"

    def mode(self) -> tuple[int, int]:
        """The side's two dimensions of ``mode``."""
        granularity = 0
        if self.kind == "static":
            assert self.scale is not None
            granularity = 0 if self.scale.shape == (1,) and not self.size_was_unknown else self.scale.ndim
        return 1 + SCALING_KINDS.index(self.kind), 1 + 2 * granularity + (self.offset is not None)

    def scale_input(self) -> Array:
        """Scales with the offsets behind them; a placeholder where there are none."""
        if self.scale is None:
            return np.ones(1, np.float32)
        return self.scale if self.offset is None else np.stack((self.scale, self.offset))


@dataclass
class PagedCall:
    """One call of either operator; the gather has block tables, the write has slots."""

    layout: str
    key: Side
    value: Side | None
    slot_mapping: Array | None = None
    block_tables: Array | None = None
    seq_lens: Array | None = None
    seq_offset: Array | None = None
    is_seq_lens_cumsum: bool = False
    last_status: Array = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def operator(self) -> Operator:
        return QUANT_SCATTER_PA if self.slot_mapping is not None else GATHER_PA

    def inputs(self) -> dict[str, Array]:
        """The Ascend operator's inputs by name, in its order."""
        sides = {"key": self.key, "value": self.value}
        index = self.slot_mapping if self.slot_mapping is not None else self.block_tables
        assert index is not None
        arrays: dict[str, Array | None] = {
            "slot_mapping": self.slot_mapping,
            "block_tables": self.block_tables,
            "seq_lens": self.seq_lens,
            "seq_offset": np.zeros(1, index.dtype) if self.seq_offset is None else self.seq_offset,
            "mode": np.zeros(self.mode_shape(), np.uint8),
            "last_status": self.last_status,
        }
        for name, side in sides.items():
            own = self.key if side is None else side
            arrays[name] = np.zeros(1, own.rows.dtype) if side is None else own.rows
            arrays[f"{name}_cache"] = np.zeros(1, own.cache.dtype) if side is None else own.cache
            keeps = np.zeros(1, np.float32) if side is None or own.scale_cache is None else own.scale_cache
            if self.operator is GATHER_PA and side is not None and own.kind == "dynamic":
                arrays[f"{name}_scale"] = keeps
            else:
                arrays[f"{name}_scale"] = np.ones(1, np.float32) if side is None else own.scale_input()
            arrays[f"{name}_scale_cache"] = keeps
        chosen = {name: arrays[name] for name in self.operator.ascend_input_names}
        for name, array in chosen.items():
            if array is None or not array.flags.c_contiguous:
                raise ValueError(f"{name}: the operator takes contiguous tensors")
        return {name: array for name, array in chosen.items() if array is not None}

    def dtypes(self) -> list[str]:
        """The inputs' dtypes as the table names them."""
        value = self.key if self.value is None else self.value
        named = {
            "key": self.key.rows_dtype,
            "value": value.rows_dtype,
            "key_cache": self.key.cache_dtype,
            "value_cache": value.cache_dtype,
        }
        return [named.get(name) or array.dtype.name for name, array in self.inputs().items()]

    def mode_shape(self) -> tuple[int, ...]:
        first: tuple[int, ...] = (1 + CACHE_MODES.index(self.layout), 1 + (self.value is None))
        if self.operator is GATHER_PA:
            first += (1 + self.is_seq_lens_cumsum, 1 + (self.seq_offset is not None))
        return (*first, *self.key.mode(), *((1, 1) if self.value is None else self.value.mode()))
