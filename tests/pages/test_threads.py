"""Threads share a manager or a cache: each touches its own sequences, and no block is lost, freed early or mixed up."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from ms_scatter_pa import PagedKVCache
from ms_scatter_pa.pages import BlockManager, BlockTable

SIZES = {"num_layers": 1, "num_blocks": 64, "block_size": 4, "num_kv_heads": 1, "head_size": 16}


class NoLock:
    """A lock that locks nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        pass

    def _is_owned(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def run_threads(serve: Callable[[Any], None], seconds: float) -> list[str]:
    """Three threads call ``serve`` again and again; what they raised."""
    wrong: list[str] = []
    stop = time.monotonic() + seconds

    def loop(name: int) -> None:
        turn = 0
        while time.monotonic() < stop and not wrong:
            turn += 1
            try:
                serve((name, turn))
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}"[:200])

    threads = [threading.Thread(target=loop, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def faults_of(manager: BlockManager, seconds: float) -> list[str]:
    """What is wrong with the books after three threads have forked, grown, swapped and freed."""

    def serve(name: Any) -> None:
        manager.fork("prompt", name)
        for _ in range(5):
            manager.append(name)
        manager.swap_out(name)
        manager.swap_in(name)
        manager.free(name)

    wrong = run_threads(serve, seconds)
    pages = manager.block_table("prompt")
    if [manager.ref_count(page) for page in pages] != [1, 1]:
        wrong.append("references of the prompt's pages")
    if (manager.num_free_blocks, manager.num_free_host_blocks) != (510, 64):
        wrong.append("free blocks")
    others = manager.allocate("others", manager.num_free_blocks * 4) if not wrong else []
    if set(pages) & {slot // 4 for slot in others}:
        wrong.append("the living prompt's pages were given out")
    return wrong


def begun() -> BlockManager:
    manager = BlockManager(512, 4, num_host_blocks=64)
    manager.allocate("prompt", 6)
    return manager


def test_books_with_the_lock() -> None:
    assert faults_of(begun(), 4) == []


def test_books_without_the_lock() -> None:
    """The test above would see a missing lock, in a quarter of its time."""
    for _ in range(20):
        manager = begun()
        manager._journal._lock = NoLock()  # type: ignore[assignment]
        if faults_of(manager, 1):
            return
    raise AssertionError("without a lock nothing went wrong: the threads do not meet")


def test_tables_of_one_allocator() -> None:
    manager = begun()
    allocator = manager._allocator
    prompt = BlockTable(allocator, 4)
    prompt.append(6)

    def serve(_: Any) -> None:
        table = prompt.fork()
        for _ in range(4):
            table.append(1)
        table.release()

    assert run_threads(serve, 2) == []
    assert [allocator.ref_count(block) for block in prompt.blocks] == [1, 1]
    assert allocator.num_free == 512 - 4


def test_bytes_of_every_thread() -> None:
    cache = PagedKVCache(**SIZES, dtype="float16", num_host_blocks=16)
    prompt = np.arange(6 * 16, dtype=np.float16).reshape(6, 1, 16)

    def put(name: Any, rows: np.ndarray[Any, Any]) -> None:
        cache.write(0, Tensor(rows), Tensor(-rows), cache.slot_mapping([name], [len(rows)]))

    cache.allocate("prompt", 6)
    put("prompt", prompt)

    def serve(name: Any) -> None:
        cache.fork("prompt", name)
        cache.append(name, 3)
        rows = np.full((3, 1, 16), name[0] * 512 + name[1] % 512, np.float16)
        put(name, rows)
        expected = np.concatenate([prompt, rows])
        for _ in range(2):
            key, value = cache.read(name, 0)
            assert key.tobytes() == expected.tobytes()
            assert value is not None and value.tobytes() == (-expected).tobytes()
            cache.swap_out(name)
            assert cache.read(name, 0)[0].tobytes() == expected.tobytes()
            cache.swap_in(name)
        cache.free(name)

    assert run_threads(serve, 3) == []
    assert cache.read("prompt", 0)[0].tobytes() == prompt.tobytes()
    assert (cache.num_free_blocks, cache.num_free_host_blocks) == (62, 16)
