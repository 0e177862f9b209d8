"""Every way of holding caches that the contract lists works, in both modes."""

import copy
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mutable, nn, ops

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from tests.support.entries import graph_mode
from tests.support.small import (
    CACHE,
    D,
    N,
    cache_array,
    dynamic,
    parameters,
    put,
    same,
    snapshot,
    step,
    tensors,
)


class TakesCaches(nn.Cell):  # type: ignore[misc]
    def construct(self, key: Any, value: Any, slot_mapping: Any, key_cache: Any, value_cache: Any) -> Any:
        status = npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode="Norm")
        return ops.depend(key_cache, status) + 0


def check_steps(run: Callable[[Any, Any, Any], None], key_cache: Any, value_cache: Any, tokens: int = 5) -> None:
    """Three writes through ``run``; both caches, whole, after each."""
    want = snapshot(key_cache), snapshot(value_cache)
    for seed in range(3):
        key, value, slot_mapping = step(seed, tokens)
        run(*tensors(key, value, slot_mapping))
        want = put(want[0], slot_mapping, key), put(want[1], slot_mapping, value)
        assert same(key_cache, want[0])
        assert same(value_cache, want[1])


def after_steps(key_cache: Any, value_cache: Any) -> tuple[Any, Any]:
    """What two caches hold after the writes of ``check_steps``."""
    want = snapshot(key_cache), snapshot(value_cache)
    for seed in range(3):
        key, value, slot_mapping = step(seed, 5)
        want = put(want[0], slot_mapping, key), put(want[1], slot_mapping, value)
    return want


def test_parameters_of_the_cell(mode: str) -> None:
    cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm")
    check_steps(cell, cell.key_cache, cell.value_cache)


@pytest.mark.parametrize(
    "hold", [Tensor, lambda array: Parameter(Tensor(array), name="cache")], ids=["tensor", "parameter"]
)
def test_passed_as_arguments(mode: str, hold: Callable[[Any], Any]) -> None:
    net = TakesCaches()
    key_cache, value_cache = hold(cache_array(1)), hold(cache_array(2))
    if isinstance(value_cache, Parameter):
        value_cache.name = "value_cache"
    check_steps(lambda k, v, s: net(k, v, s, key_cache, value_cache), key_cache, value_cache)


class TakesLists(nn.Cell):  # type: ignore[misc]
    """Caches of all layers in lists, as serving engines pass them."""

    def construct(self, key: Any, value: Any, slot_mapping: Any, key_caches: Any, value_caches: Any) -> Any:
        out = key
        for i in range(2):
            key_cache, value_cache = key_caches[i], value_caches[i]
            status = npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode="Norm")
            out = ops.depend(out, status)
        return out


@pytest.mark.parametrize("wrap", [list, mutable], ids=["list", "mutable"])
def test_tensors_in_a_list(mode: str, wrap: Callable[[list[Any]], Any]) -> None:
    net = TakesLists()
    keys, values = tensors(cache_array(1), cache_array(2)), tensors(cache_array(3), cache_array(4))
    want = after_steps(keys[1], values[1])
    check_steps(lambda k, v, s: net(k, v, s, wrap(keys), wrap(values)), keys[0], values[0])
    assert same(keys[1], want[0]) and same(values[1], want[1])


def test_mutable_list_with_dynamic_tokens_in_a_graph() -> None:
    with graph_mode():
        net = TakesLists()
        caches = [dynamic(None, 8, N, D), dynamic(None, 8, N, D)]
        net.set_inputs(
            dynamic(None, N, D),
            dynamic(None, N, D),
            dynamic(None, dtype=ms.int32),
            mutable(caches),
            mutable(list(caches)),
        )
        keys, values = tensors(cache_array(1), cache_array(2)), tensors(cache_array(3), cache_array(4))
        for tokens in (5, 1, 9, 0):
            check_steps(lambda k, v, s: net(k, v, s, mutable(keys), mutable(values)), keys[1], values[1], tokens)


class Step(nn.Cell):  # type: ignore[misc]
    def __init__(self, caches: tuple[Any, Any], on_error: str) -> None:
        super().__init__()
        self.write = ScatterPaKvCache(*caches, cache_mode="Norm", on_error=on_error)

    def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
        self.write(key, value, slot_mapping)
        return self.write.key_cache + 0


class PrefillAndDecode(nn.Cell):  # type: ignore[misc]
    def __init__(self, caches: tuple[Any, Any], on_error: str) -> None:
        super().__init__()
        self.prefill = ScatterPaKvCache(*caches, cache_mode="Norm", on_error=on_error)
        self.decode = ScatterPaKvCache(*caches, cache_mode="Norm", on_error=on_error)

    def construct(self, key: Any, value: Any, slot_mapping: Any, is_prefill: bool) -> Any:
        if is_prefill:
            self.prefill(key, value, slot_mapping)
        else:
            self.decode(key, value, slot_mapping)
        return self.decode.key_cache + 0


@pytest.mark.parametrize("on_error", ["raise", "record"])
def test_one_parameter_in_two_cells_of_one_network(mode: str, on_error: str) -> None:
    caches = parameters(1)
    net = PrefillAndDecode(caches, on_error)
    turn = iter([True, False, True])
    check_steps(lambda k, v, s: net(k, v, s, next(turn)), *caches)


@pytest.mark.parametrize("on_error", ["raise", "record"])
def test_one_parameter_in_two_graphs(mode: str, on_error: str) -> None:
    caches = parameters(2)
    prefill, decode = Step(caches, on_error), Step(caches, on_error)
    turn = iter([prefill, decode, prefill, decode, decode, prefill])
    check_steps(lambda k, v, s: next(turn)(k, v, s), *caches)
    check_steps(lambda k, v, s: next(turn)(k, v, s), *caches, tokens=9)


def test_set_data_between_calls(mode: str) -> None:
    cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm")
    for seed in range(4):
        fresh = cache_array(seed), cache_array(seed + 1)
        cell.key_cache.set_data(Tensor(fresh[0]))
        cell.value_cache.set_data(Tensor.from_numpy(fresh[1].copy()))
        check_steps(cell, cell.key_cache, cell.value_cache)


def test_jit_after_set_data_behaves_as_mindspores_own_assign() -> None:
    """Under ``jit`` in PyNative a graph keeps the memory that a Parameter had when it was compiled.

    MindSpore's own operators write there after ``set_data`` too; graph mode and PyNative are not concerned.
    """

    class Assign(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.parameter = Parameter(Tensor(np.zeros(3, np.float32)), name="parameter")

        @ms.jit
        def construct(self, x: Any) -> Any:
            return ops.assign(self.parameter, x)

    class Write(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.write = ScatterPaKvCache(*parameters(1), cache_mode="Norm")

        @ms.jit
        def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
            return self.write(key, value, slot_mapping)

    own, ours = Assign(), Write()
    own(Tensor(np.ones(3, np.float32)))
    assert same(own.parameter, np.ones(3, np.float32))
    check_steps(ours, ours.write.key_cache, ours.write.value_cache)
    own.parameter.set_data(Tensor(np.zeros(3, np.float32)))
    own(Tensor(np.ones(3, np.float32)))
    own_is_lost = not same(own.parameter, np.ones(3, np.float32))
    cache = cache_array(7)
    ours.write.key_cache.set_data(Tensor(cache))
    key, value, slot_mapping = step(7)
    ours(*tensors(key, value, slot_mapping))
    ours_is_lost = not same(ours.write.key_cache, put(cache, slot_mapping, key))
    assert ours_is_lost == own_is_lost


def test_a_deep_copy_owns_its_caches(mode: str) -> None:
    cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm", on_error="record")
    copied = copy.deepcopy(cell)
    kept = snapshot(cell.key_cache), snapshot(cell.value_cache)
    check_steps(copied, copied.key_cache, copied.value_cache)
    assert same(cell.key_cache, kept[0]) and same(cell.value_cache, kept[1])
    kept = snapshot(copied.key_cache), snapshot(copied.value_cache)
    check_steps(cell, cell.key_cache, cell.value_cache)
    assert same(copied.key_cache, kept[0]) and same(copied.value_cache, kept[1])


def test_a_checkpoint_brings_the_caches_back(mode: str, tmp_path: Any) -> None:
    net = Step(parameters(1), "raise")
    check_steps(net, net.write.key_cache, net.write.value_cache)
    saved = snapshot(net.write.key_cache), snapshot(net.write.value_cache)
    path = str(tmp_path / "caches.ckpt")
    ms.save_checkpoint(net, path)
    other = Step(parameters(50), "raise")
    check_steps(other, other.write.key_cache, other.write.value_cache)
    not_loaded, _ = ms.load_param_into_net(other, ms.load_checkpoint(path))
    assert not not_loaded
    assert same(other.write.key_cache, saved[0]) and same(other.write.value_cache, saved[1])
    check_steps(other, other.write.key_cache, other.write.value_cache)
    assert same(net.write.key_cache, saved[0])


def test_disjoint_parts_of_one_allocation(mode: str) -> None:
    """K and V as the halves of one array, with memory in between that must stay."""
    base = np.random.default_rng(1).standard_normal((5, *CACHE)).astype(np.float16)
    before = base.copy()
    key_cache, value_cache = Tensor.from_numpy(base[1]), Tensor.from_numpy(base[3])
    net = TakesCaches()
    check_steps(lambda k, v, s: net(k, v, s, key_cache, value_cache), key_cache, value_cache)
    for index in (0, 2, 4):
        assert np.array_equal(base[index], before[index])
    if mode == "pynative":
        assert np.array_equal(base[1], snapshot(key_cache)) and not np.array_equal(base[1], before[1])
