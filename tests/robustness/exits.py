"""Ways in which a process may end while writes are queued or under way: ``python -m tests.robustness.exits TIMES``.

MindSpore is imported once; each way runs in a forked child (forking before the first operator works), which then ends as
a script ends. Prints a line for each way with its exit statuses.
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ms_scatter_pa import PagedKVCache, ScatterPaKvCache, npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache
from ms_scatter_pa.cache import make_cache

SHAPE = {"num_blocks": 600, "block_size": 16, "num_head": 8, "head_size": 128, "dtype": "float16"}
held: dict[str, Any] = {}


def hold() -> tuple[Any, Tensor, Tensor]:
    """A cache of this package's own memory, kept by a global until the end; slots; a key that MindSpore still makes."""
    held["cache"] = cache = make_cache("Norm", **SHAPE)
    x = Tensor(np.ones((500, 500), np.float32))
    for _ in range(6):
        x = ops.matmul(x, x) * 1e-3  # keeps the queue busy
    key = Tensor(np.ones((512, 8, 128), np.float16)) + x[0, 0].astype(ms.float16)
    return cache, Tensor(np.arange(512, dtype=np.int32)), key


def queue() -> None:
    cache, slots, key = hold()
    for _ in range(20):
        npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")


def make_pages(**options: Any) -> PagedKVCache:
    return PagedKVCache(
        num_layers=1, num_blocks=600, block_size=16, num_kv_heads=8, head_size=128, dtype="float16", **options
    )


def pages() -> None:
    held["pages"] = cache = make_pages()
    cache.allocate("a", 512)
    slots = cache.slot_mapping(["a"], [512])
    key = hold()[2]
    for _ in range(20):
        cache.write(0, key, key, slots)


def handler_registered_before() -> None:
    atexit.register(lambda: print(float(held["cache"].asnumpy()[0, 0, 0, 0])))  # runs after this package's own
    queue()


class Reader:
    def __del__(self) -> None:
        cache = held.get("cache")
        if cache is not None:
            cache.asnumpy().sum()


def destructor() -> None:
    held["reader"] = Reader()
    queue()


def graph() -> None:
    cache, slots, _ = hold()
    ms.set_context(mode=ms.GRAPH_MODE)
    held["cell"] = cell = ScatterPaKvCache(cache, cache_mode="Norm")
    for _ in range(5):
        cell(Tensor(np.ones((512, 8, 128), np.float16)), None, slots)


def pool_of_threads() -> None:
    cache, slots, key = hold()
    held["executor"] = executor = ThreadPoolExecutor(2)
    for _ in range(20):
        executor.submit(npu_scatter_pa_kv_cache, key, None, cache, None, slots, cache_mode="Norm")


def call_for_ever(call: Callable[[], Any]) -> None:
    """In a daemon thread, until it is refused since the interpreter ends."""
    call()

    def run() -> None:
        while True:
            call()

    threading.Thread(target=run, daemon=True).start()
    time.sleep(0.03)


def write_for_ever(tokens: int) -> None:
    cache, slots, key = hold()
    slots, key = slots[:tokens], key[:tokens]
    npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm").asnumpy()
    call_for_ever(lambda: npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm"))


def daemon_thread_of_small_writes() -> None:
    write_for_ever(1)


def daemon_thread_of_large_writes() -> None:
    write_for_ever(512)


def gather_for_ever(tokens: int) -> None:
    cache = hold()[0]
    key = Tensor(np.zeros((tokens, *cache.shape[2:]), np.float16))
    tables, lengths = Tensor(np.arange(600, dtype=np.int32)[None]), Tensor(np.array([tokens], np.int32))
    call_for_ever(lambda: npu_gather_pa_kv_cache(cache, None, tables, lengths, key, None, cache_mode="Norm"))


def daemon_thread_of_small_gathers() -> None:
    gather_for_ever(1)


def daemon_thread_of_large_gathers() -> None:
    gather_for_ever(512)


def daemon_thread_of_reads() -> None:
    held["pages"] = cache = make_pages()
    cache.allocate("a", 512)
    call_for_ever(lambda: cache.read("a", 0))


def daemon_thread_that_swaps() -> None:
    held["pages"] = cache = make_pages(num_host_blocks=100)
    cache.allocate("a", 512)

    def swap() -> None:
        cache.swap_out("a")
        cache.swap_in("a")

    call_for_ever(swap)


def system_exit() -> None:
    queue()
    sys.exit(7)


def exception() -> None:
    queue()
    raise KeyError("a user's own")


WAYS = {
    queue: 0,
    pages: 0,
    handler_registered_before: 0,
    destructor: 0,
    graph: 0,
    pool_of_threads: 0,
    daemon_thread_of_small_writes: 0,
    daemon_thread_of_large_writes: 0,
    daemon_thread_of_small_gathers: 0,
    daemon_thread_of_large_gathers: 0,
    daemon_thread_of_reads: 0,
    daemon_thread_that_swaps: 0,
    system_exit: 7,
    exception: 1,
}


def main(times: int) -> None:
    for way, expected in WAYS.items():
        codes = []
        for _ in range(times):
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                way()
                return  # ends as the script's last line does
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(way.__name__, "as expected" if codes == [expected] * times else codes, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
