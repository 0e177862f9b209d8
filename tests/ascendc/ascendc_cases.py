"""Calls for the host model, and the judge's answer to them."""

from dataclasses import dataclass, replace

import numpy as np

from ms_scatter_pa.reference import DUPLICATE, write_reference
from tests.ascendc.host_model.runner import Call
from tests.support.arrays import Array, is_nan
from tests.support.cases import NAMES, Case


def as_call(case: Case) -> Call:
    """The case as the model takes it; flat channels are a cache of three dimensions."""
    spec, arrays = case.spec, case.arrays
    key, key_cache, slots = arrays["key"], arrays["key_cache"], arrays["slot_mapping"]
    value_cache = arrays["value_cache"]
    assert key is not None and key_cache is not None and slots is not None
    if spec.cache_rank == 3:
        key_cache = key_cache.reshape(*key_cache.shape[:2], -1)
        value_cache = None if value_cache is None else value_cache.reshape(*value_cache.shape[:2], -1)
    return Call(
        key,
        arrays["value"],
        key_cache,
        value_cache,
        slots,
        spec.layout,
        spec.row if spec.compressed else "None",
        spec.packed,
        *(arrays[name] for name in NAMES[5:]),
        spec.dtype,
        spec.dtype_of("value") if arrays["value"] is not None else spec.dtype,
    )


@dataclass
class Expected:
    key_cache: Array
    value_cache: Array | None
    status: list[int]


def _reference(
    call: Call, key_cache: Array, value_cache: Array | None, slots: Array, check_duplicates: bool = False
) -> list[int]:
    """The judge on one call; K and V of different dtypes are judged one after the other, as key-only writes."""
    three = key_cache.ndim == 3

    def norm(cache: Array | None, rows: Array | None) -> Array | None:
        return cache.reshape(*cache.shape[:2], *rows.shape[-2:]) if three and cache is not None else cache

    options = {"layout": call.layout, "check_duplicates": check_duplicates}
    if call.value is None or call.value.dtype == call.key.dtype:
        return write_reference(
            call.key,
            call.value,
            norm(key_cache, call.key),
            norm(value_cache, call.value),
            slots,
            scatter_mode=call.scatter_mode,
            compress_lens=call.compress_lens,
            compress_seq_offsets=call.compress_seq_offsets,
            seq_lens=call.seq_lens,
            dtype=call.key_dtype,
            **options,
        )
    write_reference(call.key, None, key_cache, None, slots, **options)
    assert value_cache is not None
    return write_reference(call.value, None, value_cache, None, slots, **options)


def expect(call: Call) -> Expected:
    """What Ascend must do: the judge's status, and the judge's writes with the bad rows or pairs left out."""
    return _expect(call)[0]


def writes_twice(call: Call) -> bool:
    """Whether two tokens or pairs that are written have a row of a cache in common: its content is undefined."""
    want, left = _expect(call)
    return _reference(call, want.key_cache, want.value_cache, left, check_duplicates=True)[0] == DUPLICATE


def _expect(call: Call) -> tuple[Expected, Array]:
    """The answer, and the slots of what was written."""
    keys, values = call.key_cache.copy(), None if call.value_cache is None else call.value_cache.copy()
    slots = call.slot_mapping.copy()
    first: list[int] | None = None
    for _ in range(slots.size + 1):
        status = _reference(call, keys, values, slots)
        first = first or status
        unknown_rows = call.packed and status[0] == 3 and not _legal_lengths(call)
        if status[0] in (0, 4) or unknown_rows:
            return Expected(keys, values, first), slots
        slots.reshape(-1)[status[1]] = -1
    raise AssertionError("the judge refuses a call without slots")


def _legal_lengths(call: Call) -> bool:
    assert call.seq_lens is not None
    return bool(np.all((call.seq_lens >= 0) & (call.seq_lens <= call.key.shape[0])))


def copy_of(call: Call) -> Call:
    """The call with caches of its own, to be written."""
    value_cache = None if call.value_cache is None else call.value_cache.copy()
    return replace(call, key_cache=call.key_cache.copy(), value_cache=value_cache)


def differences(got: Array, want: Array, dtype: str, nan_equal: Array | None = None) -> Array:
    """Indices of elements with different bits; where ``nan_equal`` holds, any NaN equals any NaN."""
    width = f"u{got.dtype.itemsize}"
    different = got.view(width) != want.view(width)
    if nan_equal is not None:
        different &= ~(nan_equal & is_nan(got, dtype) & is_nan(want, dtype))
    return np.argwhere(different)
