"""A network that writes can be differentiated: the status is an integer, and through a cache flows 0."""

import itertools
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import (
    GatherPaKvCache,
    QuantScatterPaKvCache,
    ScatterPaKvCache,
    make_cache,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
)
from tests.support.entries import graph_mode

N, D, BS = 2, 16, 4
PAIRS = ("Alibi", "Rope", "Omni", "packed Alibi", "packed Rope", "packed Omni")


def cache(name: str, heads: int = N) -> Parameter:
    return Parameter(Tensor(np.zeros((8, BS, heads, D), np.float32)), name=name, requires_grad=False)


class Layer(nn.Cell):
    """y = dense(x) is written, and the sum of y waits for the write."""

    def __init__(self, name: str, kind: str, on_error: str) -> None:
        super().__init__()
        self.proj = nn.Dense(D, D, weight_init="ones", bias_init="zeros")
        heads = 1 if kind in PAIRS else N
        caches = (cache(f"{name}.k", heads), None if kind == "key only" else cache(f"{name}.v", heads))
        scatter_mode = kind.removeprefix("packed ") if kind in PAIRS else None
        self.write = ScatterPaKvCache(*caches, scatter_mode=scatter_mode, on_error=on_error)
        self.kind = kind
        self.is_pairs, self.has_offsets = kind in PAIRS, not kind.endswith("Alibi")
        self.pair = [Tensor(np.array([[0, 8]], np.int32)), Tensor(np.array([[2, 1]], np.int32)), Tensor([3], ms.int32)]
        self.offsets = Tensor(np.array([0, 1], np.int32))

    def construct(self, x: Any, slots: Any) -> Any:
        y = self.proj(x)
        if self.kind == "key only":
            status = self.write(y, None, slots)
        elif self.is_pairs:
            offsets = self.offsets if self.has_offsets else None
            status = self.write(y, y * 2, self.pair[0], self.pair[1], offsets, self.pair[2])
        else:
            status = self.write(y, y * 2, slots)
        return ops.depend(y, status).sum()


def inputs(kind: str) -> tuple[Tensor, Tensor]:
    shape = (1, 3, N, D) if kind in PAIRS[:3] else (3, N, D)
    return Tensor(np.ones(shape, np.float32)), Tensor(np.array([5, -1, 7], np.int32))


# Every arity of the write's operator, raising and recording; recomputed where it differs, which is the graph around it.
LAYERS = [
    *itertools.product(["both", "key only", "Alibi", "Rope"], ["raise", "record"], [False]),
    ("both", "record", True),
    ("key only", "raise", True),
    ("Rope", "raise", True),
    *itertools.product(["Omni", "packed Alibi", "packed Rope", "packed Omni"], ["record"], [False]),
]


@pytest.mark.parametrize(("kind", "on_error", "recompute"), LAYERS)
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


class QuantisedLayer(nn.Cell):
    """y = dense(x) is quantised into pages, which are read back: sums of y and of what was read wait for the operators."""

    def __init__(self, name: str, scaling: str, on_error: str) -> None:
        super().__init__()
        self.proj = nn.Dense(D, D, weight_init="ones", bias_init="zeros")
        pages = Parameter(Tensor(np.zeros((8, BS, N, D), np.int8)), name=f"{name}.k", requires_grad=False)
        scales = Parameter(Tensor(np.zeros((8, BS, N), np.float32)), name=f"{name}.s", requires_grad=False)
        keeps = scaling == "dynamic"
        self.write = QuantScatterPaKvCache(pages, key_scale_cache=scales if keeps else None, on_error=on_error)
        self.read = GatherPaKvCache(pages, on_error=on_error)
        self.scale = None if keeps else Tensor(np.array([0.5], np.float32))
        self.scales = scales if keeps else None
        self.tables, self.lengths = Tensor([[1]], ms.int32), Tensor([3], ms.int32)

    def construct(self, x: Any, slots: Any) -> Any:
        y = self.proj(x)
        written = self.write(y, None, slots, key_scale=self.scale)
        codes = ops.zeros((3, N, D), ms.int8)
        taken = self.read(self.tables, self.lengths, ops.depend(codes, written), None)
        rows = ops.zeros((3, N, D), ms.float32)
        dequantised = npu_gather_pa_kv_cache(
            self.read.key_cache,
            None,
            self.tables,
            self.lengths,
            ops.depend(rows, taken),
            None,
            cache_mode="Norm",
            key_scale=self.scale,
            key_scale_cache=self.scales,
        )
        read = ops.depend(rows, dequantised).sum() + ops.depend(codes, taken).astype(ms.float32).sum()
        return ops.depend(y, written).sum() + read


@pytest.mark.parametrize(("scaling", "on_error"), [("static", "raise"), ("dynamic", "record")])
def test_gradients_of_a_layer_that_quantises_and_gathers(scaling: str, on_error: str, mode: str) -> None:
    net = QuantisedLayer(f"{scaling}.{on_error}.{mode}", scaling, on_error)
    x, slots = Tensor(np.ones((3, N, D), np.float32)), Tensor(np.array([BS, BS + 2, BS + 1], np.int32))
    value, (weight, bias) = ms.value_and_grad(net, None, net.trainable_params())(x, slots)
    rows, code = 3 * N, 32 if scaling == "static" else 127  # x is 1, so y is D
    assert float(value) == rows * D * (D + D + code)
    assert np.array_equal(weight.asnumpy(), np.full((D, D), rows, np.float32))
    assert np.array_equal(bias.asnumpy(), np.full(D, rows, np.float32))


@pytest.mark.parametrize("dtype", [ms.hifloat8, ms.float8_e5m2, ms.uint16], ids=str)
def test_a_key_only_write_of_rows_that_have_no_sum_compiles_with_a_gradient(dtype: Any) -> None:
    rows = Tensor(np.full((1, 2, 16), 56, np.uint8 if dtype != ms.uint16 else np.uint16))
    rows = rows if dtype == ms.uint16 else rows.view(dtype)
    cache = make_cache("Norm", num_blocks=4, block_size=4, num_head=2, head_size=16, dtype=dtype, name="cache")

    def loss(x: Any, rows: Any, cache: Any, slots: Any) -> Any:
        return ops.depend(x * 2, npu_scatter_pa_kv_cache(rows, None, cache, None, slots, cache_mode="Norm")).sum()

    with graph_mode():
        assert ms.grad(loss)(Tensor(np.ones(2, np.float32)), rows, cache, Tensor([5])).asnumpy().tolist() == [2.0, 2.0]


def _float8(*shape: int) -> Any:
    return Tensor(np.full(shape, 56, np.uint8)).view(ms.float8_e4m3fn)


def _gradient(function: Any, *given: Any) -> list[float]:
    def loss(x: Any, *given: Any) -> Any:
        return ops.depend(x * 2, function(*given)).sum()

    with graph_mode():
        gradient: list[float] = ms.grad(loss)(Tensor(np.ones(2, np.float32)), *given).asnumpy().tolist()
    return gradient


def test_a_key_only_gather_of_float8_compiles_with_a_gradient() -> None:
    def gather(cache: Any, tables: Any, lengths: Any, key: Any) -> Any:
        return npu_gather_pa_kv_cache(cache, None, tables, lengths, key, None, cache_mode="Norm")

    assert _gradient(gather, _float8(4, 4, 2, 16), Tensor([[1]]), Tensor([2]), _float8(2, 2, 16)) == [2.0, 2.0]


@pytest.mark.parametrize("scaling", ["static", "dynamic", "copied", "given"])
def test_a_key_only_quantising_write_of_float8_compiles_with_a_gradient(scaling: str) -> None:
    def write(key: Any, cache: Any, slots: Any, scale: Any, scales: Any) -> Any:
        scale, scales = (
            scale if scaling in ("static", "given") else None,
            scales if scaling in ("dynamic", "given") else None,
        )
        return quant_scatter_pa_kv_cache(
            key, None, cache, None, slots, key_scale=scale, key_scale_cache=scales, cache_mode="Norm"
        )

    key = _float8(2, 2, 16) if scaling in ("copied", "given") else Tensor(np.ones((2, 2, 16), np.float16))
    scale = Tensor(np.ones((2, 2) if scaling == "given" else (1,), np.float32))
    scales = Tensor(np.ones((4, 4, 2), np.float32))
    assert _gradient(write, key, _float8(4, 4, 2, 16), Tensor([5, 6]), scale, scales) == [2.0, 2.0]
