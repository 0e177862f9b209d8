"""PyNative keeps the order of writes, reads and MindSpore's own operators, whatever is still in its queue."""

from typing import Any

import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint

from ms_scatter_pa import npu_scatter_pa_kv_cache
from tests.support.arrays import Array

ROUNDS = 300
LAYOUTS = {"small": (16, 8, 2, 16), "large": (64, 16, 8, 128)}  # written at once; handed to MindSpore's queue


@pytest.fixture(params=LAYOUTS)
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return LAYOUTS[request.param]


def write(key: Any, cache: Any, slot_mapping: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, cache_mode="Norm")


def tokens_of(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] // 2


def key_array(shape: tuple[int, ...], value: float) -> Array:
    return np.full((tokens_of(shape), *shape[2:]), value, np.float32)


READS: dict[str, Any] = {
    "mint.sum": lambda cache: mint.sum(cache),
    "cache + 0": lambda cache: (cache + 0).sum(),
    "cache.sum()": lambda cache: cache.sum(),
    "indexing": lambda cache: cache[: cache.shape[0] // 2].sum(),
    "asnumpy": lambda cache: Tensor(cache.asnumpy().sum(dtype=np.float64)),
    "matmul": lambda cache: mint.matmul(cache.reshape(1, -1), mint.ones((cache.size, 1))),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_right_after_a_write_sees_all_of_it(read: str, shape: tuple[int, ...]) -> None:
    """Nothing waits between the write and the read; the reads are looked at in the end."""
    cache = Parameter(Tensor(np.zeros(shape, np.float32)), name="cache")
    slot_mapping = Tensor(np.arange(tokens_of(shape), dtype=np.int32))
    keys = [Tensor(key_array(shape, value)) for value in (1, 2, 3, 4)]
    reads = []
    for round_ in range(ROUNDS if shape == LAYOUTS["small"] else 60):
        write(keys[round_ % 4], cache, slot_mapping)
        reads.append(READS[read](cache))
    size = float(np.prod(key_array(shape, 1).shape))
    got = [float(value.asnumpy().reshape(())) for value in reads]
    assert got == [size * (index % 4 + 1) for index in range(len(got))]


def test_a_write_waits_for_the_operators_that_make_its_key(shape: tuple[int, ...]) -> None:
    cache = Tensor(np.zeros(shape, np.float32))
    slot_mapping = Tensor(np.arange(tokens_of(shape), dtype=np.int32))
    seed = Tensor(key_array(shape, 0))
    sums = []
    rounds = 100 if shape == LAYOUTS["small"] else 30
    for round_ in range(rounds):
        key = seed
        for _ in range(5):
            key = mint.add(key, 1)
        write(mint.mul(key, Tensor(np.float32(round_ % 3))), cache, slot_mapping)
        sums.append(mint.sum(cache))
    size = float(np.prod(key_array(shape, 1).shape))
    assert [float(value.asnumpy()) for value in sums] == [size * 5 * (index % 3) for index in range(rounds)]


def test_a_write_waits_for_operators_that_read_or_write_the_cache(shape: tuple[int, ...]) -> None:
    """cache += 1 in place, a read of all of it, the write, a read: each round, with nothing in between."""
    cache = Tensor(np.zeros(shape, np.float32))
    tokens = tokens_of(shape)
    slot_mapping = Tensor(np.arange(tokens, dtype=np.int32))
    zero = Tensor(key_array(shape, 0))
    before, after = [], []
    rounds = 100 if shape == LAYOUTS["small"] else 30
    for _ in range(rounds):
        cache.copy_(mint.add(cache, 1))
        before.append(mint.sum(cache))
        write(zero, cache, slot_mapping)
        after.append(mint.sum(cache))
    half = float(np.prod(key_array(shape, 1).shape))  # the slots that are written are half of the cache
    assert [float(value.asnumpy()) for value in before] == [half * (index + 1) + half for index in range(rounds)]
    assert [float(value.asnumpy()) for value in after] == [half * (index + 1) for index in range(rounds)]


def test_slots_that_operators_compute(shape: tuple[int, ...]) -> None:
    cache = Tensor(np.zeros(shape, np.float32))
    tokens = tokens_of(shape)
    base, key = Tensor(np.arange(tokens, dtype=np.int32)), Tensor(key_array(shape, 1))
    want = np.zeros(shape, np.float32).reshape(-1, *shape[2:])
    for round_ in range(50):
        first = mint.add(base, round_ % (tokens + 1))
        write(mint.mul(key, Tensor(np.float32(round_))), cache, mint.sub(first, 0))
        want[round_ % (tokens + 1) : round_ % (tokens + 1) + tokens] = round_
    assert np.array_equal(cache.asnumpy().reshape(want.shape), want)


def test_a_key_that_is_overwritten_right_after_the_write(shape: tuple[int, ...]) -> None:
    """The write reads the key's memory before the operators after it change it."""
    cache = Tensor(np.zeros(shape, np.float32))
    slot_mapping = Tensor(np.arange(tokens_of(shape), dtype=np.int32))
    key = Tensor(key_array(shape, 0))
    sums = []
    rounds = 100 if shape == LAYOUTS["small"] else 30
    for _ in range(rounds):
        key.copy_(mint.add(key, 1))
        write(key, cache, slot_mapping)
        key.copy_(mint.add(key, 1))
        sums.append(mint.sum(cache))
    size = float(np.prod(key_array(shape, 1).shape))
    assert [float(value.asnumpy()) for value in sums] == [size * (2 * index + 1) for index in range(rounds)]


def test_two_thousand_writes_without_a_wait_land_in_order() -> None:
    shape = LAYOUTS["small"]
    cache = Tensor(np.zeros(shape, np.float32))
    slot = Tensor(np.array([7], np.int32))
    keys = [Tensor(np.full((1, *shape[2:]), value, np.float32)) for value in range(10)]
    for round_ in range(2000):
        write(keys[round_ % 10], cache, slot)
        if round_ % 7 == 0:
            mint.add(cache, 1)  # keeps MindSpore's queue busy
    assert cache.asnumpy().reshape(-1, *shape[2:])[7].tolist() == np.full(shape[2:], 9.0).tolist()


def test_memory_is_kept_while_a_write_is_queued(shape: tuple[int, ...]) -> None:
    """Key, cache and slots are dropped by Python as soon as the call returns."""
    sums = []
    for value in range(60):
        key = mint.add(Tensor(key_array(shape, 0)), value)
        cache = mint.zeros(shape)
        write(key, cache, mint.mul(Tensor(np.arange(tokens_of(shape), dtype=np.int32)), Tensor(np.int32(1))))
        sums.append(mint.sum(cache))
        del key, cache
    size = float(np.prod(key_array(shape, 1).shape))
    assert [float(value.asnumpy()) for value in sums] == [size * value for value in range(60)]
