"""A graph that uses one cache twice copies none: MindSpore has no copy of 8-bit floats, so that one would be refused.

With a gradient too, which MindSpore adds up over both uses, and has no sum of these either.
"""

from collections.abc import Iterator
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from ms_scatter_pa import npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache, quant_scatter_pa_kv_cache
from tests.support.entries import graph_mode

NB, BS, N, D = 4, 4, 2, 16
ONE = 56  # the bits of 1.0 in float8_e4m3fn


def float8(count: int, value: int = 0) -> Any:
    shape = (NB, BS, N, D) if count == 0 else (count, N, D)
    return Tensor(np.full(shape, value, np.uint8)).view(ms.float8_e4m3fn)


class Twice(nn.Cell):
    """Two calls on the same caches, one after the other; K and V, or K alone."""

    def __init__(self, first: str, second: str, key_only: bool) -> None:
        super().__init__()
        self.first, self.second, self.key_only = first, second, key_only

    def call(self, name: Any, rows: Any, numbers: Any, caches: Any, slots: Any, outputs: Any) -> Any:
        key_cache, value_cache = caches
        value_cache = None if self.key_only else value_cache
        if name == "write":
            value = None if self.key_only else rows
            return npu_scatter_pa_kv_cache(rows, value, key_cache, value_cache, slots, cache_mode="Norm")
        scale = Tensor([1.0], ms.float32)
        value_scale = None if self.key_only else scale
        if name == "quantise":
            value = None if self.key_only else numbers
            return quant_scatter_pa_kv_cache(
                numbers,
                value,
                key_cache,
                value_cache,
                slots,
                key_scale=scale,
                value_scale=value_scale,
                cache_mode="Norm",
            )
        value = None if self.key_only else outputs[1]
        return npu_gather_pa_kv_cache(
            key_cache,
            value_cache,
            Tensor([[1]], ms.int32),
            Tensor([2], ms.int32),
            outputs[0],
            value,
            cache_mode="Norm",
            key_scale=scale,
            value_scale=value_scale,
        )

    def construct(
        self, x: Any, rows: Any, numbers: Any, key_cache: Any, value_cache: Any, slots: Any, key: Any, value: Any
    ) -> Any:
        status = self.call(self.first, rows, numbers, (key_cache, value_cache), slots, (key, value))
        key_cache, slots = ops.depend((key_cache, slots), status)
        status = self.call(self.second, rows, numbers, (key_cache, value_cache), slots + 2, (key, value))
        return ops.depend(x * 2, status).sum()


@pytest.fixture(autouse=True)
def _graphs() -> Iterator[None]:
    with graph_mode():
        yield


@pytest.mark.parametrize("key_only", [True, False], ids=["key only", "K and V"])
@pytest.mark.parametrize(
    ("first", "second"), [("write", "write"), ("write", "gather"), ("quantise", "quantise"), ("quantise", "gather")]
)
def test_no_cache_is_copied(first: str, second: str, key_only: bool) -> None:
    caches, outputs = (float8(0), float8(0)), [Tensor(np.zeros((2, N, D), np.float32)) for _ in range(2)]
    numbers = Tensor(np.ones((2, N, D), np.float16))
    x, slots = Tensor(np.ones(3, np.float32)), Tensor([BS, BS + 1])
    call = ms.grad(Twice(first, second, key_only))
    assert call(x, float8(2, ONE), numbers, *caches, slots, *outputs).asnumpy().tolist() == [2.0] * 3
    for side, (cache, output) in enumerate(zip(caches, outputs, strict=True)):
        written = cache.view(ms.uint8).asnumpy().reshape(NB * BS, N * D)[BS : BS + 4]
        expected = 0 if side == 1 and key_only else ONE
        assert (written[:2] == expected).all() and (written[2:] == (0 if second == "gather" else expected)).all()
        assert (output.asnumpy() == (1 if expected and second == "gather" else 0)).all()
