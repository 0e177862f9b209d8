"""A network that writes can be differentiated: the status is an integer, and through a cache flows 0."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache

N, D, BS = 2, 16, 4


def cache(name: str, heads: int = N) -> Parameter:
    return Parameter(Tensor(np.zeros((8, BS, heads, D), np.float32)), name=name, requires_grad=False)


class Layer(nn.Cell):
    """y = dense(x) is written, and the sum of y waits for the write."""

    def __init__(self, name: str, kind: str, on_error: str) -> None:
        super().__init__()
        self.proj = nn.Dense(D, D, weight_init="ones", bias_init="zeros")
        heads = 1 if kind in ("Alibi", "Rope") else N
        caches = (cache(f"{name}.k", heads), None if kind == "key only" else cache(f"{name}.v", heads))
        self.write = ScatterPaKvCache(*caches, on_error=on_error)
        self.kind = kind
        self.pair = [Tensor(np.array([[0, 8]], np.int32)), Tensor(np.array([[2, 1]], np.int32)), Tensor([3], ms.int32)]
        self.offsets = Tensor(np.array([0, 1], np.int32))

    def construct(self, x: Any, slots: Any) -> Any:
        y = self.proj(x)
        if self.kind == "key only":
            status = self.write(y, None, slots)
        elif self.kind == "Alibi":
            status = self.write(y, y * 2, self.pair[0], self.pair[1], None, self.pair[2])
        elif self.kind == "Rope":
            status = self.write(y, y * 2, self.pair[0], self.pair[1], self.offsets, self.pair[2])
        else:
            status = self.write(y, y * 2, slots)
        return ops.depend(y, status).sum()


def inputs(kind: str) -> tuple[Tensor, Tensor]:
    shape = (1, 3, N, D) if kind in ("Alibi", "Rope") else (3, N, D)
    return Tensor(np.ones(shape, np.float32)), Tensor(np.array([5, -1, 7], np.int32))


@pytest.mark.parametrize("recompute", [False, True], ids=["", "recompute"])
@pytest.mark.parametrize("on_error", ["raise", "record"])
@pytest.mark.parametrize("kind", ["both", "key only", "Alibi", "Rope"])
def test_gradients_of_a_layer_that_writes(kind: str, on_error: str, recompute: bool, mode: str) -> None:
    name = f"{kind}.{on_error}.{recompute}.{mode}".replace(" ", "_")
    net = Layer(name, kind, on_error)
    if recompute:
        net.recompute()
    x, slots = inputs(kind)
    _, (weight, bias) = ms.value_and_grad(net, None, net.trainable_params())(x, slots)
    rows = 3 * N
    assert np.array_equal(weight.asnumpy(), np.full((D, D), rows, np.float32))
    assert np.array_equal(bias.asnumpy(), np.full(D, rows, np.float32))
    assert float(net.write.key_cache.asnumpy().sum()) > 0


def test_no_gradient_flows_through_a_cache(mode: str) -> None:
    """What is read from the cache after the write counts as a constant, for a Tensor argument too."""

    class Read(nn.Cell):
        def construct(self, x: Any, held: Any, slots: Any) -> Any:
            status = npu_scatter_pa_kv_cache(x * 3, None, held, None, slots, cache_mode="Norm")
            return ops.depend(held, status).sum() + x.sum()

    x, slots = inputs("both")
    held = Tensor(np.zeros((8, BS, N, D), np.float32))
    gradient = ms.grad(Read(), 0)(x, held, slots)
    assert np.array_equal(gradient.asnumpy(), np.ones(x.shape, np.float32))
    assert float(held.asnumpy().sum()) == 2 * N * D * 3


def test_a_dynamic_graph() -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        net = Layer("dynamic", "key only", "raise")
        net.set_inputs(Tensor(shape=[None, N, D], dtype=ms.float32), Tensor(shape=[None], dtype=ms.int32))
        step = ms.value_and_grad(net, None, net.trainable_params())
        for tokens in (1, 4):
            x, slots = Tensor(np.ones((tokens, N, D), np.float32)), Tensor(np.arange(tokens, dtype=np.int32))
            _, (_, bias) = step(x, slots)
            assert np.array_equal(bias.asnumpy(), np.full(D, tokens * N, np.float32))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
