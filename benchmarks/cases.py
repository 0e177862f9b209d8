"""The workloads: shapes, slots and memory of every case, without saying who runs them."""

import ctypes
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary

Array = npt.NDArray[Any]

DTYPE = np.dtype(np.float16)
LAST_DIM = 32 // DTYPE.itemsize  # LD of PA_NZ
GIB = 1 << 30


@dataclass(frozen=True)
class Workload:
    """One write of the operator, repeated on many regions.

    Attributes:
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        tokens: T, or B * S in a compressed mode.
        pattern: ``runs``: consecutive slots within randomly chosen blocks (prefill); ``random``: slots anywhere.
        block_size: BS.
        heads: N.
        head_size: D.
        key_only: no value (MLA).
        mode: ``None``, ``Alibi`` or ``Rope``.
        compress: Alibi: rows kept, Rope: rows averaged, as a fraction of the sequence.
        threads: 0: as the run has them.
        pause: milliseconds of sleep before every sample, as between the layers of a model.
        grows: what the cases of one growth series differ in: ``threads`` or ``block_size``; ``decode``: a row of the
            decode table.
    """

    layout: str
    tokens: int
    pattern: str = "random"
    block_size: int = 16
    heads: int = 8
    head_size: int = 128
    key_only: bool = False
    mode: str = "None"
    compress: float = 0.0
    threads: int = 0
    pause: int = 0
    grows: str = ""

    @property
    def name(self) -> str:
        shape = f"{self.heads}x{self.head_size}{' key-only' if self.key_only else ''}"
        kind = f"{self.mode} {self.compress:g}" if self.mode != "None" else f"{self.layout} {self.pattern}"
        threads = f" threads={self.threads}" if self.threads else ""
        pause = f" after {self.pause} ms" if self.pause else ""
        if self.grows == DECODE_GROUP:
            return f"decode {self.layout} T={self.tokens}{threads}"
        grows = f", against {self.grows}" if self.grows else ""
        return f"{kind} T={self.tokens} BS={self.block_size} {shape}{threads}{pause}{grows}"

    @property
    def group(self) -> str:
        """Cases that differ in one quantity only: T, or what ``grows`` says."""
        if self.grows == DECODE_GROUP:
            return f"{DECODE_GROUP} {self.layout} threads={self.threads}"
        if self.grows:
            return f"{self.layout} {self.pattern} T={self.tokens} against {self.grows}"
        return replace(self, tokens=0).name.replace(" T=0", "")

    @property
    def x(self) -> int:
        """The quantity in which the cases of a group differ."""
        return int(getattr(self, self.grows if self.grows not in ("", DECODE_GROUP) else "tokens"))

    @property
    def is_scattered(self) -> bool:
        """Whether a token's bytes are units or heads that lie apart: what counts then are the lines that they lie on."""
        return self.mode == "None" and self.pattern == "random" and self.layout in ("PA_NZ", "NHSD")

    @property
    def sides(self) -> int:
        return 1 if self.key_only else 2

    @property
    def token_bytes(self) -> int:
        return self.heads * self.head_size * DTYPE.itemsize

    @property
    def read_bytes(self) -> int:
        """Of key and value."""
        rows = self.compress * self.tokens if self.mode == "Alibi" else self.tokens
        return int(rows) * self.token_bytes * self.sides

    @property
    def written_bytes(self) -> int:
        """To both caches."""
        rows = float(self.tokens)
        if self.mode == "Alibi":
            rows = self.compress * self.tokens
        if self.mode == "Rope":
            rows = (1 - self.compress) * self.tokens + 1
        return int(rows) * self.token_bytes * self.sides


class Memory:
    """The arenas that all cases share: sources, a cache as frameworks allocate it, and one from the package's helper.

    Each is larger than any last-level cache worth naming (virtual machines report that of the whole host), and samples
    walk through it, so that neither rows nor slots are near when they are used.
    """

    def __init__(self, library: CoreLibrary, size: int = GIB):
        self._library = library
        self.size = size

    @cached_property
    def source(self) -> Array:
        return _filled(_framework_memory(self.size))

    @cached_property
    def foreign(self) -> Array:
        return _filled(_framework_memory(self.size))

    @cached_property
    def helper(self) -> Array:
        address = self._library.c.MsspAllocCache(self.size)
        if not address:
            raise MemoryError(f"no {self.size} bytes for a cache")
        return _filled(np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(address)))

    def source_regions(self, nbytes: int) -> Iterator[Array]:
        """Disjoint regions of the source arena."""
        step = -(-nbytes // 4096) * 4096 + 4096
        for begin in range(0, self.size - nbytes + 1, step):
            yield self.source[begin : begin + nbytes]

    def caches(self, arena: Array, workload: Workload) -> list[Array]:
        """[num_slots, token_bytes / itemsize] halves of the arena (the whole of it for a key-only write)."""
        heads = 1 if workload.mode != "None" else workload.heads
        block = workload.block_size * heads * workload.head_size * DTYPE.itemsize
        part = arena.nbytes // workload.sides // block * block
        return [
            arena[i * part : (i + 1) * part].view(DTYPE).reshape(-1, heads * workload.head_size)
            for i in range(workload.sides)
        ]


def slots_of(workload: Workload, num_slots: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """[tokens] distinct slots."""
    if workload.pattern == "random":
        return rng.choice(num_slots, workload.tokens, replace=False).astype(np.int64)
    blocks = -(-workload.tokens // workload.block_size)
    chosen = rng.choice(num_slots // workload.block_size, blocks, replace=False).astype(np.int64)
    return (chosen[:, None] * workload.block_size + np.arange(workload.block_size)).reshape(-1)[: workload.tokens]


def index_arrays(workload: Workload, num_slots: int, rng: np.random.Generator) -> dict[str, Any]:
    """The operator's index arguments by name, int64."""
    if workload.mode == "None":
        return {"slot_mapping": slots_of(workload, num_slots, rng)}
    length, heads = workload.tokens, workload.heads
    first = int(rng.integers(0, num_slots - length * heads))
    arrays = {
        "slot_mapping": (first + np.arange(heads, dtype=np.int64) * length).reshape(1, heads),
        "compress_lens": np.full((1, heads), int(workload.compress * length), np.int64),
        "seq_lens": np.array([length], np.int64),
    }
    if workload.mode == "Rope":
        arrays["compress_seq_offsets"] = np.full(heads, length // 16, np.int64)
    return arrays


def operands(workload: Workload, rows: list[Array], caches: list[Array]) -> tuple[Any, Any, Any, Any]:
    """Key, value or None, and their caches, in the operator's shapes."""
    shaped = [rows_of[None] if workload.mode != "None" else rows_of for rows_of in rows]
    shaped += [cache.reshape(cache_shape(workload, len(cache))) for cache in caches]
    if workload.key_only:
        return shaped[0], None, shaped[1], None
    return shaped[0], shaped[1], shaped[2], shaped[3]


def cache_shape(workload: Workload, num_slots: int) -> tuple[int, ...]:
    """The operator's shape of a cache with that many slots."""
    blocks = num_slots // workload.block_size
    if workload.mode != "None":
        return (blocks, workload.block_size, 1, workload.head_size)
    if workload.layout == "Norm":
        return (blocks, workload.block_size, workload.heads, workload.head_size)
    if workload.layout == "NHSD":
        return (blocks, workload.heads, workload.block_size, workload.head_size)
    return (blocks, workload.heads * workload.head_size // LAST_DIM, workload.block_size, LAST_DIM)


DECODE_GROUP = "decode"
DECODE = (1, 16, 64, 256)
PREFILL = (512, 2048, 8192)


def token_workloads() -> list[Workload]:
    """The scenarios of one token per slot."""
    workloads = []
    for layout in ("Norm", "PA_NZ"):
        for block_size in (16, 128):
            workloads += [Workload(layout, t, "random", block_size) for t in DECODE]
            workloads += [Workload(layout, t, "runs", block_size) for t in PREFILL]
            workloads += [Workload(layout, t, "random", block_size) for t in PREFILL]
    workloads += [Workload("NHSD", t, p, 16) for t, p in ((64, "random"), (2048, "runs"), (2048, "random"))]
    for layout in ("Norm", "PA_NZ"):
        for tokens, pattern in ((1, "random"), (64, "random"), (2048, "runs")):
            workloads.append(Workload(layout, tokens, pattern, 128, heads=1, head_size=576, key_only=True))
    return workloads


def decode_workloads() -> list[Workload]:
    """Steps of 1 to 64 sequences, on one thread and on two; nothing that they touch is in a processor's cache."""
    return [
        Workload(layout, tokens, threads=threads, grows=DECODE_GROUP)
        for layout in ("Norm", "PA_NZ")
        for tokens in (1, 4, 16, 64)
        for threads in (1, 2)
    ]


def growth_workloads(processors: int) -> list[Workload]:
    """Time against the number of threads and against the block size; against T: the cases of ``token_workloads``."""
    threads = [1 << i for i in range(processors.bit_length()) if 1 << i <= processors]
    workloads = []
    for layout in ("Norm", "PA_NZ"):
        for pattern in ("runs", "random"):
            workloads += [Workload(layout, 2048, pattern, threads=t, grows="threads") for t in threads]
        workloads += [Workload(layout, 2048, "runs", b, grows="block_size") for b in (8, 16, 32, 64, 128, 256)]
    return workloads


def pause_workloads() -> list[Workload]:
    """Calls with time between them, in which worker threads and processors fall asleep."""
    every = [Workload(layout, t, "random", pause=2) for layout in ("Norm", "PA_NZ") for t in (16, 64)]
    return every + [Workload(layout, t, "runs", pause=2) for layout in ("Norm", "PA_NZ") for t in (512, 2048)]


def pair_workloads() -> list[Workload]:
    """Alibi and Rope over 4096 tokens of 8 heads."""
    return [Workload("Norm", 4096, "runs", 128, mode="Alibi", compress=c) for c in (1.0, 0.5)] + [
        Workload("Norm", 4096, "runs", 128, mode="Rope", compress=c) for c in (0.0, 0.25, 0.9)
    ]


def _framework_memory(nbytes: int) -> Array:
    """As frameworks allocate it: 16 bytes past a line and on small pages, which NumPy's own large arrays are not."""
    mapping = mmap.mmap(-1, nbytes + 64, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(mapping, np.uint8, nbytes, 16)


def _filled(array: Array) -> Array:
    """Touches every page with numbers that are ordinary in every dtype."""
    pattern = np.random.default_rng(0).normal(size=1 << 19).astype(DTYPE).view(np.uint8)
    for begin in range(0, array.size, pattern.size):
        part = array[begin : begin + pattern.size]
        part[:] = pattern[: part.size]
    return array
