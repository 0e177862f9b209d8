"""A cache that is reshaped, viewed, indexed or sliced inside a graph is a copy of MindSpore's: the write is lost, MindSpore's
own in-place operators' too. The compiler gives such a value and a Tensor argument the same type, so that it cannot be
refused; each kind stands here, so that a MindSpore that keeps the write is noticed and the documents change."""

from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint, mutable, nn, ops

from ms_scatter_pa import (
    GatherPaKvCache,
    QuantScatterPaKvCache,
    ScatterPaKvCache,
    interleaved_slot_mapping,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
)
from tests.support.small import BS, CACHE, NB, D, N, put, same, step


class Whole(nn.Cell):
    def construct(self, key: Any, pool: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, pool, None, slots, cache_mode="Norm")


class Reshaped(nn.Cell):
    def construct(self, key: Any, pool: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, pool.reshape((NB, BS, N, D)), None, slots, cache_mode="Norm")


class Viewed(nn.Cell):
    def construct(self, key: Any, pool: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, pool.view((NB, BS, N, D)), None, slots, cache_mode="Norm")


class Sliced(nn.Cell):
    def construct(self, key: Any, pool: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, pool[0:NB], None, slots, cache_mode="Norm")


class Indexed(nn.Cell):
    def construct(self, key: Any, pool: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, pool[1], None, slots, cache_mode="Norm")


class Interleaved(nn.Cell):
    def construct(self, key: Any, pool: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, pool[:, 1], None, slots, cache_mode="Norm")


COPIES: dict[str, tuple[type[nn.Cell], tuple[int, ...]]] = {
    "reshape": (Reshaped, (NB * BS, N * D)),
    "reshape to its own shape": (Reshaped, CACHE),
    "view": (Viewed, (NB * BS, N * D)),
    "slice": (Sliced, (NB + 2, *CACHE[1:])),
    "index": (Indexed, (2, *CACHE)),
    "index of the second axis": (Interleaved, (NB, 2, *CACHE[1:])),
}


class Own(nn.Cell):
    """The pool is the Cell's own Parameter."""

    def __init__(self, inner: nn.Cell, pool: Parameter) -> None:
        super().__init__()
        self.inner, self.pool = inner, pool

    def construct(self, key: Any, slots: Any) -> Any:
        return self.inner(key, self.pool, slots)


def run(cell: type[nn.Cell], held: str, array: Any) -> tuple[Any, Any]:
    key, _, slots = step(1)
    tensors = Tensor(key), Tensor(slots)
    pool: Any = Tensor(array) if held == "tensor" else Parameter(Tensor(array), name="pool", requires_grad=False)
    if held == "own parameter":
        return pool, Own(cell(), pool)(*tensors)
    if held == "jit":
        inner = cell()

        @ms.jit
        def compiled(key: Any, pool: Any, slots: Any) -> Any:
            return inner.construct(key, pool, slots)

        return pool, compiled(tensors[0], pool, tensors[1])
    return pool, cell()(tensors[0], pool, tensors[1])


@pytest.fixture(autouse=True)
def graph_mode() -> Any:
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


HELD = ["tensor", "parameter", "own parameter", "jit"]


@pytest.mark.parametrize("held", HELD)
def test_the_whole_tensor_is_written(held: str) -> None:
    array = np.zeros(CACHE, np.float16)
    pool, status = run(Whole, held, array)
    key, _, slots = step(1)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert same(pool, put(array, slots, key))


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("kind", COPIES)
def test_what_a_graph_derives_is_a_copy_as_the_documents_say(kind: str, held: str) -> None:
    cell, shape = COPIES[kind]
    array = np.zeros(shape, np.float16)
    pool, status = run(cell, held, array)
    written = not same(pool, array)
    folded = kind == "reshape to its own shape" and written  # an optimiser may remove it: then the write is kept
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert folded or not written, "MindSpore keeps the write now: say so in README, refusals.md and the docstring"


# Views that were made outside and are Parameters of the network: no argument, so MindSpore does not refuse them. It moves them
# to memory of their own at the first run. A Cell of this package sees that while it is compiled; a function cannot.

VIEWS = {
    "blocks apart": lambda: Tensor(np.zeros((NB, 2, *CACHE[1:]), np.float16))[:, 0],
    "the first of two": lambda: Tensor(np.zeros((2, *CACHE), np.float16))[0],
    "the second of two": lambda: Tensor(np.zeros((2, *CACHE), np.float16))[1],
    "of another dtype": lambda: Tensor(np.zeros((2 * NB, BS, N, 2 * D), np.uint8))[NB:].view(ms.float16),
}


def parameter_of(view: Any, name: str) -> Any:
    parameter = Parameter(mint.zeros((1,), dtype=view.dtype), name=name, requires_grad=False)
    parameter.set_data(view)
    return parameter


class Holds(nn.Cell):
    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell

    def construct(self, a: Any, b: Any, c: Any, d: Any) -> Any:
        return self.cell(a, b, c, d)


def scatter(view: Any) -> tuple[nn.Cell, list[Any]]:
    key, value, slots = map(Tensor, step(1))
    whole = Parameter(Tensor(np.zeros(CACHE, np.float16)), name="whole", requires_grad=False)
    cell = ScatterPaKvCache(whole, parameter_of(view, "view"), cache_mode="Norm", on_error="record")
    return cell, [key, value, slots, None]


def gather(view: Any) -> tuple[nn.Cell, list[Any]]:
    key = Tensor(np.zeros((3, N, D), np.float16))
    return GatherPaKvCache(parameter_of(view, "view"), cache_mode="Norm"), [Tensor([[1]]), Tensor([3]), key, None]


def quantise(view: Any) -> tuple[nn.Cell, list[Any]]:
    key, _, slots = map(Tensor, step(1))
    cell = QuantScatterPaKvCache(parameter_of(view, "view"), cache_mode="Norm")
    return cell, [key, None, slots, None]


OPERATOR = {
    scatter: "npu_scatter_pa_kv_cache",
    gather: "npu_gather_pa_kv_cache",
    quantise: "quant_scatter_pa_kv_cache",
}


@pytest.mark.parametrize("held", ["graph", "jit"])
@pytest.mark.parametrize("make", [scatter, gather, quantise])
@pytest.mark.parametrize("kind", VIEWS)
def test_a_cell_refuses_a_view_in_a_graph(kind: str, make: Any, held: str) -> None:
    view = VIEWS[kind]()
    cell, tensors = make(view)
    name = "value_cache" if make is scatter else "key_cache"
    cache = getattr(cell, name)
    network = Holds(cell)

    @ms.jit
    def compiled(a: Any, b: Any, c: Any, d: Any) -> Any:
        return network(a, b, c, d)

    with pytest.raises(
        ValueError, match=f"^{name}: given a Parameter that is a view of another tensor to a graph"
    ) as error:
        (compiled if held == "jit" else network)(*tensors)
    assert f"as an argument of {OPERATOR[make]} with " in str(error.value)
    assert cache.data_ptr() == view.data_ptr(), "it is a view as before"
    if make is scatter:  # and PyNative writes it
        ms.set_context(mode=ms.PYNATIVE_MODE)
        cell(*tensors[:3])
        assert same(view, put(np.zeros(CACHE, np.float16), step(1)[2], step(1)[1]))


@pytest.mark.parametrize("held", ["graph", "jit"])
def test_a_cell_and_a_view_of_a_whole_tensor(held: str) -> None:
    """Refused where MindSpore would move it, written where it would not."""
    view = Tensor(np.zeros((NB * BS, N, D), np.float16)).view(CACHE)
    cell, tensors = scatter(view)
    network = Holds(cell)
    if held == "graph":
        with pytest.raises(ValueError, match=r"^value_cache: given a Parameter that is a view of another tensor"):
            network(*tensors)
        return
    ms.set_context(mode=ms.PYNATIVE_MODE)

    @ms.jit
    def compiled(a: Any, b: Any, c: Any, d: Any) -> Any:
        return network(a, b, c, d)

    assert compiled(*tensors).asnumpy().tolist() == [0, 0, 0, 0]
    assert same(view, put(np.zeros(CACHE, np.float16), step(1)[2], step(1)[1]))


def test_a_network_that_holds_a_view_writes_a_copy_as_the_documents_say() -> None:
    view = VIEWS["blocks apart"]()
    key, _, slots = step(1)
    status = Own(Whole(), parameter_of(view, "view"))(Tensor(key), Tensor(slots))
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert same(view, np.zeros(CACHE, np.float16)), "MindSpore keeps the write now: say so in limits.md and refusals.md"


class Pool(nn.Cell):
    """The way that works: an interleaved pool goes in whole, as [2*NB, BS, N, D]."""

    def construct(self, key: Any, value: Any, pool: Any, key_slots: Any, value_slots: Any) -> Any:
        status = npu_scatter_pa_kv_cache(key, None, pool, None, key_slots, cache_mode="Norm")
        pool = ops.depend(pool, status)
        return npu_scatter_pa_kv_cache(value, None, pool, None, value_slots, cache_mode="Norm")


@pytest.mark.parametrize("hold", [Tensor, lambda a: Parameter(Tensor(a), name="pool", requires_grad=False)])
def test_an_interleaved_pool_goes_in_whole(hold: Any) -> None:
    array = np.zeros((2 * NB, *CACHE[1:]), np.float16)
    pool = hold(array)
    key, value, slots = step(1)
    places = [np.where(slots < 0, slots, (slots // BS * 2 + i) * BS + slots % BS).astype(np.int32) for i in (0, 1)]
    Pool()(Tensor(key), Tensor(value), pool, Tensor(places[0]), Tensor(places[1]))
    got = pool.asnumpy().reshape(NB, 2, *CACHE[1:])
    assert same(Tensor(got[:, 0]), put(np.zeros(CACHE, np.float16), slots, key))
    assert same(Tensor(got[:, 1]), put(np.zeros(CACHE, np.float16), slots, value))


class GatherPool(nn.Cell):
    """Its rows come back with block tables that count the pool's blocks, and so are quantised with slots of it."""

    def construct(self, pool: Any, tables: Any, lengths: Any, key: Any, value: Any) -> Any:
        first = npu_gather_pa_kv_cache(pool, None, tables * 2, lengths, key, None, cache_mode="Norm")
        second = npu_gather_pa_kv_cache(pool, None, tables * 2 + 1, lengths, value, None, cache_mode="Norm")
        return first, second


class QuantisePool(nn.Cell):
    def construct(self, key: Any, value: Any, pool: Any, slots: Any, scale: Any) -> Any:
        places = interleaved_slot_mapping(slots, BS, 0), interleaved_slot_mapping(slots, BS, 1)
        status = quant_scatter_pa_kv_cache(key, None, pool, None, places[0], key_scale=scale, cache_mode="Norm")
        pool = ops.depend(pool, status)
        return quant_scatter_pa_kv_cache(value, None, pool, None, places[1], key_scale=scale, cache_mode="Norm")


def test_an_interleaved_pool_is_gathered_whole() -> None:
    pool = np.random.default_rng(1).standard_normal((2 * NB, *CACHE[1:])).astype(np.float16)
    key, value = (Tensor(np.zeros((BS + 3, N, D), np.float16)) for _ in range(2))
    GatherPool()(Tensor(pool), Tensor([[2, 0, -1]]), Tensor([BS + 3]), key, value)
    for part, rows in enumerate((key, value)):
        half = pool.reshape(NB, 2, *CACHE[1:])[:, part]
        assert same(rows, np.concatenate([half[2], half[0][:3]]))


def test_an_interleaved_pool_is_quantised_whole() -> None:
    pool = Tensor(np.zeros((2 * NB, *CACHE[1:]), np.int8))
    rows = np.random.default_rng(1).integers(-100, 100, (2, 5, N, D))
    slots = step(1)[2]
    QuantisePool()(*(Tensor(side.astype(np.float16)) for side in rows), pool, Tensor(slots), Tensor([1], ms.float32))
    got = pool.asnumpy().reshape(NB, 2, *CACHE[1:])
    for part, side in enumerate(rows):
        assert np.array_equal(got[:, part], put(np.zeros(CACHE, np.int8), slots, side.astype(np.int8)))


def test_an_element_of_a_list_is_no_copy() -> None:
    """``mutable([...])[0]`` names a Tensor that was passed; ``stacked[0]`` copies."""

    @ms.jit
    def write(key: Any, caches: Any, slots: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, caches[0], None, slots, cache_mode="Norm")

    array = np.zeros(CACHE, np.float16)
    key, _, slots = step(1)
    cache = Tensor(array)
    write(Tensor(key), mutable([cache, Tensor(array)]), Tensor(slots))
    assert same(cache, put(array, slots, key))
