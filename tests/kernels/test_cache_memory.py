"""``MsspAllocCache`` and caches of unusual size."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call
from ms_scatter_pa.rules.table import CACHE_MODES

GIB = 1 << 30


@contextmanager
def cache_memory(library: CoreLibrary, nbytes: int) -> Iterator[npt.NDArray[np.uint8]]:
    address = library.c.MsspAllocCache(nbytes)
    assert address
    try:
        yield np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
    finally:
        library.c.MsspFreeCache(address, nbytes)


@pytest.mark.parametrize("nbytes", [1, 64, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 10 << 20])
def test_aligned_zeroed_and_writable(library: CoreLibrary, nbytes: int) -> None:
    with cache_memory(library, nbytes) as memory:
        assert memory.ctypes.data % ((2 << 20) if nbytes >= 2 << 20 else mmap.PAGESIZE) == 0
        assert not memory.any()
        memory[:] = 7


@pytest.mark.parametrize("nbytes", [0, -1, -(2**63), 2**63 - 1, 2**62])
def test_impossible_sizes_give_none(library: CoreLibrary, nbytes: int) -> None:
    assert library.c.MsspAllocCache(nbytes) is None


def test_free_of_nothing(library: CoreLibrary) -> None:
    library.c.MsspFreeCache(None, 0)


def test_memory_is_given_back(library: CoreLibrary) -> None:
    """A thousand caches of 64 GiB in a row do not exhaust the address space."""
    for _ in range(1000):
        with cache_memory(library, 64 * GIB):
            pass
    for _ in range(200):
        with cache_memory(library, 4 << 20) as memory:
            memory[:] = 1


def test_small_caches_take_what_was_asked_for_and_a_page_each(library: CoreLibrary) -> None:
    """Resident bytes, which huge pages at any size would make 2 MiB each."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    count, nbytes = 200, (8 << 10) + 1
    with ExitStack() as stack:
        caches = [stack.enter_context(cache_memory(library, nbytes)) for _ in range(count)]
        before = resident()
        for cache in caches:
            cache[:] = 1
        assert resident() - before <= count * (nbytes + mmap.PAGESIZE) + (1 << 20)


def rows_of(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.int8]:
    return rng.integers(-128, 127, shape).astype(np.int8)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", CACHE_MODES)
def test_beyond_two_to_the_32_elements(library: CoreLibrary, layout: str, threads: int) -> None:
    """5 GiB of int8, of which only the pages near the first and the last slots are ever touched."""
    library.c.MsspSetThresholds(-1, 1)
    heads, size, block_size = 2, 64, 16
    blocks = 5 * GIB // (heads * size * block_size)
    capacity = blocks * block_size
    shape: tuple[int, ...] = {
        "Norm": (blocks, block_size, heads, size),
        "PA_NZ": (blocks, heads * size // 32, block_size, 32),
        "NHSD": (blocks, heads, block_size, size),
    }[layout]
    slots = np.array([0, capacity - 1, capacity - 20, -1, 2**32 // (heads * size), 2**31 // (heads * size) - 1])
    rows = rows_of(np.random.default_rng(2), len(slots), heads, size)
    with cache_memory(library, 5 * GIB) as memory:
        cache: npt.NDArray[Any] = memory.view(np.int8).reshape(shape)
        assert library.scatter(make_call(rows, None, cache, None, slots, layout=layout, num_threads=threads)) == [0] * 4
        for row, slot in zip(rows, slots, strict=True):
            if slot < 0:
                continue
            block = cache[slot // block_size].copy()
            offset = slot % block_size
            if layout == "Norm":
                mine, block[offset] = block[offset].copy(), 0
            elif layout == "NHSD":
                mine, block[:, offset] = block[:, offset].copy(), 0
            else:
                mine, block[:, offset] = block[:, offset].copy(), 0
            assert mine.tobytes() == row.tobytes()
            assert not block.any(), "its neighbours are as they were"


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_slots_near_two_to_the_31(library: CoreLibrary, index: type) -> None:
    """One byte per slot: slots themselves pass 2**31, and with int64 2**32."""
    capacity = 5 * GIB
    slots = [2**31 - 1, 2**31 - 2, 0] + ([2**31, 2**32 - 1, 2**32, capacity - 1] if index is np.int64 else [])
    rows = np.arange(1, len(slots) + 1, dtype=np.int8).reshape(-1, 1, 1)
    with cache_memory(library, capacity) as memory:
        cache = memory.view(np.int8).reshape(capacity // 16, 16, 1, 1)
        call = make_call(rows, None, cache, None, np.array(slots, index), layout="Norm")
        assert library.scatter(call) == [0, 0, 0, 0]
        assert [int(memory[s]) for s in slots] == list(range(1, len(slots) + 1))
        assert int(memory[2**31 - 3]) == int(memory[1]) == 0


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize(("blocks", "block_size"), [(1, 1), (1, 5), (7, 1)])
def test_smallest_caches(library: CoreLibrary, layout: str, blocks: int, block_size: int) -> None:
    rng = np.random.default_rng(4)
    capacity, heads, size = blocks * block_size, 1, 32
    shape = {
        "Norm": (blocks, block_size, 1, 32),
        "PA_NZ": (blocks, 1, block_size, 32),
        "NHSD": (blocks, 1, block_size, 32),
    }
    cache = rows_of(rng, *shape[layout])
    rows = rows_of(rng, capacity, heads, size)
    assert library.scatter(make_call(rows, None, cache, None, np.arange(capacity), layout=layout)) == [0, 0, 0, 0]
    assert cache.reshape(capacity, size).tobytes() == rows.tobytes()
