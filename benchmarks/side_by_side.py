"""The same write with memory that lies otherwise, against contiguous memory.

The contiguous way stands where other tables have the limit: a ratio of 1 is no price at all.
"""

import ctypes
from typing import Any

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call

from . import harness
from .cases import Array, Workload

MAX_VARIANTS = 64
SETTLING_BYTES = 64 << 20


def variant(
    library: CoreLibrary,
    workload: Workload,
    rows: list[Array],
    caches: list[Array],
    indices: dict[str, Any],
    threads: int,
) -> harness.Variant:
    """One call of the core."""
    key, value = (r[None] if workload.mode != "None" else r for r in rows)
    call = make_call(
        key,
        value,
        *caches,
        **indices,
        layout=workload.layout,
        scatter_mode=workload.mode,
        num_threads=threads,
    )
    return harness.checked(library.c.MsspScatterPaKvCache, ctypes.byref(call), keep=call)


def case(
    name: str, group: str, workload: Workload, ways: dict[str, list[harness.Variant]], goal: dict[str, float]
) -> harness.Case:
    """The ways of one write in one row of the table."""
    return harness.Case(
        name,
        group,
        workload.tokens,
        [harness.Contender(way, variants) for way, variants in ways.items()],
        calls_per_sample=max(1, min(64, 64 // workload.tokens)),
        goal=goal,
        settling_calls=-(-SETTLING_BYTES // (workload.read_bytes + workload.written_bytes)),
    )
