"""Rows that are slices of a fused QKV projection, [T, 3, N, D], against contiguous rows of the same bytes.

The contiguous way stands where other tables have the limit: a ratio of 1 is no price at all.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call

from . import cases, harness
from .cases import DTYPE, Array, Memory, Workload

CONTIGUOUS, FUSED = "limit, contiguous rows", "fused QKV rows"
GOAL = 1.1
GROUP = "fused QKV"
MAX_VARIANTS = 64
SETTLING_BYTES = 64 << 20


class FusedCases:
    """Builds the cases of one run."""

    def __init__(self, library: CoreLibrary, memory: Memory, threads: int):
        self.library, self.memory, self.threads = library, memory, threads

    def makers(self, only: str = "") -> list[Callable[[], harness.Case]]:
        """One for each case whose name contains ``only``."""
        return [
            lambda workload=workload: self.make(workload)  # type: ignore[misc]
            for workload in workloads()
            if only in name_of(workload)
        ]

    def make(self, workload: Workload) -> harness.Case:
        caches = self.memory.caches(self.memory.helper, workload)
        num_slots = len(caches[0])
        caches = [cache.reshape(cases.cache_shape(workload, num_slots)) for cache in caches]
        rng = np.random.default_rng(7)
        nbytes = workload.tokens * workload.token_bytes
        shape = (workload.tokens, workload.heads, workload.head_size)
        ways: dict[str, list[harness.Variant]] = {CONTIGUOUS: [], FUSED: []}
        for i, region in enumerate(self.memory.source_regions(3 * nbytes)):
            if i == MAX_VARIANTS:
                break
            slots = cases.index_arrays(workload, num_slots // workload.block_size * workload.block_size, rng)
            # Each way walks through the same memory, and reads two thirds of it.
            apart = [region[k * nbytes : (k + 1) * nbytes].view(DTYPE).reshape(shape) for k in range(2)]
            fused = region.view(DTYPE).reshape(workload.tokens, 3, workload.heads, workload.head_size)
            ways[CONTIGUOUS].append(self._variant(workload, apart, caches, slots))
            ways[FUSED].append(self._variant(workload, [fused[:, 1], fused[:, 2]], caches, slots))
        return harness.Case(
            name_of(workload),
            GROUP,
            workload.tokens,
            [harness.Contender(name, variants) for name, variants in ways.items()],
            calls_per_sample=max(1, min(64, 64 // workload.tokens)),
            goal={FUSED: GOAL},
            settling_calls=-(-SETTLING_BYTES // (workload.read_bytes + workload.written_bytes)),
        )

    def _variant(
        self, workload: Workload, rows: list[Array], caches: list[Array], indices: dict[str, Any]
    ) -> harness.Variant:
        call = make_call(*rows, *caches, **indices, layout=workload.layout, num_threads=self.threads)
        return harness.checked(self.library.c.MsspScatterPaKvCache, ctypes.byref(call), keep=(call, rows))


def name_of(workload: Workload) -> str:
    """The case's name."""
    return f"fused {workload.name}"


def workloads() -> list[Workload]:
    """A decode step of 64 sequences, and prefill."""
    return [
        Workload(layout, tokens, pattern, 128)
        for layout in ("Norm", "PA_NZ", "NHSD")
        for tokens, pattern in ((64, "random"), (2048, "runs"))
    ]
