"""mindspore.jit: which ways of capturing work, and the one that is refused."""

import sys
from typing import Any

import mindspore as ms
import pytest
from mindspore import Tensor

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from tests.support.small import cache_array, parameters, put, same, snapshot, step, tensors

# MindSpore captures bytecode on Python 3.10 and 3.11.
BYTECODE = pytest.param(
    "bytecode", marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="MindSpore has none on Python 3.12")
)
# Before 2.8 MindSpore calls a Cell with its arguments in the wrong places.
NO_BYTECODE_OF_A_CELL = sys.version_info >= (3, 12) or ms.__version__.startswith("2.7.")
NO_BYTECODE_REASON = "MindSpore has none on Python 3.12, and before 2.8 none that calls a Cell rightly"
BYTECODE_OF_A_CELL = pytest.param(
    "bytecode", marks=pytest.mark.skipif(NO_BYTECODE_OF_A_CELL, reason=NO_BYTECODE_REASON)
)


def write(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode="Norm")


@pytest.mark.parametrize("level", ["O0", "O1"])
@pytest.mark.parametrize("capture_mode", ["ast", BYTECODE])
def test_jit_of_a_function_writes_the_tensors_of_each_call(capture_mode: str, level: str) -> None:
    compiled = ms.jit(write, capture_mode=capture_mode, jit_level=level)
    for seed in range(5):
        key, value, slot_mapping = step(seed)
        key_cache, value_cache = cache_array(seed), cache_array(seed + 9)
        caches = tensors(key_cache, value_cache)
        status = compiled(Tensor(key), Tensor(value), *caches, Tensor(slot_mapping))
        assert status.asnumpy().tolist() == [0, 0, 0, 0]
        assert same(caches[0], put(key_cache, slot_mapping, key))
        assert same(caches[1], put(value_cache, slot_mapping, value))


@pytest.mark.parametrize("on_error", ["raise", "record"])
@pytest.mark.parametrize("capture_mode", ["ast", BYTECODE_OF_A_CELL])
def test_jit_of_a_cell_writes_its_parameters(capture_mode: str, on_error: str) -> None:
    cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm", on_error=on_error)

    def call(key: Any, value: Any, slot_mapping: Any) -> Any:
        return cell(key, value, slot_mapping)

    run = ms.jit(call, capture_mode=capture_mode)
    want = snapshot(cell.key_cache), snapshot(cell.value_cache)
    for seed in range(5):
        key, value, slot_mapping = step(seed)
        run(*tensors(key, value, slot_mapping))
        want = put(want[0], slot_mapping, key), put(want[1], slot_mapping, value)
        assert same(cell.key_cache, want[0]) and same(cell.value_cache, want[1])


BESIDE_A_CAPTURED_CELL = """
import mindspore as ms
from mindspore import Tensor
from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from tests.support.small import cache_array, parameters, put, same, step, tensors

cell = ScatterPaKvCache(*parameters(1), cache_mode="Norm")
ms.jit(cell, capture_mode="bytecode")(*tensors(*step(1)))  # from here on MindSpore looks at the Cell's modules too
caches = tensors(cache_array(1), cache_array(2))

def wrong(key, value, slot_mapping):
    return npu_scatter_pa_kv_cache(key, value, *caches, slot_mapping, cache_mode="PA_NZ")

def right(key, value, slot_mapping):
    slots = Tensor(slot_mapping.asnumpy().tolist())  # int64; asnumpy is no part of a graph
    return npu_scatter_pa_kv_cache(key, value, *caches, slots, cache_mode="Norm")

wrong, right = (ms.jit(function, capture_mode="bytecode") for function in (wrong, right))
for seed in range(2):
    key, value, slot_mapping = step(seed)
    try:
        wrong(*tensors(key, value, slot_mapping))
    except ValueError as error:
        assert str(error).startswith("key_cache: given shape [4, 8, 2, 16]"), error
    else:
        raise AssertionError("not refused")
    before = caches[0].asnumpy()
    right(*tensors(key, value, slot_mapping))
    assert same(caches[0], put(before, slot_mapping, key))
print("refused and written")
"""


@pytest.mark.skipif(NO_BYTECODE_OF_A_CELL, reason=NO_BYTECODE_REASON)
def test_bytecode_capture_runs_the_rules_as_they_are(run_python: Any) -> None:
    result = run_python(BESIDE_A_CAPTURED_CELL)
    assert "refused and written" in result.stdout, result.stdout + result.stderr


TRACED = """
import os, sys
import mindspore as ms
from mindspore import Tensor
from tests.modes.test_capture_modes import write
from tests.support.small import cache_array, put, same, step
key, value, slot_mapping = (Tensor(array) for array in step(1))
caches = Tensor(cache_array(1)), Tensor(cache_array(2))
try:
    traced = ms.jit(write, capture_mode="trace")
    traced(key, value, *caches, slot_mapping)
except RuntimeError as error:
    print(error)
assert same(caches[0], cache_array(1)) and same(caches[1], cache_array(2))
assert (key + 1).asnumpy().shape == key.shape  # MindSpore's own operators too
write(key, value, *caches, slot_mapping)
assert same(caches[0], put(cache_array(1), step(1)[2], step(1)[0]))
try:
    traced(key, value, *caches, slot_mapping)  # what was recorded must not run as if it were the function
    print("the second call of the traced function was not refused")
except RuntimeError as error:
    assert "given mindspore.jit(capture_mode='trace')" in str(error)
double = ms.jit(lambda x: x + x, capture_mode="trace")  # another trace, before and after
assert same(double(key), (key + key).asnumpy()) and same(double(key), (key + key).asnumpy())
print("works afterwards")
sys.stdout.flush()
os._exit(0)  # MindSpore's own exit after an error in a trace aborts
"""


def test_a_trace_is_refused_because_it_would_lose_writes(run_python: Any) -> None:
    result = run_python(TRACED)
    assert "given mindspore.jit(capture_mode='trace'), expected capture_mode='ast' or 'bytecode'" in result.stdout
    assert "works afterwards" in result.stdout and "not refused" not in result.stdout, result.stdout + result.stderr


AROUND_A_TRACE = """
import os, sys, threading
import mindspore as ms
from mindspore import Tensor
from tests.modes.test_capture_modes import write
from tests.support.small import cache_array, put, same, step
key, value, slot_mapping = (Tensor(array) for array in step(1))
caches = Tensor(cache_array(1)), Tensor(cache_array(2))
want = put(cache_array(1), step(1)[2], step(1)[0])

def catches(x):
    try:
        write(x, value, *caches, slot_mapping)
    except RuntimeError:
        pass
    return triple(x) + x

triple = ms.jit(lambda x: x * 3, capture_mode="trace")
caught = ms.jit(catches, capture_mode="trace")
for _ in range(2):
    try:
        caught(key)
        print("went on")
    except RuntimeError as error:
        assert "given mindspore.jit(capture_mode='trace')" in str(error)
assert same(triple(key), (key * 3).asnumpy()) and same(caches[0], cache_array(1))

def fails(x):
    raise KeyError(str(x * 2)[:0])

try:
    ms.jit(fails, capture_mode="trace")(key)
except KeyError:
    pass
write(key, value, *caches, slot_mapping)  # the first call after it
assert same(caches[0], want)

begun, written = threading.Event(), threading.Event()
caches = Tensor(cache_array(1)), Tensor(cache_array(2))

def writes_meanwhile():
    begun.wait()
    try:
        write(key, value, *caches, slot_mapping)
    finally:
        written.set()

def waits(x):
    y = x * 2
    begun.set()
    written.wait()
    return y + x

thread = threading.Thread(target=writes_meanwhile)
thread.start()
assert same(ms.jit(waits, capture_mode="trace")(key), (key * 3).asnumpy())
thread.join()
assert same(caches[0], want) and same(triple(key), (key * 3).asnumpy())
print("works afterwards")
sys.stdout.flush()
os._exit(0)  # MindSpore's own exit after an error in a trace aborts
"""


def test_what_catches_the_refusal_fails_elsewhere_and_beside_a_trace_is_not_refused(run_python: Any) -> None:
    result = run_python(AROUND_A_TRACE)
    assert "works afterwards" in result.stdout and "went on" not in result.stdout, result.stdout + result.stderr
