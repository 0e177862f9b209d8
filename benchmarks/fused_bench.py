"""Rows that are slices of a fused QKV projection, [T, 3, N, D], against contiguous rows of the same bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary

from . import cases, harness, side_by_side
from .cases import DTYPE, Array, Memory, Workload

CONTIGUOUS, FUSED = "limit, contiguous rows", "fused QKV rows"
GOAL = 1.1
GROUP = "fused QKV"


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
            if i == side_by_side.MAX_VARIANTS:
                break
            slots = cases.index_arrays(workload, num_slots // workload.block_size * workload.block_size, rng)
            # Each way walks through the same memory, and reads two thirds of it.
            apart = [region[k * nbytes : (k + 1) * nbytes].view(DTYPE).reshape(shape) for k in range(2)]
            fused = region.view(DTYPE).reshape(workload.tokens, 3, workload.heads, workload.head_size)
            ways[CONTIGUOUS].append(self._variant(workload, apart, caches, slots))
            ways[FUSED].append(self._variant(workload, [fused[:, 1], fused[:, 2]], caches, slots))
        return side_by_side.case(name_of(workload), GROUP, workload, ways, {FUSED: GOAL})

    def _variant(
        self, workload: Workload, rows: list[Array], caches: list[Array], indices: dict[str, Any]
    ) -> harness.Variant:
        return side_by_side.variant(self.library, workload, rows, caches, indices, self.threads)


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
