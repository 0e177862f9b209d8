"""In a graph no write is lost and none changes places with a read."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from tests.support.entries import graph_mode
from tests.support.small import CACHE, D, N, cache_array, parameters, put, same, snapshot, step, tensors

LEVELS = ("O0", "O1")


class WriteOnly(nn.Cell):  # type: ignore[misc]
    """The status is used by nobody, and nothing reads the caches."""

    def __init__(self) -> None:
        super().__init__()
        self.write = ScatterPaKvCache(*parameters(1), cache_mode="Norm")

    def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
        self.write(key, value, slot_mapping)
        return key + 1


@pytest.mark.parametrize("level", LEVELS)
def test_a_write_whose_result_is_unused_is_not_eliminated(level: str) -> None:
    with graph_mode():
        net = WriteOnly()
        net.set_jit_config(ms.JitConfig(jit_level=level))
        before = snapshot(net.write.key_cache), snapshot(net.write.value_cache)
        key, value, slot_mapping = step(1)
        out = net(*tensors(key, value, slot_mapping))
        assert same(out, key + np.float16(1))
        assert same(net.write.key_cache, put(before[0], slot_mapping, key))
        assert same(net.write.value_cache, put(before[1], slot_mapping, value))


class WriteReadWriteRead(nn.Cell):  # type: ignore[misc]
    """Reads between writes of the same slots; any other order gives other reads."""

    def __init__(self) -> None:
        super().__init__()
        self.write = ScatterPaKvCache(*parameters(2), cache_mode="Norm")

    def construct(self, first: Any, second: Any, slot_mapping: Any) -> Any:
        before = self.write.key_cache + 0
        self.write(first, first, slot_mapping)
        between = self.write.key_cache + 0
        self.write(second, second, slot_mapping)
        after = self.write.key_cache + 0
        self.write(first, second, slot_mapping)
        return before, between, after, self.write.value_cache + 0


@pytest.mark.parametrize("level", LEVELS)
def test_writes_and_reads_of_one_parameter_keep_their_order(level: str) -> None:
    with graph_mode():
        net = WriteReadWriteRead()
        net.set_jit_config(ms.JitConfig(jit_level=level))
        key_cache, value_cache = snapshot(net.write.key_cache), snapshot(net.write.value_cache)
        for seed in range(20):
            first, second, slot_mapping = step(seed)
            reads = net(*tensors(first, second, slot_mapping))
            expected = [key_cache, put(key_cache, slot_mapping, first), put(key_cache, slot_mapping, second)]
            value_cache = put(value_cache, slot_mapping, second)
            for read, want in zip(reads, [*expected, value_cache], strict=True):
                assert same(read, want)
            key_cache = expected[1]
            assert same(net.write.key_cache, key_cache)


@ms.jit
def write_and_read_inputs(key: Any, other: Any, key_cache: Any, slot_mapping: Any) -> Any:
    status = npu_scatter_pa_kv_cache(key, None, key_cache, None, slot_mapping, cache_mode="Norm")
    key_cache = ops.depend(key_cache, status)
    first = key_cache + 0
    slot_mapping = ops.depend(slot_mapping, first)
    status = npu_scatter_pa_kv_cache(other, None, key_cache, None, slot_mapping, cache_mode="Norm")
    return first, ops.depend(key_cache, status) + 0


def test_depend_orders_reads_of_a_cache_that_is_an_input() -> None:
    for seed in range(20):
        key, other, slot_mapping = step(seed)
        cache = cache_array(seed)
        tensor = Tensor(cache)
        first, second = write_and_read_inputs(Tensor(key), Tensor(other), tensor, Tensor(slot_mapping))
        assert same(first, put(cache, slot_mapping, key))
        assert same(second, put(cache, slot_mapping, other))
        assert same(tensor, put(cache, slot_mapping, other))


class Layer(nn.Cell):  # type: ignore[misc]
    """Projects, writes, and reads back what was written: a decoder layer's skeleton."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.write = ScatterPaKvCache(*parameters(index, prefix=f"layer{index}."), cache_mode="Norm")

    def construct(self, x: Any, slot_mapping: Any) -> Any:
        key, value = x * 2, x * 4
        self.write(key, value, slot_mapping)
        rows = self.write.key_cache.reshape(-1, N, D)[slot_mapping]
        return x + rows


class Decoder(nn.Cell):  # type: ignore[misc]
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.CellList([Layer(index) for index in range(layers)])

    def construct(self, x: Any, slot_mapping: Any) -> Any:
        for layer in self.layers:
            x = layer(x, slot_mapping)
        return x


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_nested_in_a_network_every_layer_reads_what_it_wrote(mode: int) -> None:
    ms.set_context(mode=mode)
    try:
        net = Decoder(3)
        expected = [snapshot(layer.write.key_cache) for layer in net.layers]
        for seed in range(5):
            x, _, _ = step(seed)
            x = np.round(x * 4)  # so that sums are exact
            slot_mapping = np.random.default_rng(seed).permutation(32)[: len(x)].astype(np.int32)
            out = net(Tensor(x), Tensor(slot_mapping))
            for index in range(3):
                expected[index] = put(expected[index], slot_mapping, x * 2 * 3**index)
            assert same(out, x * 27)
        for layer, want in zip(net.layers, expected, strict=True):
            assert same(layer.write.key_cache, want)
            assert tuple(layer.write.key_cache.shape) == CACHE
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


class Branch(nn.Cell):  # type: ignore[misc]
    """A write under a condition that values decide, and writes in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.write = ScatterPaKvCache(*parameters(3), cache_mode="Norm")

    def construct(self, key: Any, value: Any, slot_mapping: Any, flag: Any, count: Any) -> Any:
        if flag > 0:
            self.write(key, value, slot_mapping)
        else:
            self.write(value, key, slot_mapping)
        i = count * 0
        while i < count:
            self.write(key + i, value, slot_mapping)
            i = i + 1
        return self.write.key_cache + 0


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_control_flow_writes_the_taken_branch_as_often_as_the_loop_runs(mode: int) -> None:
    ms.set_context(mode=mode)
    try:
        net = Branch()
        want = snapshot(net.write.key_cache)
        for seed, (flag, count) in enumerate([(1, 0), (-1, 0), (1, 2), (-1, 3), (1, 0)]):
            key, value, slot_mapping = step(seed)
            out = net(*tensors(key, value, slot_mapping), Tensor(flag), Tensor(count, ms.float16))
            want = put(want, slot_mapping, key if flag > 0 else value)
            if count:
                want = put(want, slot_mapping, key + np.float16(count - 1))
            assert same(out, want) and same(net.write.key_cache, want)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
