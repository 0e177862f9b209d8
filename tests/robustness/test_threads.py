"""Two Python threads: different caches, and one cache at disjoint slots."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, mint

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.cpu.eager import call_through_pointers
from tests.support.small import CACHE, D, N, same

ROUNDS = 300


def functional(key: Any, cache: Any, slots: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")


def pointers(key: Any, cache: Any, slots: Any) -> Any:
    return call_through_pointers(key, None, cache, None, slots, None, None, None, "Norm", None, "raise", False, None)


@pytest.fixture(params=[functional, pointers], ids=["functional", "pointers"])
def write(request: pytest.FixtureRequest) -> Callable[[Any, Any, Any], Any]:
    return request.param


def run_together(*jobs: Callable[[], None]) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def guarded(job: Callable[[], None]) -> None:
        try:
            start.wait()
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not errors, errors


def keys(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [Tensor(rng.standard_normal((4, N, D)).astype(np.float16)) for _ in range(10)]


def writer(write: Any, cache: Any, seed: int, slots: np.ndarray, busy: bool) -> Callable[[], None]:
    rows, slot_mapping = keys(seed), Tensor(slots)

    def job() -> None:
        for round_ in range(ROUNDS):
            status = write(rows[round_ % 10], cache, slot_mapping)
            if busy and round_ % 5 == 0:
                mint.add(rows[0], 1)
            if round_ % 50 == 0:
                assert status.asnumpy().tolist() == [0, 0, 0, 0]

    return job


@pytest.mark.parametrize("busy", [False, True], ids=["alone", "between other operators"])
def test_two_threads_write_different_caches(write: Any, busy: bool) -> None:
    caches = [Tensor(np.zeros(CACHE, np.float16)) for _ in range(2)]
    slots = [np.array([0, 5, 9, 31], np.int32), np.array([30, 2, 1, 7], np.int32)]
    run_together(*(writer(write, caches[i], i, slots[i], busy) for i in range(2)))
    for i in range(2):
        want = np.zeros(CACHE, np.float16).reshape(-1, N, D)
        want[slots[i]] = keys(i)[(ROUNDS - 1) % 10].asnumpy()
        assert same(caches[i], want.reshape(CACHE))


@pytest.mark.parametrize("busy", [False, True], ids=["alone", "between other operators"])
def test_two_threads_write_disjoint_slots_of_one_cache(write: Any, busy: bool) -> None:
    cache = Tensor(np.zeros(CACHE, np.float16))
    slots = [np.array([0, 2, 4, 31], np.int32), np.array([1, 3, 5, 30], np.int32)]  # neighbours: one cache line
    run_together(*(writer(write, cache, i, slots[i], busy) for i in range(2)))
    want = np.zeros(CACHE, np.float16).reshape(-1, N, D)
    for i in range(2):
        want[slots[i]] = keys(i)[(ROUNDS - 1) % 10].asnumpy()
    assert same(cache, want.reshape(CACHE))


def test_a_thread_that_raises_does_not_disturb_the_other() -> None:
    caches = [Tensor(np.zeros(CACHE, np.float16)) for _ in range(2)]
    good = writer(functional, caches[0], 1, np.array([0, 5, 9, 31], np.int32), False)
    raised = []

    def bad() -> None:
        for _ in range(ROUNDS):
            try:
                functional(keys(2)[0], caches[1], Tensor(np.array([0, 1, 2, 32], np.int32))).asnumpy()
            except IndexError:
                raised.append(1)

    run_together(good, bad)
    assert len(raised) == ROUNDS and not caches[1].asnumpy().any()
    want = np.zeros(CACHE, np.float16).reshape(-1, N, D)
    want[[0, 5, 9, 31]] = keys(1)[(ROUNDS - 1) % 10].asnumpy()
    assert same(caches[0], want.reshape(CACHE))
