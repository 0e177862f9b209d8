"""Calls in graphs while a copy of their indices does not fit the address space; prints what came of each."""

import ctypes
import resource

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ms_scatter_pa import npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache, quant_scatter_pa_kv_cache
from ms_scatter_pa.compat import register

register()
reshape_and_cache = ops.auto_generate.ReshapeAndCache()
TOKENS = 12 << 20
LEFT = 24 << 20  # bytes of the address space, a quarter of what the slots of a call take


@ms.jit(dynamic=1)
def write(key, cache, slots, table, rows):
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots)


@ms.jit(dynamic=1)
def record(key, cache, slots, table, rows):
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots, on_error="record")


@ms.jit(dynamic=1)
def quantise(key, cache, slots, table, rows):
    return quant_scatter_pa_kv_cache(key, None, cache, None, slots)


@ms.jit(dynamic=1)
def gather(key, cache, slots, table, rows):
    return npu_gather_pa_kv_cache(cache, None, table, slots, rows, None, on_error="record")


@ms.jit(dynamic=1)
def built_in(key, cache, slots, table, rows):
    return reshape_and_cache(key, None, cache, None, slots)


def arguments(tokens):
    key, rows = np.zeros((tokens, 1, 1), np.int8), np.full((1, 1, 1), 7, np.int8)
    return Tensor(key), cache, Tensor(np.full(tokens, -1)), Tensor(np.zeros((tokens, 1), np.int64)), Tensor(rows)


def used():
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


cache = Tensor(np.full((1, 1, 1, 1), 7, np.int8))
calls = {f.__name__: f for f in (write, record, quantise, gather, built_in)}
for call in calls.values():
    call(*arguments(1)).asnumpy()
many = arguments(TOKENS)
before = resource.getrlimit(resource.RLIMIT_AS)
for name, call in calls.items():
    resource.setrlimit(resource.RLIMIT_AS, (used() + LEFT, before[1]))
    try:
        answer = str(call(*many).asnumpy().tolist())
    except (MemoryError, RuntimeError) as error:
        answer = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    resource.setrlimit(resource.RLIMIT_AS, before)
    print(f"{name}: {answer}")
print(f"cache: {cache.asnumpy().tolist()}, rows: {many[-1].asnumpy().tolist()}")
