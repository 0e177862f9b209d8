"""The core without any framework against NumPy, torch and the physical limit.

The limit is the best streaming copy of the same bytes by the same threads, measured in the same rounds: memcpy or
stores past the caches, from the source arena to the cache arena. Compressed modes read more than they write; their
limit copies half of the bytes that they read and write.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.bindings import Call, CoreLibrary, make_call
from . import cases, harness
from .cases import DTYPE, LAST_DIM, Memory, Workload

Array = npt.NDArray[Any]

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

MAX_VARIANTS = 256
CORE, CORE_HELPER = "core", "core, helper's cache"


class CoreCases:
    """Builds the cases of one run."""

    def __init__(self, library: CoreLibrary, memory: Memory, threads: int, peers: bool):
        self.library, self.memory, self.threads, self.peers = library, memory, threads, peers

    def make(self, workload: Workload) -> harness.Case:
        rng = np.random.default_rng(7)
        regions = self._regions(workload)
        foreign = self.memory.caches(self.memory.foreign, workload)
        contenders = [
            *self._limits(workload, regions),
            self._core(CORE, workload, foreign, regions, rng),
            self._core(CORE_HELPER, workload, self.memory.caches(self.memory.helper, workload), regions, rng),
        ]
        if self.peers and workload.mode == "None" and workload.layout in ("Norm", "PA_NZ"):
            contenders += self._peers(workload, foreign, regions, rng)
        per_sample = max(1, min(64, 64 // workload.tokens))
        return harness.Case(workload.name, workload.group, workload.tokens, contenders, per_sample, _goal(workload))

    def _regions(self, workload: Workload) -> list[list[Array]]:
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
        regions: list[list[Array]],
        rng: np.random.Generator,
    ) -> harness.Contender:
        shaped = [c.reshape(cases.cache_shape(workload, len(c))) for c in caches]
        variants = [self._core_variant(workload, shaped, rows, rng) for rows in regions]
        return harness.Contender(name, variants)

    def _core_variant(
        self, workload: Workload, caches: list[Array], rows: list[Array], rng: np.random.Generator
    ) -> harness.Variant:
        num_slots = caches[0].shape[0] * workload.block_size
        value, value_cache = (rows[1], caches[1]) if workload.sides == 2 else (None, None)
        if workload.mode == "None":
            slots = cases.slots_of(workload, num_slots, rng)
            call = make_call(
                rows[0], value, caches[0], value_cache, slots, layout=workload.layout, num_threads=self.threads
            )
            keep: tuple[Array, ...] = (slots,)
        else:
            length, heads = workload.tokens, workload.heads
            first = int(rng.integers(0, num_slots - length * heads))
            slots = (first + np.arange(heads, dtype=np.int64) * length).reshape(1, heads)
            lengths = np.array([length], np.int64)
            counts = np.full((1, heads), int(workload.compress * length), np.int64)
            offsets = np.full(heads, length // 16, np.int64)
            call = make_call(
                rows[0][None],
                None if value is None else value[None],
                caches[0],
                value_cache,
                slots,
                layout="Norm",
                scatter_mode=workload.mode,
                compress_lens=counts,
                compress_seq_offsets=None if workload.mode == "Alibi" else offsets,
                seq_lens=lengths,
                num_threads=self.threads,
            )
            keep = (slots, lengths, counts, offsets)
        return self._caller(call, keep)

    def _caller(self, call: Call, keep: tuple[Array, ...]) -> harness.Variant:
        function, reference = self.library.c.MsspScatterPaKvCache, ctypes.byref(call)

        def run(call: Call = call, keep: tuple[Array, ...] = keep) -> None:
            if function(reference).code != 0:
                raise RuntimeError("the core refused a benchmark's call")

        return run

    def _limits(self, workload: Workload, regions: list[list[Array]]) -> list[harness.Contender]:
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
                variants.append(_copier(copy, to + at, rows[0].ctypes.data, nbytes, self.threads, streamed))
            contenders.append(harness.Contender(f"limit, {name}", variants))
        return contenders

    def _peers(
        self, workload: Workload, caches: list[Array], regions: list[list[Array]], rng: np.random.Generator
    ) -> list[harness.Contender]:
        makers: list[tuple[str, Callable[..., harness.Variant]]] = [("NumPy", _numpy_variant)]
        if torch is not None:
            torch.set_num_threads(self.threads or self.library.c.MsspGetNumThreads())
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


def _goal(workload: Workload) -> dict[str, float]:
    """The largest ratio to the limit that the project allows itself."""
    if workload.mode != "None":
        ratio = 1 / 0.7
    elif workload.tokens < 64 or workload.layout == "NHSD":
        return {}
    elif workload.pattern == "runs":
        ratio = 1.05 if workload.layout == "Norm" else 1.25
    else:
        ratio = 1.8 if workload.layout == "Norm" else 3.3
    return {CORE: ratio, CORE_HELPER: ratio}


def torch_version() -> str | None:
    """The peer's version, or None where it is not installed."""
    return None if torch is None else str(torch.__version__)


def workloads(only: str = "", quick: bool = False) -> list[Workload]:
    """The cases whose name contains ``only``; ``quick`` keeps a few of them."""
    every = [w for w in cases.token_workloads() + cases.pair_workloads() if only in w.name]
    return [w for w in every if w.tokens in (1, 64, 2048, 4096)] if quick else every
