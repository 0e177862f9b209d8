"""Pages: what moving blocks costs against a streaming copy of the same bytes, and slots against NumPy's arithmetic."""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.cache import aligned_memory
from ms_scatter_pa.pages import BlockManager, PagedKVCache

from . import harness

GROUP = "pages"
BLOCK_SIZE, HEADS, HEAD_SIZE = 16, 32, 128
BLOCK_BYTES = BLOCK_SIZE * HEADS * HEAD_SIZE * 2
MOVED_BLOCKS = 256
TOKENS = 131_072
MOVING, CALL = {"PagedKVCache": 1.5}, 100e-6  # times a streaming copy, and seconds beside
SMALL = "limit, in 30 MB"
STREAM, NUMPY = "limit, streaming copy", "limit, NumPy"


def pages_cases(library: CoreLibrary) -> list[Callable[[], harness.Case]]:
    """Copy-on-write in a small and a large cache, swap and read of 32 MiB, and 131,072 slots."""
    return [
        _copy_on_write,
        lambda: _copy_on_write_in_layers(library),
        lambda: _swap(library),
        lambda: _read(library),
        lambda: _read_quantised(library),
        _slot_mapping,
        _allocate,
    ]


def _cache(
    num_blocks: int,
    num_host_blocks: int = 0,
    num_layers: int = 1,
    *,
    dtype: str = "float16",
    scales: str | None = None,
) -> PagedKVCache:
    return PagedKVCache(
        num_layers=num_layers,
        num_blocks=num_blocks,
        block_size=BLOCK_SIZE,
        num_kv_heads=HEADS,
        head_size=HEAD_SIZE,
        dtype=dtype,
        key_only=True,
        num_host_blocks=num_host_blocks,
        scales=scales,
    )


def _append_to_fork(cache: PagedKVCache) -> Callable[[], None]:
    cache.allocate("prompt", 5)

    def append() -> None:
        cache.fork("prompt", "answer")
        cache.append("answer")
        cache.free("answer")

    for _ in range(cache.num_blocks):  # every block is in memory
        append()
    return append


def _copy_on_write_in_layers(library: CoreLibrary) -> harness.Case:
    """fork, append, free in 64 layers: 64 blocks of 128 KiB, one in each cache, are copied.

    The free blocks come round in turn, so the limit's targets do too.
    """
    num_blocks = 32
    append = _append_to_fork(_cache(num_blocks, num_layers=64))
    limit = _streaming(library, 1, 64 * BLOCK_BYTES, num_targets=num_blocks - 1)
    contenders = [limit, harness.Contender("PagedKVCache", [append])]
    return harness.Case("copy-on-write of 8 MiB in 64 caches", GROUP, 8, contenders, goal=MOVING, allowance=CALL)


def _copy_on_write() -> harness.Case:
    """fork, append, free: one block of 128 KiB is copied."""
    small, large = (_append_to_fork(_cache(num_blocks)) for num_blocks in (240, 24_000))
    contenders = [harness.Contender(SMALL, [small]), harness.Contender("in 3 GB", [large])]
    return harness.Case(
        "copy-on-write of 128 KiB", GROUP, 3, contenders, calls_per_sample=50, goal={"in 3 GB": 1.2}, settling_calls=20
    )


def _streaming(
    library: CoreLibrary, copies: int, size: int = MOVED_BLOCKS * BLOCK_BYTES, num_targets: int = 1
) -> harness.Contender:
    """``copies`` copies of the moved bytes, between arrays that are in memory, to each of ``num_targets`` in turn."""
    source, targets = aligned_memory(size), aligned_memory(num_targets * size)
    for array in (source, targets):
        array.fill(1)
    function: Any = library.c.MsspStreamingCopy

    def run(target: int) -> Any:
        for _ in range(copies):
            function(ctypes.c_void_p(target), ctypes.c_void_p(source.ctypes.data), size, 0, 1)
        return source, targets

    return harness.Contender(STREAM, [partial(run, targets.ctypes.data + i * size) for i in range(num_targets)])


def _moved_cache() -> PagedKVCache:
    cache = _cache(2 * MOVED_BLOCKS, MOVED_BLOCKS)
    for name in ("a", "b"):  # every block is in memory
        cache.allocate(name, MOVED_BLOCKS * BLOCK_SIZE)
    cache.key_caches[0].asnumpy()[:] = 1
    cache.free("b")
    cache.swap_out("a")
    cache.swap_in("a")
    return cache


def _swap(library: CoreLibrary) -> harness.Case:
    cache = _moved_cache()

    def swap() -> None:
        cache.swap_out("a")
        cache.swap_in("a")

    contenders = [_streaming(library, 2), harness.Contender("PagedKVCache", [swap])]
    return harness.Case("swap out and in of 32 MiB", GROUP, 32, contenders, goal=MOVING, allowance=CALL)


def _read(library: CoreLibrary) -> harness.Case:
    cache = _moved_cache()
    limit = _copy_to_new_memory(library, MOVED_BLOCKS * BLOCK_BYTES)
    contenders = [limit, harness.Contender("PagedKVCache", [lambda: cache.read("a", 0)])]
    return harness.Case("read of 32 MiB", GROUP, 32, contenders, goal=MOVING, allowance=CALL)


def _copy_to_new_memory(library: CoreLibrary, size: int) -> harness.Contender:
    """Memory of its own, as ``read`` gives, which the system has to clear before."""
    source = aligned_memory(size)
    source.fill(1)
    function: Any = library.c.MsspStreamingCopy

    def copy() -> Any:
        target = aligned_memory(size)
        function(ctypes.c_void_p(target.ctypes.data), ctypes.c_void_p(source.ctypes.data), size, 0, 1)
        return target

    return harness.Contender("limit, streaming copy to new memory", [copy])


def _read_quantised(library: CoreLibrary) -> harness.Case:
    """The limit copies the bytes of the floats that ``read`` gives, four times those of the codes."""
    cache = _cache(MOVED_BLOCKS, dtype="int8", scales="dynamic")
    tokens = MOVED_BLOCKS // 2 * BLOCK_SIZE
    cache.allocate("a", tokens)
    rows = Tensor(np.random.default_rng(0).standard_normal((tokens, HEADS, HEAD_SIZE)).astype(np.float16))
    cache.write(0, rows, None, cache.slot_mapping(["a"], [tokens]))
    size = tokens * HEADS * HEAD_SIZE * 4
    contenders = [_copy_to_new_memory(library, size), harness.Contender("PagedKVCache", [lambda: cache.read("a", 0)])]
    return harness.Case("read of int8 as 32 MiB of float32", GROUP, 32, contenders, goal=MOVING, allowance=CALL)


def _slots(blocks: Any) -> Any:
    return (blocks[:, None] * BLOCK_SIZE + np.arange(BLOCK_SIZE)).reshape(-1)


def _slot_mapping() -> harness.Case:
    cache = PagedKVCache(
        num_layers=1, num_blocks=TOKENS // BLOCK_SIZE, block_size=BLOCK_SIZE, num_kv_heads=1, head_size=1, dtype="int8"
    )
    names = list(range(8))
    count = TOKENS // len(names)
    for name in names:
        cache.allocate(name, count)
    tables = [np.array(cache.block_table(name)) for name in names]
    contenders = [
        harness.Contender(NUMPY, [lambda: Tensor(np.concatenate([_slots(t) for t in tables]).astype(np.int32))]),
        harness.Contender("PagedKVCache", [lambda: cache.slot_mapping(names, [count] * len(names), dtype=ms.int32)]),
    ]
    return harness.Case("slot_mapping of 131,072 tokens", GROUP, TOKENS, contenders, goal={"PagedKVCache": 2})


def _allocate() -> harness.Case:
    """allocate and free; NumPy makes the same list."""
    manager = BlockManager(TOKENS // BLOCK_SIZE, BLOCK_SIZE)
    blocks = np.arange(TOKENS // BLOCK_SIZE)

    def allocate() -> list[int]:
        slots = manager.allocate("a", TOKENS)
        manager.free("a")
        return slots

    contenders = [
        harness.Contender(NUMPY, [lambda: _slots(blocks).tolist()]),
        harness.Contender("PagedKVCache", [allocate]),
    ]
    return harness.Case("allocate 131,072 tokens", GROUP, TOKENS, contenders, goal={"PagedKVCache": 2})
