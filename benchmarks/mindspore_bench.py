"""The package inside MindSpore: what a call costs in PyNative and in a graph, against torch and MindSpore's own ways.

Calls are timed a thousand at a time with the queue drained at the end, since a synchronization costs more than a call.
"""

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.moved_names import pynative_executor
from ms_scatter_pa.cache import cache_shape, make_cache, parameter_on

from . import cases, harness
from .cases import Workload

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

Array = npt.NDArray[Any]
Call = Callable[[], Any]

HEADS, HEAD_SIZE, BLOCK_SIZE = 8, 128, 16
PEER = "limit, two torch index_put_"  # what the dispatch cases are held against
STRIDED = "strided rows"
CONTIGUOUS = "limit, contiguous rows"  # what the strided ones are held against
TRANSPOSED, EVERY_SECOND = "[N,D,T] transposed", "every 2nd channel"
DRAINED_CALLS = 1000


PYNATIVE, GRAPH = "PyNative", "graph"
GRAPH_WRITES = 8  # in one graph, as a model has one per layer
INDICES = ("slot_mapping", "compress_lens", "compress_seq_offsets", "seq_lens")
ARGUMENTS = 2 + len(INDICES)


class _Write(nn.Cell):  # type: ignore[misc]
    def __init__(self, key_cache: Parameter, value_cache: Parameter | None, workload: Workload) -> None:
        super().__init__()
        self.key_cache, self.value_cache = key_cache, value_cache
        self.cache_mode, self.scatter_mode = workload.layout, workload.mode

    def write(self, key: Any, value: Any, slot_mapping: Any, lens: Any, offsets: Any, seq_lens: Any) -> Any:
        return npu_scatter_pa_kv_cache(
            key,
            value,
            self.key_cache,
            self.value_cache,
            slot_mapping,
            compress_lens=lens,
            compress_seq_offsets=offsets,
            seq_lens=seq_lens,
            cache_mode=self.cache_mode,  # type: ignore[arg-type]
            scatter_mode=self.scatter_mode,  # type: ignore[arg-type]
        )

    def construct(self, step: Any, *arguments: Any) -> Any:  # one after another: a tuple of Tensors would be a constant
        for i in range(0, len(arguments), ARGUMENTS):
            self.write(*arguments[i : i + ARGUMENTS])
        return step + 1


def ways(workload: Workload, caches: list[Array], regions: list[list[Array]]) -> list[harness.Contender]:
    """The function in PyNative and a graph of some writes, on the memory that the core's contenders have."""
    rng = np.random.default_rng(11)
    key_cache, value_cache = cases.operands(workload, regions[0], caches)[2:]
    cell = _Write(
        parameter_on(key_cache, ms.float16, "key_cache"),
        None if value_cache is None else parameter_on(value_cache, ms.float16, "value_cache"),
        workload,
    )
    graph = ms.jit(cell)
    step = Tensor([0])
    num_slots = key_cache.shape[0] * workload.block_size
    writes: list[tuple[Any, ...]] = []
    for rows in regions:
        key, value = (None if r is None else Tensor.from_numpy(r) for r in cases.operands(workload, rows, caches)[:2])
        arrays = cases.index_arrays(workload, num_slots, rng)
        writes.append((key, value, *(Tensor(arrays[name]) if name in arrays else None for name in INDICES)))
    in_pynative = [lambda write=write: cell.write(*write) for write in writes]  # type: ignore[misc]
    count = min(GRAPH_WRITES, len(writes))
    steps = [sum(writes[i : i + count], ()) for i in range(0, len(writes) - count + 1, count)]
    in_graph = [lambda arguments=arguments: graph(step, *arguments) for arguments in steps]  # type: ignore[misc]
    return [
        harness.Contender(PYNATIVE, in_pynative, finish=pynative_executor.sync),
        harness.Contender(GRAPH, in_graph, calls=count, finish=pynative_executor.sync),
    ]


def dispatch_cases() -> list[Callable[[], harness.Case]]:
    """One token's K and V, PyNative: the function and the Cell, checks on."""
    return [lambda layout=layout: _dispatch_case(layout) for layout in ("Norm", "PA_NZ")]  # type: ignore[misc]


def own_ways_cases() -> list[Callable[[], harness.Case]]:
    """MindSpore's own ways to write pages, K and V into two caches of 64 MiB, against the function."""
    return [lambda tokens=tokens: _own_ways_case(tokens) for tokens in (1, 256)]  # type: ignore[misc]


def _sizes(num_blocks: int) -> dict[str, Any]:
    return {"num_blocks": num_blocks, "block_size": BLOCK_SIZE, "num_head": HEADS, "head_size": HEAD_SIZE}


def _caches(layout: str, num_blocks: int) -> list[Any]:
    sizes = _sizes(num_blocks)
    return [make_cache(layout, dtype="float16", name=name, **sizes) for name in ("key_cache", "value_cache")]


def _rows(tokens: int) -> list[Array]:
    rng = np.random.default_rng(3)
    return [rng.random((tokens, HEADS, HEAD_SIZE)).astype(np.float16) for _ in range(2)]


def _drained(name: str, call: Call, count: int = DRAINED_CALLS) -> harness.Contender:
    """``count`` calls, then a wait until the last of them has happened."""

    def run() -> None:
        for _ in range(count):
            last = call()
        if hasattr(last, "asnumpy"):
            last.asnumpy()

    return harness.Contender(name, [run], calls=count)


def _dispatch_case(layout: str) -> harness.Case:
    key, value = (Tensor(rows) for rows in _rows(1))
    key_cache, value_cache = _caches(layout, 64)
    slot_mapping = Tensor([517])
    cell = ScatterPaKvCache(key_cache, value_cache, cache_mode=layout)
    recording = ScatterPaKvCache(key_cache, value_cache, cache_mode=layout, on_error="record")
    contenders = [
        _drained(
            "PyNative function",
            lambda: npu_scatter_pa_kv_cache(
                key,
                value,
                key_cache,
                value_cache,
                slot_mapping,
                cache_mode=layout,  # type: ignore[arg-type]
            ),
        ),
        _drained("PyNative Cell", lambda: cell(key, value, slot_mapping)),
        _drained("PyNative Cell, record", lambda: recording(key, value, slot_mapping)),
    ]
    if torch is not None:
        contenders.append(_drained(PEER, _torch_call(layout)))
    goals = {"PyNative function": 1.0, "PyNative Cell": 1.0}
    return harness.Case(f"dispatch {layout} T=1", "dispatch", 1, contenders, goal=goals)


def _torch_call(layout: str) -> Call:
    rows = [torch.from_numpy(r) for r in _rows(1)]
    caches = [torch.zeros(cache_shape(layout, dtype="float16", **_sizes(64)), dtype=torch.float16) for _ in range(2)]
    if layout == "Norm":
        index: tuple[Any, ...] = (torch.tensor([517]),)
        caches = [cache.reshape(-1, HEADS, HEAD_SIZE) for cache in caches]
    else:
        groups = torch.arange(HEADS * HEAD_SIZE // 16)
        index = (torch.tensor([[517 // BLOCK_SIZE]]), groups[None], torch.tensor([[517 % BLOCK_SIZE]]))
        rows = [row.reshape(1, -1, 16) for row in rows]

    def call() -> None:
        caches[0].index_put_(index, rows[0])
        caches[1].index_put_(index, rows[1])

    return call


def _own_ways_case(tokens: int) -> harness.Case:
    num_blocks = (64 << 20) // (BLOCK_SIZE * HEADS * HEAD_SIZE * 2)
    key, value = (Tensor(rows) for rows in _rows(tokens))
    slots = np.random.default_rng(5).choice(num_blocks * BLOCK_SIZE, tokens, replace=False)
    slot_mapping = Tensor(slots.astype(np.int64))
    indices = Tensor(slots[:, None].astype(np.int32))
    rows_of = (num_blocks * BLOCK_SIZE, HEADS, HEAD_SIZE)
    flat = [Parameter(Tensor(np.zeros(rows_of, np.float16)), name=f"flat_{i}") for i in range(2)]
    key_cache, value_cache = _caches("Norm", num_blocks)
    flat_index = Tensor(slots.astype(np.int32))

    def scatter_update() -> Any:
        ops.scatter_update(flat[0], flat_index, key)
        return ops.scatter_update(flat[1], flat_index, value)

    def scatter_nd_update() -> Any:
        ops.scatter_nd_update(flat[0], indices, key)
        return ops.scatter_nd_update(flat[1], indices, value)

    def call() -> Any:
        return npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode="Norm")

    contenders = [
        _drained("PyNative function", call, 20),
        _drained("ops.scatter_update", scatter_update, 2),
        _drained("ops.scatter_nd_update", scatter_nd_update, 1),
    ]
    return harness.Case(f"MindSpore's own ways T={tokens}, 2 x 64 MiB", "own ways", tokens, contenders)


def strided_cases() -> list[Callable[[], harness.Case]]:
    """Rows whose innermost dimension is strided, against the same call with contiguous rows."""
    return [lambda tokens=tokens: _strided_case(tokens) for tokens in (64, 256, 2048)]  # type: ignore[misc]


def _strided_case(tokens: int) -> harness.Case:
    num_blocks = (64 << 20) // (BLOCK_SIZE * HEADS * HEAD_SIZE * 2)
    slots = np.random.default_rng(5).choice(num_blocks * BLOCK_SIZE, tokens, replace=False).astype(np.int64)
    slot_mapping = Tensor(slots)
    caches = _caches("Norm", num_blocks)
    contiguous = [Tensor(rows) for rows in _rows(tokens)]
    transposed = [Tensor(np.ascontiguousarray(rows.transpose(1, 2, 0))).transpose(2, 0, 1) for rows in _rows(tokens)]
    every_second = [Tensor(np.repeat(rows, 2, axis=-1))[..., ::2] for rows in _rows(tokens)]

    def call(rows: list[Any]) -> Call:
        (key, value), (key_cache, value_cache) = rows, caches
        return lambda: npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode="Norm")

    contenders = [
        _drained(CONTIGUOUS, call(contiguous), 20),
        _drained(TRANSPOSED, call(transposed), 20),
        _drained(EVERY_SECOND, call(every_second), 20),
    ]
    if torch is not None:
        flat = [torch.zeros(num_blocks * BLOCK_SIZE, HEADS, HEAD_SIZE, dtype=torch.float16) for _ in range(2)]
        rows = [torch.from_numpy(np.ascontiguousarray(r.transpose(1, 2, 0))).permute(2, 0, 1) for r in _rows(tokens)]
        index = torch.from_numpy(slots)

        def put() -> None:
            for cache, side in zip(flat, rows, strict=True):
                cache.index_put_((index,), side)

        contenders.append(_drained("torch, transposed", put, 20))
    goal = {TRANSPOSED: 5.0, EVERY_SECOND: 5.0}
    return harness.Case(f"strided rows T={tokens}, 2 x 64 MiB", STRIDED, tokens, contenders, goal=goal)
