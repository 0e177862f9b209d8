"""The built-in operators of networks: paged attention against reading its pages and against its arithmetic, MindSpore's own
operators; prefill against torch and with masks that are looked through; norms and rotation against a streaming pass."""

import ctypes
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary

from .harness import LIMIT, Case, Contender

Array = npt.NDArray[Any]

HEADS, KV_HEADS, SIZE, BLOCK_SIZE = 32, 8, 128, 16
PAGE = BLOCK_SIZE * KV_HEADS * SIZE  # numbers
COLD_BYTES = 1 << 30  # of K and V together; virtual machines report the host's last-level cache
WARM_TOKENS = 256  # K and V of one megabyte: they fit the second level
STREAMED_BYTES = 4 << 20  # from which results go past the caches
OURS = "ms_scatter_pa"
_TYPES = {"float32": 1, "float16": 2, "bfloat16": 3, "uint8": 7, "int32": 10, "int64": 12, "float64": 4}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int32),
        ("type", ctypes.c_int32),
    )


def prepared(library: CoreLibrary, name: str, inputs: Sequence[Any], outputs: Sequence[Array]) -> Callable[[], None]:
    """One call of a built-in operator, its arguments described once."""

    def describe(values: Sequence[Any]) -> tuple[Any, list[Any]]:
        tensors, keep = (_Tensor * len(values))(), []
        for tensor, value in zip(tensors, values, strict=True):
            if value is None:
                continue
            array = np.asarray(value)
            shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
            keep += [array, shape]
            tensor.data, tensor.shape, tensor.rank = array.ctypes.data, shape, array.ndim
            tensor.type = _TYPES[array.dtype.name]
        return tensors, keep

    given, keep = describe(inputs)
    made, keep_too = describe(outputs)
    message = ctypes.create_string_buffer(512)
    arguments = (name.encode(), given, len(inputs), made, len(outputs), message, ctypes.c_int64(512))

    def call() -> None:
        if library.c.MsspBuiltinRun(*arguments):
            raise RuntimeError(message.value.decode())

    call.keep = (keep, keep_too)  # type: ignore[attr-defined]
    return call


@lru_cache(maxsize=1)
def limits() -> ctypes.CDLL:
    """``attention_limits.cc``, compiled for this machine."""
    # GNU OpenMP's threads spin for milliseconds after their work, on the cores of the contender that comes next.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    source = Path(__file__).with_name("attention_limits.cc")
    output = Path(tempfile.mkdtemp()) / "liblimits.so"
    flags = ["-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared"]
    subprocess.run(["g++", *flags, str(source), "-o", str(output)], check=True)
    return ctypes.CDLL(str(output))


class Pages:
    """Keys and values of many blocks; every variant takes the next blocks, in no order."""

    def __init__(self, nbytes: int) -> None:
        rng = np.random.default_rng(0)
        self.blocks = nbytes // 2 // (PAGE * 2)
        seed = rng.standard_normal(PAGE).astype(np.float16)
        self.keys, self.values = (np.tile(seed, self.blocks).reshape(self.blocks, PAGE) for _ in range(2))
        self.order = rng.permutation(self.blocks).astype(np.int32)

    def tables(self, batch: int, tokens: int) -> list[Array]:
        """As many batches as there are blocks for, 64 at most."""
        pages = batch * (tokens // BLOCK_SIZE)
        count = max(1, min(64, self.blocks // pages))
        return [self.order[i * pages : (i + 1) * pages].reshape(batch, -1).copy() for i in range(count)]


def decode(library: CoreLibrary, threads: int, pages: Pages, batch: int, tokens: int, warm: bool) -> Case:
    """One decode step of a layer."""
    rng = np.random.default_rng(1)
    query = rng.standard_normal((batch, HEADS * SIZE)).astype(np.float16)
    lens = np.full(batch, tokens, np.int32)
    shape = (-1, BLOCK_SIZE, KV_HEADS, SIZE)
    out = np.empty_like(query)
    tables = pages.tables(batch, tokens)[: 1 if warm else None]

    def ours(table: Array) -> Callable[[], None]:
        inputs: list[Any] = [
            query,
            pages.keys.reshape(shape),
            pages.values.reshape(shape),
            table,
            lens,
            None,
            None,
            None,
            None,
        ]
        inputs += [None, HEADS, np.float64(SIZE**-0.5), KV_HEADS, 0, 0, 0]
        return prepared(library, "PagedAttention", inputs, [out])

    floats = rng.standard_normal(4 * SIZE).astype(np.float32)

    def limit(table: Array) -> Callable[[], None]:
        flat = np.ascontiguousarray(table.reshape(-1))
        size = ctypes.c_int64(PAGE * 2)

        def read() -> None:
            for side in (pages.keys, pages.values):
                where, count = ctypes.c_void_p(side.ctypes.data), ctypes.c_int64(len(flat))
                index = ctypes.c_void_p(flat.ctypes.data)
                if warm:
                    numbers = ctypes.c_void_p(floats.ctypes.data)
                    limits().MultiplyPages(where, index, count, size, numbers, threads)
                else:
                    limits().ReadPages(where, index, count, size, threads)

        return read

    name = f"PagedAttention B={batch} context={tokens} {'in cache' if warm else 'cold'} threads={threads}"
    contenders = [
        Contender(f"{LIMIT} {'arithmetic' if warm else 'read'}", [limit(table) for table in tables]),
        Contender(OURS, [ours(table) for table in tables]),
    ]
    # Each calls itself once before: the other's workers, which spin for a while, are at rest then.
    return Case(name, "paged attention", tokens, contenders, goal={OURS: 1.5}, settling_calls=1)


def against_mindspore(library: CoreLibrary, pages: Pages, batch: int, tokens: int) -> Case:
    """The operator in a graph, and what people write of MindSpore's CPU operators: gather the pages, then matrix products
    and a softmax. MindFormers repeats keys and values for every query head (``modules/infer_attention.py``); a better way
    multiplies a group of heads at once. No limit: ratios are read off the columns."""
    import mindspore as ms
    from mindspore import Tensor, nn, ops

    from ms_scatter_pa import compat

    compat.register()
    from mindspore.ops.auto_generate import PagedAttention

    group = HEADS // KV_HEADS

    class Composed(nn.Cell):  # type: ignore[misc]
        def __init__(self, repeated: bool) -> None:
            super().__init__()
            self.repeated = repeated

        def construct(self, query: Any, keys: Any, values: Any, tables: Any, mask: Any) -> Any:
            rows = (batch, tokens, KV_HEADS, SIZE)
            key = ops.reshape(ops.gather(keys, tables, 0), rows)
            value = ops.reshape(ops.gather(values, tables, 0), rows)
            key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (key, value))
            if self.repeated:
                flat = (batch, KV_HEADS, 1, tokens * SIZE)
                key, value = (
                    ops.reshape(ops.tile(ops.reshape(x, flat), (1, 1, group, 1)), (batch, HEADS, tokens, SIZE))
                    for x in (key, value)
                )
                query = ops.reshape(query, (batch, HEADS, 1, SIZE))
            else:
                query = ops.reshape(query, (batch, KV_HEADS, group, SIZE))
            scores = ops.BatchMatMul(transpose_b=True)(query, key) * SIZE**-0.5
            weights = ops.softmax((scores + mask).astype(ms.float32), -1).astype(ms.float16)
            return ops.reshape(ops.BatchMatMul()(weights, value), (batch, HEADS * SIZE))

    class Built(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.attention = PagedAttention(HEADS, SIZE**-0.5, KV_HEADS)

        def construct(self, query: Any, keys: Any, values: Any, tables: Any, lens: Any) -> Any:
            return self.attention(query, keys, values, tables, lens)

    shape = (-1, BLOCK_SIZE, KV_HEADS, SIZE)
    query = Tensor(np.random.default_rng(1).standard_normal((batch, HEADS * SIZE)).astype(np.float16))
    keys, values = (Tensor(side[: 2 * pages.blocks // 4].reshape(shape)) for side in (pages.keys, pages.values))
    tables = [Tensor(table % keys.shape[0]) for table in pages.tables(batch, tokens)[:8]]
    mask, lens = Tensor(np.zeros((batch, 1, 1, tokens), np.float16)), Tensor(np.full(batch, tokens, np.int32))
    repeated, grouped, built = (
        ms.jit(function=net, jit_level="O0") for net in (Composed(True), Composed(False), Built())
    )

    def composed_call(composed: Any, table: Any) -> Array:
        return np.asarray(composed(query, keys, values, table, mask).asnumpy())

    def built_call(table: Any) -> Array:
        return np.asarray(built(query, keys, values, table, lens).asnumpy())

    np.testing.assert_allclose(composed_call(repeated, tables[0]), built_call(tables[0]), rtol=2e-2, atol=2e-2)
    name = f"decode in a graph B={batch} context={tokens}"
    contenders = [
        Contender("heads repeated", [partial(composed_call, repeated, table) for table in tables]),
        Contender("heads grouped", [partial(composed_call, grouped, table) for table in tables]),
        Contender(OURS, [partial(built_call, table) for table in tables]),
    ]
    return Case(name, "own ways", tokens, contenders)


def prefill(library: CoreLibrary, threads: int, tokens: int) -> Case:
    """float32, BNSD, causal: torch's scaled_dot_product_attention is the limit."""
    import torch

    torch.set_num_threads(threads)
    rng, heads = np.random.default_rng(2), 8
    query, key, value = (rng.standard_normal((1, heads, tokens, SIZE)).astype(np.float32) for _ in range(3))
    out, statistics = np.empty_like(query), [np.empty((1, heads, tokens, 8), np.float32) for _ in range(2)]
    inputs = [
        query,
        key,
        value,
        *[None] * 7,
        heads,
        np.float64(1),
        np.float64(SIZE**-0.5),
        2**31 - 1,
        2**31 - 1,
        0,
        1,
        2,
    ]
    ours = prepared(library, "FlashAttentionScore", inputs, [*statistics, np.empty(1, np.float32), out])
    tensors = [torch.from_numpy(x) for x in (query, key, value)]

    def theirs() -> object:
        return torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=True)

    ours()
    np.testing.assert_allclose(out, theirs().numpy(), rtol=1e-3, atol=1e-4)  # type: ignore[attr-defined]
    contenders = [Contender(f"{LIMIT} torch", [theirs]), Contender(OURS, [ours])]
    return Case(
        f"FlashAttentionScore T={tokens} {heads}x{SIZE} float32", "prefill", tokens, contenders, goal={OURS: 2.0}
    )


def masked(library: CoreLibrary, kind: str, tokens: int) -> Case:
    """Masks that FlashAttentionScore looks through on every call, to refuse what they do not say: the limit is the same
    call without a mask, or for bfloat16, whose masks are added too, with one of float16."""
    rng, heads = np.random.default_rng(4), 8
    queries = 1 if kind == "sparse_mode 3, one query" else tokens
    query, key, value = (
        rng.standard_normal((count, heads * SIZE)).astype(np.float16) for count in (queries, tokens, tokens)
    )
    out, statistics = np.empty_like(query), [np.empty((queries, heads * 8), np.float32) for _ in range(2)]
    layout, sparse = 5, 2  # TH
    mask: Array | None = None
    other: Array | None = None
    lens = [np.array([count], np.int64) for count in (queries, tokens)]
    above = np.triu(np.ones((tokens, tokens) if kind == "bfloat16 [S, S]" else (2048, 2048), np.uint8), 1)
    if kind == "TH, 128 x 128":
        mask = above[:128, :128] * np.float16(-10000)
    elif kind == "bfloat16 [S, S]":
        import ml_dtypes

        sparse, mask, other = 0, above.astype(ml_dtypes.bfloat16), above * np.float16(-10000)
    else:
        mask, sparse = above, 3 if queries == 1 else 2

    def call(given: Array | None, mode: int) -> Callable[[], None]:
        inputs: list[Any] = [query, key, value, None, None, None, given, None, *lens, heads, np.float64(1)]
        inputs += [np.float64(SIZE**-0.5), 2**31 - 1, 2**31 - 1, 0, layout, mode]
        return prepared(library, "FlashAttentionScore", inputs, [*statistics, np.empty(1, np.float16), out])

    without = call(other, sparse)
    contenders = [
        Contender(f"{LIMIT} {'no mask' if other is None else 'float16'}", [without]),
        Contender(OURS, [call(mask, 0 if kind == "TH, 128 x 128" else sparse)]),
    ]
    return Case(f"FlashAttentionScore, mask {kind} T={tokens}", "masks", tokens, contenders)


def streaming(library: CoreLibrary, threads: int, name: str, rows: int) -> Case:
    """RmsNorm and ApplyRotaryPosEmb read and write everything once: a copy of the same bytes is the limit. Large results
    go past the caches, and the limit is the better of both copies; small ones are left in the caches, where the next
    operator reads them, and the limit leaves them there too."""
    rng, width = np.random.default_rng(3), HEADS * SIZE
    count = max(2, COLD_BYTES // 2 // (rows * width * 2))
    arenas = [np.tile(rng.standard_normal(width).astype(np.float16), (count * rows, 1)) for _ in range(2)]
    parts = [[arena[i * rows : (i + 1) * rows] for arena in arenas] for i in range(count)]
    calls = []
    for x, y in parts:
        if name == "RmsNorm":
            inputs: list[Any] = [x, arenas[0][0], np.float64(1e-6)]
            outputs: list[Any] = [y, np.empty((rows, 1), np.float32)]
        else:  # the halves of a row: query and key
            heads = (rows, width // 2)
            flat = [x.reshape(-1)[: rows * width // 2], x.reshape(-1)[rows * width // 2 :]]
            to = [y.reshape(-1)[: rows * width // 2], y.reshape(-1)[rows * width // 2 :]]
            table = rng.standard_normal((rows, SIZE)).astype(np.float16)
            inputs = [*(part.reshape(heads) for part in flat), table, table, np.array([rows], np.int32), 2]
            outputs = [part.reshape(heads) for part in to]
        calls.append(prepared(library, name, inputs, outputs))
    copy = library.c.MsspStreamingCopy
    nbytes = rows * width * 2
    copies = [
        [
            partial(copy, *(ctypes.c_void_p(z.ctypes.data) for z in (y, x)), ctypes.c_int64(nbytes), threads, streamed)
            for x, y in parts
        ]
        for streamed in (0, 1)
    ]
    large = nbytes >= STREAMED_BYTES
    contenders = [
        Contender(f"{LIMIT} copy", copies[0]),
        Contender(f"{LIMIT} streaming" if large else "past the caches", copies[1]),
        Contender(OURS, calls),
    ]
    return Case(f"{name} T={rows} hidden={width} float16", "streaming", rows, contenders, goal={OURS: 1.5})


def cases(library: CoreLibrary, threads: int, *, quick: bool, inside: bool, only: str = "") -> list[Callable[[], Case]]:
    """Those whose kind (decode, warm, composed, prefill, masks, norm, rotary) contains ``only``; ``inside``: those that
    need MindSpore too."""
    library.c.MsspBuiltinRun.restype = ctypes.c_int32
    spec = importlib.util.find_spec("mindspore")
    onednn = Path(str(spec.origin if spec else "")).parent / "lib" / "libdnnl.so.3"
    if onednn.is_file():
        library.c.MsspBuiltinSetSgemm(ctypes.cast(ctypes.CDLL(str(onednn)).dnnl_sgemm, ctypes.c_void_p))
    pool = lru_cache(maxsize=1)(lambda: Pages(COLD_BYTES))
    shapes = [(1, 512), (1, 8192), (16, 2048)] if quick else [(b, t) for b in (1, 4, 16) for t in (512, 2048, 8192)]
    masks = [("2048 x 2048", t) for t in (64, 512)] + [("TH, 128 x 128", t) for t in (64, 512)]
    masks += [] if quick else [("2048 x 2048", 2048), ("sparse_mode 3, one query", 2048), ("bfloat16 [S, S]", 512)]
    lengths = (512, 2048) if quick else (512, 1024, 2048, 4096)

    def of_decode(count: int, batch: int, tokens: int, warm: bool) -> Case:
        return decode(library, count, pool(), batch, tokens, warm)

    def of_mindspore(batch: int, tokens: int) -> Case:
        return against_mindspore(library, pool(), batch, tokens)

    # By the number of threads. Where K and V fit the caches there is less to do than what wakes a second one.
    kinds: dict[str, list[tuple[int, Callable[[], Case]]]] = {
        "decode": [
            (count, partial(of_decode, count, batch, tokens, False))
            for count in sorted({1, threads})
            for batch, tokens in shapes
        ],
        "warm": [(1, partial(of_decode, 1, batch, WARM_TOKENS // batch, True)) for batch in (1, 4)],
        "composed": [(threads, partial(of_mindspore, batch, 2048)) for batch in (1, 4)] if inside else [],
        "prefill": [(threads, partial(prefill, library, threads, t)) for t in lengths]
        if importlib.util.find_spec("torch")
        else [],
        "masks": [(threads, partial(masked, library, kind, t)) for kind, t in masks],
        "norm": [(threads, partial(streaming, library, threads, "RmsNorm", t)) for t in (16, 1024)],
        "rotary": [(threads, partial(streaming, library, threads, "ApplyRotaryPosEmb", t)) for t in (16, 1024)],
    }

    def on(count: int, maker: Callable[[], Case]) -> Case:
        library.c.MsspSetNumThreads(count)
        return maker()

    return [partial(on, count, maker) for kind, makers in kinds.items() if only in kind for count, maker in makers]
