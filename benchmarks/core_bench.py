"""The core without any framework against NumPy, torch and the physical limit.

The limit is the best streaming copy of the same bytes by the same threads, measured in the same rounds: memcpy or
stores past the caches, from the source arena to the cache arena. Compressed modes read more than they write; their
limit copies half of the bytes that they read and write.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, ScatteredLines, make_call

from . import cases, harness
from .cases import DTYPE, LAST_DIM, Memory, Workload

Array = npt.NDArray[Any]

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

MAX_VARIANTS = 256
SETTLING_BYTES = 64 << 20  # read and written; more than a last-level cache holds of one process
INTERLEAVED = (4, 8)  # tokens, of the lines touched
CORE, CORE_HELPER = "core", "core, helper's cache"
Regions = list[list[Array]]
Ways = Callable[[Workload, list[Array], Regions], list[harness.Contender]]


class CoreCases:
    """Builds the cases of one run.

    ``ways`` are more contenders for a workload, given caches and source rows; they write the helper's cache.
    """

    def __init__(self, library: CoreLibrary, memory: Memory, threads: int, peers: bool, ways: Ways | None = None):
        self.library, self.memory, self.threads, self.peers, self.ways = library, memory, threads, peers, ways

    def make(self, workload: Workload) -> harness.Case:
        rng = np.random.default_rng(7)
        regions = self._regions(workload)
        foreign = self.memory.caches(self.memory.foreign, workload)
        helper = self.memory.caches(self.memory.helper, workload)
        contenders = [
            *self._limits(workload, regions),
            *self._same_lines(workload, foreign, regions, rng, "ordinary"),
            *self._same_lines(workload, helper, regions, rng, "helper's"),
            self._core(CORE, workload, foreign, regions, rng, "ordinary"),
            self._core(CORE_HELPER, workload, helper, regions, rng, "helper's"),
        ]
        # The number of threads of one call is the core's to know.
        if self.ways is not None and not workload.threads:
            contenders += self.ways(workload, helper, regions)
        if self.peers and workload.mode == "None" and workload.layout in ("Norm", "PA_NZ"):
            contenders += self._peers(workload, foreign, regions, rng)
        per_sample = max(1, min(64, 64 // workload.tokens))
        if workload.pause:
            per_sample = 1
        settling = -(-SETTLING_BYTES // (workload.read_bytes + workload.written_bytes))
        return harness.Case(
            workload.name,
            workload.group,
            workload.x,
            contenders,
            per_sample,
            goal=_goal(workload),
            pause=workload.pause / 1e3,
            settling_calls=settling,
        )

    def _threads(self, workload: Workload) -> int:
        return workload.threads or self.threads

    def _regions(self, workload: Workload) -> Regions:
        """[variant][side] source rows [T, N, D]."""
        shape = (workload.tokens, workload.heads, workload.head_size)
        nbytes = workload.tokens * workload.token_bytes
        regions = []
        for region in self.memory.source_regions(nbytes * workload.sides):
            rows = [region[i * nbytes : (i + 1) * nbytes].view(DTYPE).reshape(shape) for i in range(workload.sides)]
            regions.append(rows)
            if len(regions) == MAX_VARIANTS:
                break
        return regions

    def _core(
        self,
        name: str,
        workload: Workload,
        caches: list[Array],
        regions: Regions,
        rng: np.random.Generator,
        memory: str,
    ) -> harness.Contender:
        variants = [self._core_variant(workload, caches, rows, rng) for rows in regions]
        own_limit = f"{harness.SAME_LINES}, {memory}" if workload.is_scattered else ""
        return harness.Contender(name, variants, own_limit=own_limit)

    def _core_variant(
        self, workload: Workload, caches: list[Array], rows: list[Array], rng: np.random.Generator
    ) -> harness.Variant:
        key, value, key_cache, value_cache = cases.operands(workload, rows, caches)
        num_slots = key_cache.shape[0] * workload.block_size
        indices: dict[str, Any] = cases.index_arrays(workload, num_slots, rng)
        call = make_call(
            key,
            value,
            key_cache,
            value_cache,
            **indices,
            layout=workload.layout,
            scatter_mode=workload.mode,
            num_threads=self._threads(workload),
        )
        return harness.checked(self.library.c.MsspScatterPaKvCache, ctypes.byref(call), keep=call)

    def _same_lines(
        self, workload: Workload, caches: list[Array], regions: Regions, rng: np.random.Generator, memory: str
    ) -> list[harness.Contender]:
        """Ordinary stores with read-ahead to the lines of scattered units, four and eight tokens interleaved."""
        if not workload.is_scattered:
            return []
        touch, contenders = self.library.c.MsspTouchLines, []
        num_slots = len(caches[0]) // workload.block_size * workload.block_size
        piece = 32 if workload.layout == "PA_NZ" else workload.head_size * DTYPE.itemsize
        for tokens in INTERLEAVED:
            variants = []
            for rows in regions:
                slots = cases.slots_of(workload, num_slots, rng)
                lines = ScatteredLines()
                for i, (cache, side) in enumerate(zip(caches, rows, strict=True)):
                    lines.to[i], lines.from_[i] = cache.ctypes.data, side.ctypes.data
                lines.slots, lines.num_tokens, lines.block_size = slots.ctypes.data, len(slots), workload.block_size
                lines.num_pieces, lines.piece_bytes = workload.token_bytes // piece, piece
                lines.interleaved_tokens, lines.num_threads = tokens, self._threads(workload)
                variants.append(_toucher(touch, lines, slots))
            contenders.append(
                harness.Contender(f"{harness.SAME_LINES}, {memory}, {tokens} tokens interleaved", variants)
            )
        return contenders

    def _limits(self, workload: Workload, regions: Regions) -> list[harness.Contender]:
        nbytes = (workload.read_bytes + workload.written_bytes) // 2
        foreign, helper = self.memory.foreign.ctypes.data, self.memory.helper.ctypes.data
        size = self.memory.size
        copy = self.library.c.MsspStreamingCopy
        contenders = []
        ways = (("streamed", foreign, 1), ("streamed, helper's cache", helper, 1), ("memcpy", foreign, 0))
        for name, to, streamed in ways:
            variants = []
            for i, rows in enumerate(regions):
                at = (i * 7919 * 4096) % (size - nbytes) // 4096 * 4096  # in another order than the sources
                variants.append(_copier(copy, to + at, rows[0].ctypes.data, nbytes, self._threads(workload), streamed))
            contenders.append(harness.Contender(f"limit, {name}", variants))
        return contenders

    def _peers(
        self, workload: Workload, caches: list[Array], regions: Regions, rng: np.random.Generator
    ) -> list[harness.Contender]:
        makers: list[tuple[str, Callable[..., harness.Variant]]] = [("NumPy", _numpy_variant)]
        if torch is not None:
            torch.set_num_threads(self._threads(workload) or self.library.c.MsspGetNumThreads())
            makers.append(("torch index_put_", _torch_put_variant))
            if workload.layout == "Norm":
                makers.append(("torch index_copy_", _torch_copy_variant))
        contenders = []
        for name, make in makers:
            variants = []
            for rows in regions[:32]:
                slots = cases.slots_of(workload, len(caches[0]) // workload.block_size * workload.block_size, rng)
                variants.append(make(workload, caches, rows, slots))
            contenders.append(harness.Contender(name, variants))
        return contenders


def _copier(
    copy: Callable[..., None], to: int, source: int, nbytes: int, threads: int, streamed: int
) -> harness.Variant:
    def run() -> None:
        copy(to, source, nbytes, threads, streamed)

    return run


def _toucher(touch: Callable[..., None], lines: ScatteredLines, slots: Array) -> harness.Variant:
    reference = ctypes.byref(lines)

    def run(keep: tuple[Any, ...] = (lines, slots)) -> None:
        touch(reference)

    return run


def _index(workload: Workload, slots: Array) -> tuple[Any, ...]:
    """What NumPy and torch index a cache with: [slots] for Norm, (block, group, offset) for PA_NZ."""
    if workload.layout == "Norm":
        return (slots,)
    groups = np.arange(workload.heads * workload.head_size // LAST_DIM)
    return (slots[:, None] // workload.block_size, groups[None, :], slots[:, None] % workload.block_size)


def _peer_views(workload: Workload, caches: list[Array], rows: list[Array]) -> list[tuple[Array, Array]]:
    if workload.layout == "Norm":
        return [(c, r.reshape(len(r), -1)) for c, r in zip(caches, rows, strict=True)]
    shape = cases.cache_shape(workload, len(caches[0]))
    return [(c.reshape(shape), r.reshape(len(r), -1, LAST_DIM)) for c, r in zip(caches, rows, strict=True)]


def _numpy_variant(workload: Workload, caches: list[Array], rows: list[Array], slots: Array) -> harness.Variant:
    index, views = _index(workload, slots), _peer_views(workload, caches, rows)

    def run() -> None:
        for cache, source in views:
            cache[index] = source

    return run


def _torch_put_variant(workload: Workload, caches: list[Array], rows: list[Array], slots: Array) -> harness.Variant:
    index = tuple(torch.from_numpy(i) for i in _index(workload, slots))
    views = [(torch.from_numpy(c), torch.from_numpy(r)) for c, r in _peer_views(workload, caches, rows)]

    def run() -> None:
        for cache, source in views:
            cache.index_put_(index, source)

    return run


def _torch_copy_variant(workload: Workload, caches: list[Array], rows: list[Array], slots: Array) -> harness.Variant:
    index = torch.from_numpy(slots)
    views = [(torch.from_numpy(c), torch.from_numpy(r)) for c, r in _peer_views(workload, caches, rows)]

    def run() -> None:
        for cache, source in views:
            cache.index_copy_(0, index, source)

    return run


GOALS = {
    ("Norm", "runs"): (1.08, 1.06),
    ("Norm", "random"): (1.35, 1.2),
    ("PA_NZ", "runs"): (1.2, 1.1),
    ("NHSD", "runs"): (1.25, 1.15),
}


def _goal(workload: Workload) -> dict[str, float]:
    """The largest ratio to the limit that the project allows itself."""
    if workload.mode != "None":
        return {CORE: 1.25, CORE_HELPER: 1.15}
    if workload.tokens < 64 or workload.pause or workload.grows:
        return {}
    if workload.is_scattered:
        return {CORE: 1.15, CORE_HELPER: 1.15}  # over the same lines
    ordinary, helper = GOALS[workload.layout, workload.pattern]
    return {CORE: ordinary, CORE_HELPER: helper}


def torch_version() -> str | None:
    """The peer's version, or None where it is not installed."""
    return None if torch is None else str(torch.__version__)


def workloads(only: str = "", quick: bool = False) -> list[Workload]:
    """The cases whose name contains ``only``; ``quick`` keeps a few of them."""
    main = cases.token_workloads() + cases.pair_workloads()
    if quick:
        main = [w for w in main if w.tokens in (1, 64, 2048, 4096)]
    else:
        main += (
            cases.decode_workloads() + cases.pause_workloads() + cases.growth_workloads(len(os.sched_getaffinity(0)))
        )
    return [w for w in main if only in w.name]
