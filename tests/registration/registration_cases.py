"""Calls of every scenario, small, with their reference results."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES

SEED = 20240607
BLOCKS, BLOCK_SIZE, HEADS, DK, DV = 6, 4, 2, 16, 32


@dataclass
class Case:
    """One call: arrays for every argument and the modes."""

    name: str
    arrays: dict[str, Any]
    modes: dict[str, str] = field(default_factory=dict)
    layout: str = "Norm"
    scatter_mode: str = "None"
    view: dict[str, tuple[int, ...]] = field(default_factory=dict)  # how the reference sees flattened arguments

    def reference(self) -> dict[str, Any]:
        """The caches after the call, by the contract's definition; rows that are bad on Ascend are skipped."""
        from ms_scatter_pa import write_reference

        seen = {
            name: None if array is None else array.reshape(self.view.get(name, array.shape)).copy()
            for name, array in self.arrays.items()
        }
        status = write_reference(
            *(seen[name] for name in ("key", "value", "key_cache", "value_cache", "slot_mapping")),
            layout=self.layout,
            scatter_mode=self.scatter_mode,
            **{name: seen.get(name) for name in ("compress_lens", "compress_seq_offsets", "seq_lens")},
        )
        assert status == [0, 0, 0, 0], status
        caches = ("key_cache", "value_cache")
        return {name: None if seen[name] is None else seen[name].reshape(self.arrays[name].shape) for name in caches}


def _random(shape: tuple[int, ...], dtype: Any) -> Any:
    values = np.random.default_rng(SEED + sum(shape)).integers(-100, 100, shape)
    return values.astype(dtype)


def cache_shape(layout: str, size: int, itemsize: int) -> tuple[int, ...]:
    unit = 32 // itemsize
    return {
        "Norm": (BLOCKS, BLOCK_SIZE, HEADS, size),
        "PA_NZ": (BLOCKS, HEADS * size // unit, BLOCK_SIZE, unit),
        "NHSD": (BLOCKS, HEADS, BLOCK_SIZE, size),
    }[layout]


def token_case(layout: str, dtype: Any = np.float16, index: Any = np.int64, key_only: bool = False) -> Case:
    slots = np.array([5, -1, 0, 17, 23], index)
    itemsize = np.dtype(dtype).itemsize
    arrays = {
        "key": _random((5, HEADS, DK), dtype),
        "value": None if key_only else _random((5, HEADS, DV), dtype),
        "key_cache": _random(cache_shape(layout, DK, itemsize), dtype),
        "value_cache": None if key_only else _random(cache_shape(layout, DV, itemsize), dtype),
        "slot_mapping": slots,
    }
    name = f"{layout}-{np.dtype(dtype).name}-{np.dtype(index).name}{'-key_only' if key_only else ''}"
    return Case(name, arrays, {"cache_mode": layout}, layout)


def flattened_case(layout: str, rows: tuple[int, ...], flat_cache: bool = False) -> Case:
    case = token_case(layout)
    case.name = f"{layout}-flattened{rows}{'-3d' if flat_cache else ''}"
    case.arrays["slot_mapping"] = np.array([5, -1, 0, 17], np.int64)
    for name, size in (("key", DK), ("value", DV)):
        case.arrays[name] = case.arrays[name][:4].reshape(*rows, HEADS * size)
        case.view[name] = (4, HEADS, size)
        if flat_cache:
            cache = f"{name}_cache"
            case.view[cache] = case.arrays[cache].shape
            case.arrays[cache] = case.arrays[cache].reshape(BLOCKS, BLOCK_SIZE, HEADS * size)
    return case


def pair_case(mode: str, packed: bool) -> Case:
    lengths = np.array([3, 5], np.int32)
    dims = (int(lengths.sum()),) if packed else (2, 6)
    arrays = {
        "key": _random((*dims, HEADS, DK), np.float16),
        "value": _random((*dims, HEADS, DV), np.float16),
        "key_cache": _random((BLOCKS, BLOCK_SIZE, 1, DK), np.float16),
        "value_cache": _random((BLOCKS, BLOCK_SIZE, 1, DV), np.float16),
        "slot_mapping": np.array([[0, 6], [11, -1]], np.int32),
        "compress_lens": np.array([[2, 1], [2, 3]], np.int32),
        "seq_lens": lengths,
    }
    if mode != "Alibi":
        arrays["compress_seq_offsets"] = np.array([0, 1, 2, -1], np.int32)
    return Case(f"{mode}{'-packed' if packed else ''}", arrays, {"scatter_mode": mode}, "Norm", mode)


CASES = [
    *(token_case(layout) for layout in CACHE_MODES),
    token_case("Norm", np.int8, np.int32),
    token_case("PA_NZ", np.float32, np.int32),
    token_case("NHSD", np.float16, key_only=True),
    flattened_case("Norm", (4,)),
    flattened_case("Norm", (1, 4), flat_cache=True),
    flattened_case("NHSD", (2, 2)),
    flattened_case("PA_NZ", (4,)),
    *(pair_case(mode, packed) for mode in COMPRESSED_MODES for packed in (False, True)),
]
