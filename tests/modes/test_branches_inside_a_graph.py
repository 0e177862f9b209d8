"""What a graph decides at run time, by a Tensor's value: MindSpore hands a Tensor argument to such a branch or loop as a copy,
and the write is lost, its own in-place operators' too. A Parameter is written. The compiler gives both the same type inside,
so that it cannot be refused; each kind stands here, so that a MindSpore that keeps the write is noticed."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mutable, nn

from ms_scatter_pa import npu_scatter_pa_kv_cache
from tests.support.small import CACHE, put, same, step


def write(key: Any, cache: Any, slots: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")


class Branch(nn.Cell):
    def construct(self, key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
        if number > 1:
            write(key, cache, slots)
        return slots


class Loop(nn.Cell):
    def construct(self, key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
        i = 0
        while i < number:
            write(key, cache, slots)
            i = i + 1
        return slots


class Chosen(nn.Cell):
    def construct(self, key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
        chosen = other
        if number > 1:
            chosen = cache
        return write(key, chosen, slots)


class AfterBranch(nn.Cell):
    def construct(self, key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
        if number > 1:
            key = key * 1
        return write(key, cache, slots)


class BeforeBranch(nn.Cell):
    def construct(self, key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
        status = write(key, cache, slots)
        if number > 1:
            status = status * 1
        return status


class Unrolled(nn.Cell):
    def construct(self, key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
        for _ in range(2):  # known while compiling: no loop is left
            write(key, cache, slots)
        return slots


LOST: list[type[nn.Cell]] = [Branch, Loop, Chosen]
KEPT: list[type[nn.Cell]] = [AfterBranch, BeforeBranch, Unrolled]
INSTEAD = "MindSpore keeps the write now: say so in README, limits.md, refusals.md, contract.md and the docstring"


@pytest.fixture(autouse=True, params=[ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "jit"])
def mode(request: pytest.FixtureRequest) -> Any:
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def run(cell: type[nn.Cell], mode: int, cache: Any, other: Any) -> bool:
    """Whether the cache holds the rows afterwards; it does or is as it was, and the other one is as it was."""
    network: Any = cell()
    if mode == ms.PYNATIVE_MODE:
        inner = network

        @ms.jit
        def network(key: Any, cache: Any, other: Any, slots: Any, number: Any) -> Any:
            return inner.construct(key, cache, other, slots, number)

    key, _, slots = step(1)
    before = np.zeros(CACHE, np.float16)
    network(Tensor(key), cache, other, Tensor(slots), Tensor(2))
    written = same(cache, put(before, slots, key))
    assert (written or same(cache, before)) and same(other, before)
    return written


@pytest.mark.parametrize("cell", [*LOST, *KEPT])
def test_a_tensor(cell: type[nn.Cell], mode: int) -> None:
    cache, other = (Tensor(np.zeros(CACHE, np.float16)) for _ in range(2))
    assert run(cell, mode, cache, other) == (cell in KEPT), INSTEAD


@pytest.mark.parametrize("cell", [*LOST, *KEPT])
def test_a_parameter_is_written(cell: type[nn.Cell], mode: int) -> None:
    cache, other = (
        Parameter(Tensor(np.zeros(CACHE, np.float16)), name=name, requires_grad=False) for name in ("cache", "other")
    )
    assert run(cell, mode, cache, other)


def test_an_element_by_an_index_that_is_no_constant_is_a_copy() -> None:
    @ms.jit
    def element(key: Any, caches: Any, index: Any, slots: Any) -> Any:
        return write(key, caches[index], slots)

    caches = [Tensor(np.zeros(CACHE, np.float16)) for _ in range(2)]
    key, _, slots = step(1)
    status = element(Tensor(key), mutable(caches), mutable(1), Tensor(slots))
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert not any(cache.asnumpy().any() for cache in caches), INSTEAD


def test_a_view_that_a_graph_finds_outside_is_a_copy_and_a_whole_tensor_is_not() -> None:
    base, whole = Tensor(np.zeros((2, *CACHE), np.float16)), Tensor(np.zeros(CACHE, np.float16))
    view = base[1]

    @ms.jit
    def captured(key: Any, slots: Any) -> Any:
        return write(key, view, slots), write(key, whole, slots)

    key, _, slots = step(1)
    captured(Tensor(key), Tensor(slots))
    assert same(whole, put(np.zeros(CACHE, np.float16), slots, key))
    assert not base.asnumpy().any(), INSTEAD
