"""The same writes by the operators that are there already: MindSpore's ReshapeAndCache, CANN's ScatterPaKvCache."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.ascend import cann_operator
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.ascend.ascend_calls import Write, inputs
from tests.registration.registration_cases import token_case

SHAPES = {  # tokens, heads, head size, block size, blocks
    "decode 8": (8, 32, 128, 128, 1024),
    "decode 64": (64, 8, 128, 16, 4096),
    "prefill 4096": (4096, 8, 128, 128, 1024),
}
ROUNDS = 50


def test_mindspores_own_operator_writes_the_same():
    case = token_case("Norm", index=np.int32)
    net = Write(case)
    net(*inputs(case))
    key, value, slots = (Tensor(case.arrays[name]) for name in ("key", "value", "slot_mapping"))
    caches = [Tensor(case.arrays[name]) for name in ("key_cache", "value_cache")]
    flat = [rows.reshape(rows.shape[0], -1) for rows in (key, value)]
    ops.auto_generate.ReshapeAndCache()(*flat, *caches, slots)
    for name, cache in zip(("key_cache", "value_cache"), caches, strict=True):
        np.testing.assert_array_equal(getattr(net, name).asnumpy(), cache.asnumpy())


@pytest.fixture
def canns_operator(monkeypatch):
    """A function that calls with CANN's operator; it is compiled on first use, which takes minutes."""

    def call(*tensors, **modes):
        monkeypatch.setattr(cann_operator, "chosen", lambda: True)
        npu_scatter_pa_kv_cache(*tensors, **modes)
        monkeypatch.setattr(cann_operator, "chosen", lambda: False)

    return call


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_canns_operator_writes_the_same(layout, canns_operator):
    case = token_case(layout)
    net = Write(case)
    net(*inputs(case))
    names = ("key", "value", "key_cache", "value_cache", "slot_mapping")
    tensors = dict(zip(names, (Tensor(case.arrays[name]) for name in names), strict=True))
    canns_operator(*tensors.values(), cache_mode=layout)
    for name in ("key_cache", "value_cache"):
        np.testing.assert_array_equal(getattr(net, name).asnumpy(), tensors[name].asnumpy())


@pytest.mark.parametrize("name", list(SHAPES))
def test_times(name, record_property, canns_operator):
    """Not a judgement: the median of queued calls, for the report."""
    tokens, heads, size, block_size, blocks = SHAPES[name]
    rows = [Tensor(np.ones((tokens, heads, size), np.float16)) for _ in range(2)]
    caches = [ms.mint.zeros((blocks, block_size, heads, size), dtype=ms.float16) for _ in range(2)]
    flat = [x.reshape(tokens, -1) for x in rows]
    builtin = ops.auto_generate.ReshapeAndCache()
    scattered = np.random.default_rng(1).permutation(blocks * block_size)[:tokens]
    for kind, slots in (("run", np.arange(tokens)), ("scattered", scattered)):
        mapping = Tensor(slots.astype(np.int32))
        calls = {
            "ms_scatter_pa": partial(npu_scatter_pa_kv_cache, *rows, *caches, mapping, cache_mode="Norm"),
            "ScatterPaKvCache of CANN": partial(canns_operator, *rows, *caches, mapping, cache_mode="Norm"),
            "ReshapeAndCache": partial(builtin, *flat, *caches, mapping),
        }
        for caller, call in calls.items():
            record_property(f"{name}, {kind} slots, {caller}, microseconds", round(_microseconds(call), 1))


def _microseconds(call) -> float:
    for _ in range(5):
        call()
    times = []
    for _ in range(5):
        start, stop = ms.runtime.Event(enable_timing=True), ms.runtime.Event(enable_timing=True)
        start.record()
        for _ in range(ROUNDS):
            call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) * 1000 / ROUNDS)
    return float(np.median(times))
