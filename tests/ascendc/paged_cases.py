"""The judge's answers to calls of the gather and of the quantising write, as Ascend must give them."""

from dataclasses import replace
from typing import Any

import numpy as np

from ms_scatter_pa.paged_reference import gather_reference, quant_scatter_reference
from ms_scatter_pa.rules.table import dtype_named
from tests.support.paged_call import Array, PagedCall, Side


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
