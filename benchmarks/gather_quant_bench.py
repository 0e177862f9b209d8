"""The gather and the quantising write against the best streaming copy, and against what a user composes today.

The gather's limit copies the bytes that it copies, from the same memory: a cache as frameworks allocate it, and one from
the package's helper; rows are as frameworks allocate them. The quantising write's limit copies the bytes that it reads: it
writes half of them, to the helper's memory. All go between arenas larger than the last-level cache.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, Status
from ms_scatter_pa.backends.cpu.paged_bindings import GatherCall, QuantCall, make_gather_call, make_quant_call
from ms_scatter_pa.rules.table import CACHE_MODES

from . import harness
from .cases import Array, Memory
from .core_bench import CORE, CORE_HELPER, _copier

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

HEADS, SIZE, TOKENS = 8, 128, 4096
REGIONS = 16
CODES = {"int8": np.dtype(np.int8), "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn)}
GATHER_GOAL, QUANT_GOAL = 1.15, 1.3
CASES: dict[str, tuple[Any, ...]] = {
    f"gather {layout} {pattern} BS={block_size}": (layout, pattern, block_size)
    for layout in CACHE_MODES
    for pattern in ("runs", "random")
    for block_size in (16, 128)
} | {
    f"quantise {code} {scaling} {layout}": (code, scaling, layout)
    for code in CODES
    for scaling in ("per tensor", "per channel", "dynamic")
    for layout in CACHE_MODES
}
"""Name -> layout, which blocks and their size; or what is written, how it is scaled, and the layout."""


class PageCases:
    """Builds the cases of one run."""

    def __init__(self, library: CoreLibrary, memory: Memory, threads: int, peers: bool, inside: bool):
        self.library, self.memory, self.threads, self.peers = library, memory, threads, peers
        self.mindspore = peers and inside
        self.rng = np.random.default_rng(11)

    def makers(self, only: str = "") -> list[Callable[[], harness.Case]]:
        """One for each case whose name contains ``only``."""
        return [
            lambda name=name, what=what: (self._gather if what[0] in CACHE_MODES else self._quant)(name, *what)  # type: ignore[misc]
            for name, what in CASES.items()
            if only in name
        ]

    def _limit(self, nbytes: int, name: str, to: Array, source: Array) -> harness.Contender:
        copy, step = self.library.c.MsspStreamingCopy, self._step(nbytes)
        begin, end = to.ctypes.data, source.ctypes.data
        variants = [_copier(copy, begin + i * step, end + i * step, nbytes, self.threads, 1) for i in range(REGIONS)]
        return harness.Contender(name, variants)

    def _step(self, nbytes: int) -> int:
        return (self.memory.size - nbytes) // REGIONS // 4096 * 4096

    def _gather(self, name: str, layout: str, pattern: str, block_size: int) -> harness.Case:
        dtype = np.dtype(np.float16)
        nbytes = TOKENS * HEADS * SIZE * dtype.itemsize
        blocks = self.memory.size // (block_size * HEADS * SIZE * dtype.itemsize)
        shape = {
            "Norm": (blocks, block_size, HEADS, SIZE),
            "PA_NZ": (blocks, HEADS * SIZE // 16, block_size, 16),
            "NHSD": (blocks, HEADS, block_size, SIZE),
        }[layout]
        needed = TOKENS // block_size
        contenders, peers, own_way = [], [], []
        for place, memory in (("ordinary", self.memory.source), ("helper's", self.memory.helper)):
            cache = memory.view(dtype).reshape(-1)[: int(np.prod(shape))].reshape(shape)
            limit = f"{harness.LIMIT}, {place} cache"
            contenders.append(self._limit(nbytes, limit, self.memory.foreign, memory))
            variants = []
            for i in range(REGIONS):
                begin = i * self._step(nbytes)
                rows = self.memory.foreign[begin : begin + nbytes].view(dtype).reshape(TOKENS, HEADS, SIZE)
                first = int(self.rng.integers(0, blocks - needed))
                table = (
                    np.arange(first, first + needed) if pattern == "runs" else self.rng.choice(blocks, needed, False)
                )
                table = table[None].astype(np.int32)
                lengths = np.array([TOKENS], np.int32)
                call = make_gather_call(
                    cache, None, table, lengths, rows, None, layout=layout, num_threads=self.threads
                )
                variants.append(_runner(self.library.c.MsspGatherPaKvCache, call))
                if layout == "Norm" and place == "ordinary":
                    if torch is not None:
                        peers.append(_torch_gather(cache, table[0], rows))
                    if self.mindspore:
                        own_way.append(_mindspore_gather(cache, table[0]))
            contender = CORE_HELPER if place == "helper's" else CORE
            contenders.append(harness.Contender(contender, variants, own_limit=limit))
        if self.peers and peers:
            contenders.append(harness.Contender("torch index_select", peers))
        if own_way:
            contenders.append(_in_mindspore("MindSpore ops.gather", own_way))
        goal = {CORE: GATHER_GOAL, CORE_HELPER: GATHER_GOAL}
        return harness.Case(
            f"{name} T={TOKENS}", f"gather {layout}", block_size, contenders, goal=goal, settling_calls=8
        )

    def _quant(self, name: str, code: str, scaling: str, layout: str) -> harness.Case:
        source_type, block_size = np.dtype(np.float16), 16
        nbytes = TOKENS * HEADS * SIZE * source_type.itemsize
        numbers = self.rng.standard_normal((TOKENS, HEADS, SIZE)).astype(source_type)
        blocks = self.memory.size // 4 // (block_size * HEADS * SIZE)
        shape = {
            "Norm": (blocks, block_size, HEADS, SIZE),
            "PA_NZ": (blocks, HEADS * SIZE // 32, block_size, 32),
            "NHSD": (blocks, HEADS, block_size, SIZE),
        }[layout]
        cache = self.memory.helper[: int(np.prod(shape))].view(CODES[code]).reshape(shape)
        scales: dict[str, Array] = {
            "per tensor": {"key_scale": np.array([0.03], np.float32)},
            "per channel": {"key_scale": self.rng.uniform(0.02, 0.05, (HEADS, SIZE)).astype(np.float32)},
            "dynamic": {
                "key_scale_cache": np.zeros(
                    (blocks, HEADS, block_size, 1) if layout == "NHSD" else (blocks, block_size, HEADS), np.float32
                )
            },
        }[scaling]  # type: ignore[assignment]
        step = self._step(nbytes)
        variants, numpy_way, torch_way, own_way = [], [], [], []
        for i in range(REGIONS):
            rows = self.memory.source[i * step : i * step + nbytes].view(source_type).reshape(TOKENS, HEADS, SIZE)
            rows[...] = numbers
            starts = self.rng.choice(blocks, TOKENS // block_size, False)
            slots = (starts[:, None] * block_size + np.arange(block_size)).reshape(-1).astype(np.int64)
            call = make_quant_call(
                rows,
                None,
                cache,
                None,
                slots,
                layout=layout,
                num_threads=self.threads,
                **scales,  # type: ignore[arg-type]
            )
            variants.append(_runner(self.library.c.MsspQuantScatterPaKvCache, call))
            if layout == "Norm":
                numpy_way.append(_numpy_quant(rows, cache, slots, code, scales))
                if torch is not None:
                    torch_way.append(_torch_quant(rows, cache, slots, code, scales))
                if self.mindspore and code == "int8":  # it casts no float8 on a CPU
                    own_way.append(_mindspore_quant(rows, cache, slots, scales))
        limit = self._limit(nbytes, f"{harness.LIMIT}, streamed", self.memory.helper, self.memory.source)
        contenders = [limit, harness.Contender(CORE, variants)]
        if self.peers and numpy_way:
            contenders.append(harness.Contender("NumPy composition", numpy_way))
        if self.peers and torch_way:
            contenders.append(harness.Contender("torch composition", torch_way))
        if own_way:
            contenders.append(_in_mindspore("MindSpore composition", own_way))
        return harness.Case(
            f"{name} T={TOKENS}", "quantise", TOKENS, contenders, goal={CORE: QUANT_GOAL}, settling_calls=8
        )


def _runner(function: Any, call: GatherCall | QuantCall) -> harness.Variant:
    function.restype = Status
    return harness.checked(function, ctypes.byref(call), keep=call)


def _in_mindspore(name: str, variants: list[harness.Variant]) -> harness.Contender:
    from ms_scatter_pa.backends.moved_names import pynative_executor

    return harness.Contender(name, variants, finish=pynative_executor.sync)


def _mindspore_gather(cache: Array, table: Array) -> harness.Variant:
    import mindspore as ms
    from mindspore import Tensor, ops

    from ms_scatter_pa.cache import parameter_on

    source, index = parameter_on(cache, ms.float16, "cache"), Tensor(table)
    return lambda: ops.gather(source, index, 0).reshape(TOKENS, HEADS, SIZE)


def _mindspore_quant(rows: Array, cache: Array, slots: Array, scales: dict[str, Array]) -> harness.Variant:
    import mindspore as ms
    from mindspore import Tensor, ops

    from ms_scatter_pa.cache import parameter_on

    source, index = Tensor.from_numpy(rows), Tensor(slots.astype(np.int32))
    flat = parameter_on(cache.reshape(-1, HEADS, SIZE), ms.int8, "cache")
    given = Tensor(scales["key_scale"]) if "key_scale" in scales else None
    scale_rows = None
    if given is None:
        scale_rows = parameter_on(scales["key_scale_cache"].reshape(-1, HEADS, 1), ms.float32, "scales")

    def run() -> None:
        x, scale = source.astype(ms.float32), given
        if scale is None:
            scale = ops.amax(ops.abs(x), -1, True) / 127
            ops.scatter_update(scale_rows, index, scale)
        ops.scatter_update(flat, index, ops.clamp(ops.round(x / scale), -128, 127).astype(ms.int8))

    return run


def _torch_gather(cache: Array, table: Array, rows: Array) -> harness.Variant:
    source, index = torch.from_numpy(cache), torch.from_numpy(table.astype(np.int64))
    target = torch.from_numpy(rows.reshape(-1, *cache.shape[1:]))

    def run() -> None:
        torch.index_select(source, 0, index, out=target)

    return run


def _numpy_quant(rows: Array, cache: Array, slots: Array, code: str, scales: dict[str, Array]) -> harness.Variant:
    flat = cache.reshape(-1, HEADS, SIZE)
    scale_rows = scales["key_scale_cache"].reshape(-1, HEADS) if "key_scale_cache" in scales else None

    def run() -> None:
        x = rows.astype(np.float32)
        if scale_rows is None:
            scale = scales["key_scale"]
        else:
            scale = np.abs(x).max(-1, keepdims=True) / np.float32(127 if code == "int8" else 448)
            scale_rows[slots] = scale[..., 0]
        x = x / scale
        if code == "int8":
            flat[slots] = np.clip(np.rint(x), -128, 127).astype(np.int8)
        else:
            flat[slots] = np.clip(x, -448, 448).astype(cache.dtype)

    return run


def _torch_quant(rows: Array, cache: Array, slots: Array, code: str, scales: dict[str, Array]) -> harness.Variant:
    source, index = torch.from_numpy(rows), torch.from_numpy(slots)
    flat = torch.from_numpy(cache.view(np.int8).reshape(-1, HEADS, SIZE))
    tensors = {name: torch.from_numpy(array) for name, array in scales.items()}
    scale_rows = tensors["key_scale_cache"].reshape(-1, HEADS) if "key_scale_cache" in tensors else None

    def run() -> None:
        x = source.float()
        if scale_rows is None:
            scale = tensors["key_scale"]
        else:
            scale = x.abs().amax(-1, keepdim=True) / (127 if code == "int8" else 448)
            scale_rows.index_copy_(0, index, scale[..., 0])
        x = x / scale
        if code == "int8":
            q = x.round_().clamp_(-128, 127).to(torch.int8)
        else:
            q = x.clamp_(-448, 448).to(torch.float8_e4m3fn).view(torch.int8)
        flat.index_copy_(0, index, q)

    return run
