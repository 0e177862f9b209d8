"""Caches whose blocks are interleaved in one pool against contiguous ones of the same memory, rows and slots."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.rules.table import CACHE_MODES

from . import cases, harness, side_by_side
from .cases import DTYPE, Array, Memory, Workload

CONTIGUOUS, INTERLEAVED = "limit, contiguous", "interleaved"
GOAL = 1.05
GROUP = "pools"


class PoolCases:
    """Builds the cases of one run."""

    def __init__(self, library: CoreLibrary, memory: Memory, threads: int):
        self.library, self.memory, self.threads = library, memory, threads

    def makers(self, only: str = "") -> list[Callable[[], harness.Case]]:
        """One for each case whose name contains ``only``."""
        return [
            lambda workload=workload: self.make(workload)  # type: ignore[misc]
            for workload in workloads(only)
        ]

    def make(self, workload: Workload) -> harness.Case:
        contiguous = self.memory.caches(self.memory.helper, workload)
        contiguous = [c.reshape(cases.cache_shape(workload, len(c))) for c in contiguous]
        blocks = num_blocks(workload, self.memory)
        pool: Array = np.ndarray((blocks, 2, *contiguous[0].shape[1:]), DTYPE, self.memory.helper)
        rng = np.random.default_rng(7)
        ways: dict[str, list[harness.Variant]] = {CONTIGUOUS: [], INTERLEAVED: []}
        nbytes = workload.tokens * workload.token_bytes
        shape = (workload.tokens, workload.heads, workload.head_size)
        for i, region in enumerate(self.memory.source_regions(2 * nbytes)):
            if i == side_by_side.MAX_VARIANTS:
                break
            rows = [region[k * nbytes : (k + 1) * nbytes].view(DTYPE).reshape(shape) for k in range(2)]
            indices = cases.index_arrays(workload, blocks * workload.block_size, rng)
            ways[CONTIGUOUS].append(self._variant(workload, rows, contiguous, indices))
            ways[INTERLEAVED].append(self._variant(workload, rows, [pool[:, 0], pool[:, 1]], indices))
        return side_by_side.case(
            name_of(workload), GROUP, workload, ways, {INTERLEAVED: GOAL} if workload.block_size >= 16 else {}
        )

    def _variant(
        self, workload: Workload, rows: list[Array], caches: list[Array], indices: dict[str, Any]
    ) -> harness.Variant:
        return side_by_side.variant(self.library, workload, rows, caches, indices, self.threads)


def num_blocks(workload: Workload, memory: Memory) -> int:
    """Of each cache."""
    return len(memory.caches(memory.helper, workload)[0]) // workload.block_size


def name_of(workload: Workload) -> str:
    """The case's name."""
    return f"pool {workload.name}"


def workloads(only: str = "") -> list[Workload]:
    """Decode and prefill, whose blocks lie anywhere, and the compressed modes, whose runs cross block borders.

    Args:
        only: those whose case's name contains this.
    """
    found = []
    for block_size in (16, 128):
        for layout in CACHE_MODES:
            found += [
                Workload(layout, 64, "random", block_size),
                Workload(layout, 2048, "runs", block_size),
            ]
        found += [
            Workload("Norm", 2048, mode="Alibi", compress=0.5, block_size=block_size),
            Workload("Norm", 2048, mode="Rope", compress=0.25, block_size=block_size),
        ]
    return [workload for workload in found if only in name_of(workload)]
