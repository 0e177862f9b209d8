"""on_error="record": a served network survives a bad call, in both modes; the status says what was wrong."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, read_status
from tests.support.entries import graph_mode
from tests.support.small import (
    CACHE,
    CAPACITY,
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


class Server(nn.Cell):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.write = ScatterPaKvCache(*parameters(1), cache_mode="Norm", on_error="record")

    def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
        status = self.write(key, value, slot_mapping)
        return status, self.write.key_cache + 0


DISAGREES = "slot_mapping has a dimension that disagrees with the other arguments"


def bad(slot_mapping: Any, position: int = 3, slot: int = CAPACITY + 6) -> Any:
    changed = slot_mapping.copy()
    changed[position] = slot
    return changed


def test_good_steps_after_a_bad_one_are_right(mode: str) -> None:
    net = Server()
    want = snapshot(net.write.key_cache), snapshot(net.write.value_cache)
    for seed in range(8):
        key, value, slot_mapping = step(seed)
        wrong = seed in (2, 3, 6)
        status, read = net(*tensors(key, value, bad(slot_mapping) if wrong else slot_mapping))
        if wrong:
            assert status.asnumpy().tolist() == [1, 3, CAPACITY + 6, CAPACITY]
        else:
            assert status.asnumpy().tolist() == [0, 0, 0, 0]
            want = put(want[0], slot_mapping, key), put(want[1], slot_mapping, value)
        assert same(read, want[0])
        assert same(net.write.key_cache, want[0]) and same(net.write.value_cache, want[1])


def test_the_sentence_names_position_value_and_capacity(mode: str) -> None:
    net = Server()
    key, value, slot_mapping = step(1)
    status, _ = net(*tensors(key, value, bad(slot_mapping)))
    expected = f"IndexError: slot_mapping[3] = {CAPACITY + 6} is outside the cache: expected a slot below "
    expected += f"num_blocks * block_size = {CAPACITY}"
    assert read_status(status).startswith(expected)
    assert net.write.read_last_status().startswith(expected)


def test_a_cell_keeps_its_last_bad_status_until_it_is_cleared(mode: str) -> None:
    net = Server()
    assert net.write.read_last_status() == "written"
    key, value, slot_mapping = step(1)
    good = tensors(key, value, slot_mapping)
    net(*good)
    assert net.write.read_last_status() == "written"
    net(*tensors(key, value, bad(slot_mapping, 2, CAPACITY)))
    for _ in range(3):
        net(*good)
        assert net.write.last_status.asnumpy().tolist() == [1, 2, CAPACITY, CAPACITY]
    net(*tensors(key, value, bad(slot_mapping, 4, CAPACITY + 1)))
    assert net.write.last_status.asnumpy().tolist() == [1, 4, CAPACITY + 1, CAPACITY]
    net.write.clear_status()
    assert net.write.read_last_status() == "written"
    net(*good)
    assert net.write.read_last_status() == "written"
    net(*tensors(key, value, bad(slot_mapping, 0)))
    assert net.write.last_status.asnumpy().tolist()[:2] == [1, 0]


def test_the_lowest_bad_position_wins(mode: str) -> None:
    net = Server()
    key, value, _ = step(1)
    status, _ = net(*tensors(key, value, np.array([1, 2**31 - 1, 99, -5, 64], np.int32)))
    assert status.asnumpy().tolist() == [1, 1, 2**31 - 1, CAPACITY]


def test_the_function_returns_what_it_recorded_and_keeps_nothing(mode: str) -> None:
    cache = cache_array(1)
    tensor = Tensor(cache)
    write = ms.jit(record) if mode == "graph" else record
    key, _, slot_mapping = step(1)
    statuses = [
        write(Tensor(key), tensor, Tensor(s)) for s in (bad(slot_mapping), slot_mapping, bad(slot_mapping, 0, 77))
    ]
    assert [s.asnumpy().tolist() for s in statuses] == [[1, 3, CAPACITY + 6, CAPACITY], [0] * 4, [1, 0, 77, CAPACITY]]
    assert same(tensor, put(cache, slot_mapping, key))


def record(key: Any, cache: Any, slot_mapping: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, cache_mode="Norm", on_error="record")


def test_shapes_that_disagree_in_a_dynamic_graph_are_recorded_as_code_4() -> None:
    with graph_mode():
        net = Server()
        net.set_inputs(dynamic(None, N, D), dynamic(None, N, D), dynamic(None, dtype=ms.int32))
        want = snapshot(net.write.key_cache)
        for seed, (tokens, slots) in enumerate(((5, 5), (5, 4), (5, 5), (0, 3), (3, 0), (9, 9))):
            key, value, _ = step(seed, tokens)
            _, _, slot_mapping = step(seed, slots)
            status, read = net(*tensors(key, value, slot_mapping))
            if tokens == slots:
                assert status.asnumpy().tolist() == [0, 0, 0, 0]
                want = put(want, slot_mapping, key)
            else:
                assert status.asnumpy().tolist() == [4, 4, slots, tokens]
                sentence = f"ValueError: {DISAGREES}: got {slots}, expected {tokens}"
                assert read_status(status).startswith(sentence)
            assert same(read, want)
        assert net.write.read_last_status().startswith(f"ValueError: {DISAGREES}: got 0, expected 3")


def test_hundreds_of_bad_calls_in_the_queue_disturb_no_good_one() -> None:
    """PyNative without a wait: every second call is bad."""
    cache = cache_array(1)
    tensor, want, statuses = Tensor(cache), cache, []
    for seed in range(300):
        key, _, slot_mapping = step(seed)
        statuses.append(record(Tensor(key), tensor, Tensor(bad(slot_mapping) if seed % 2 else slot_mapping)))
        if seed % 2 == 0:
            want = put(want, slot_mapping, key)
    assert [int(status.asnumpy()[0]) for status in statuses] == [0, 1] * 150
    assert same(tensor, want)


def test_a_cell_that_raises_has_no_last_status() -> None:
    cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm")
    for ask in (cell.read_last_status, cell.clear_status):
        with pytest.raises(ValueError, match=r"^on_error: given 'raise', expected 'record'"):
            ask()


POISONED = """
import json
import numpy as np
import mindspore as ms
from mindspore import Tensor
from tests.support.small import *
from tests.modes.test_capture_modes import write
compiled = ms.jit(write)
key, value, slot_mapping = step(1)
caches = Tensor(cache_array(1)), Tensor(cache_array(2))
texts = []
for slots in (slot_mapping, slot_mapping + 100, slot_mapping):
    try:
        compiled(Tensor(key), Tensor(value), *caches, Tensor(slots)).asnumpy()
        texts.append("written")
    except RuntimeError as error:
        texts.append(str(error))
def write_again(*call):
    return write(*call)
fresh = ms.jit(write_again)
fresh(Tensor(key), Tensor(value), *caches, Tensor(slot_mapping)).asnumpy()
print(json.dumps(texts))
"""


def test_a_graph_that_raised_is_refused_by_mindspore_and_the_message_says_so(run_python: Any) -> None:
    import json

    result = run_python(POISONED)
    assert result.returncode == 0, result.stderr
    first, second, third = json.loads(result.stdout.splitlines()[-1])
    assert first == "written"
    assert "IndexError: slot_mapping[0] = " in second
    assert "refuses every later step of a graph that raised" in second and 'on_error="record"' in second
    assert third != "written"  # MindSpore's words for it vary


def test_a_pynative_error_surfaces_with_its_type_and_later_calls_work() -> None:
    cache = cache_array(1)
    tensor = Tensor(cache)
    key, _, slot_mapping = step(1)
    with pytest.raises(
        IndexError, match=r"^slot_mapping\[3\] = 38 is outside the cache.*npu_scatter_pa_kv_cache wrote"
    ):
        npu_scatter_pa_kv_cache(Tensor(key), None, tensor, None, Tensor(bad(slot_mapping)), cache_mode="Norm").asnumpy()
    assert same(tensor, cache)
    status = npu_scatter_pa_kv_cache(Tensor(key), None, tensor, None, Tensor(slot_mapping), cache_mode="Norm")
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert same(tensor, put(cache, slot_mapping, key)) and tuple(tensor.shape) == CACHE


@pytest.mark.parametrize("queued", [False, True], ids=["nothing queued", "behind a matmul"])
def test_a_large_write_raises_at_the_call_or_at_the_next_wait(queued: bool) -> None:
    """At the call when nothing is queued; else from MindSpore's queue, with the same type and text."""
    key = Tensor(np.ones((600, 8, 128), np.float32))
    cache = Tensor(np.zeros((64, 16, 8, 128), np.float32))
    slots = np.arange(600, dtype=np.int32)
    slots[599] = 1024
    ms.runtime.synchronize()
    busy = Tensor(np.ones((1500, 1500), np.float32))
    if queued:
        busy = mint.matmul(busy, busy)
    raised_at_call = True
    with pytest.raises(IndexError, match=r"slot_mapping\[599\] = 1024 is outside the cache.*may be lost"):
        status = npu_scatter_pa_kv_cache(key, None, cache, None, Tensor(slots), cache_mode="Norm")
        raised_at_call = False
        status.asnumpy()
    assert raised_at_call != queued
    assert not cache.asnumpy().any()
