"""Random calls for the host model, and the judge's answer to them."""

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 and float8 with NumPy)
import numpy as np
import numpy.typing as npt

from ms_scatter_pa import hifloat8
from ms_scatter_pa.reference import write_reference
from ms_scatter_pa.rules.table import dtype_named
from tests.ascendc.host_model.runner import Call

Array = npt.NDArray[Any]


def random_bits(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Every bit pattern, NaN payloads and -0.0 included."""
    info = dtype_named(dtype)
    raw = rng.integers(0, 256, int(np.prod(shape)) * info.itemsize, dtype=np.uint8)
    return raw.view(np.dtype(info.numpy_name or "uint8")).reshape(shape)


def cache_shape(
    layout: str, num_blocks: int, block_size: int, num_head: int, head_size: int, dtype: str, rank: int = 4
) -> tuple[int, ...]:
    if layout == "PA_NZ":
        last = dtype_named(dtype).elements_per_32_bytes
        if rank == 5:
            return (num_blocks, num_head, head_size // last, block_size, last)
        return (num_blocks, num_head * head_size // last, block_size, last)
    if layout == "NHSD":
        return (num_blocks, num_head, block_size, head_size)
    if rank == 3:
        return (num_blocks, block_size, num_head * head_size)
    return (num_blocks, block_size, num_head, head_size)


def runs_of_slots(rng: np.random.Generator, tokens: int, capacity: int, longest: int) -> list[int]:
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


@dataclass
class Expected:
    key_cache: Array
    value_cache: Array | None
    status: list[int]


def _reference(call: Call, key_cache: Array, value_cache: Array | None, slots: Array) -> list[int]:
    """The judge on one call; K and V of different dtypes are judged one after the other, as key-only writes."""
    three = key_cache.ndim == 3

    def norm(cache: Array | None, rows: Array | None) -> Array | None:
        return cache.reshape(*cache.shape[:2], *rows.shape[-2:]) if three and cache is not None else cache

    if call.value is None or call.value.dtype == call.key.dtype:
        return write_reference(
            call.key,
            call.value,
            norm(key_cache, call.key),
            norm(value_cache, call.value),
            slots,
            layout=call.layout,
            scatter_mode=call.scatter_mode,
            compress_lens=call.compress_lens,
            compress_seq_offsets=call.compress_seq_offsets,
            seq_lens=call.seq_lens,
            dtype=call.key_dtype,
        )
    write_reference(call.key, None, key_cache, None, slots, layout=call.layout)
    assert value_cache is not None
    return write_reference(call.value, None, value_cache, None, slots, layout=call.layout)


def expect(call: Call) -> Expected:
    """What Ascend must do: the judge's status, and the judge's writes with the bad rows or pairs left out."""
    keys, values = call.key_cache.copy(), None if call.value_cache is None else call.value_cache.copy()
    slots = call.slot_mapping.copy()
    first: list[int] | None = None
    for _ in range(slots.size + 1):
        status = _reference(call, keys, values, slots)
        first = first or status
        unknown_rows = call.packed and status[0] == 3 and not _legal_lengths(call)
        if status[0] in (0, 4) or unknown_rows:
            return Expected(keys, values, first)
        slots.reshape(-1)[status[1]] = -1
    raise AssertionError("the judge refuses a call without slots")


def _legal_lengths(call: Call) -> bool:
    assert call.seq_lens is not None
    return bool(np.all((call.seq_lens >= 0) & (call.seq_lens <= call.key.shape[0])))


def copy_of(call: Call) -> Call:
    """The call with caches of its own, to be written."""
    value_cache = None if call.value_cache is None else call.value_cache.copy()
    return replace(call, key_cache=call.key_cache.copy(), value_cache=value_cache)


def is_nan(array: Array, dtype: str) -> Array:
    if dtype == "hifloat8":
        return np.isnan(hifloat8.to_float32(array))
    if dtype_named(dtype).kind == "int":
        return np.zeros(array.shape, bool)
    return np.isnan(array.astype(np.float32))


def differences(got: Array, want: Array, dtype: str, nan_equal: Array | None = None) -> Array:
    """Indices of elements with different bits; where ``nan_equal`` holds, any NaN equals any NaN."""
    width = f"u{got.dtype.itemsize}"
    different = got.view(width) != want.view(width)
    if nan_equal is not None:
        different &= ~(nan_equal & is_nan(got, dtype) & is_nan(want, dtype))
    return np.argwhere(different)
