"""``PagedKVCache(interleaved=True)``: one pool per layer, in which everything that moves blocks finds K and V; and the
slots with which a graph writes the pool whole."""

import pickle
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import (
    PagedKVCache,
    ScatterPaKvCache,
    interleaved_slot_mapping,
    interleaved_status,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    read_status,
)
from ms_scatter_pa.backends import Blocks
from ms_scatter_pa.pages import moving
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.support.arrays import Array, random_array, to_array, to_tensor

NUM_BLOCKS, BLOCK_SIZE, HEADS, SIZE = 8, 4, 2, 32


def make(layout: str = "Norm", dtype: str = "float16", **more: Any) -> PagedKVCache:
    sizes = {"num_blocks": NUM_BLOCKS, "block_size": BLOCK_SIZE, "num_kv_heads": HEADS, "head_size": SIZE}
    return PagedKVCache(num_layers=2, dtype=dtype, layout=layout, num_host_blocks=8, interleaved=True, **sizes, **more)


def fill(cache: PagedKVCache, seq_id: str, tokens: int, dtype: str, seed: int) -> list[list[Array]]:
    """Allocates and writes; returns what each layer must hold, [layer][side]."""
    rng = np.random.default_rng(seed)
    cache.allocate(seq_id, tokens)
    slots = cache.slot_mapping([seq_id], [tokens])
    written = []
    for layer in range(cache.num_layers):
        rows = [random_array(rng, (tokens, HEADS, SIZE), dtype) for _ in range(2)]
        cache.write(layer, *(to_tensor(r, dtype) for r in rows), slots)
        written.append(rows)
    return written


def check(cache: PagedKVCache, seq_id: str, want: list[list[Array]]) -> None:
    for layer, rows in enumerate(want):
        got = cache.read(seq_id, layer)
        for side in range(2):
            assert np.ascontiguousarray(got[side][: len(rows[side])]).tobytes() == rows[side].tobytes(), (layer, side)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "hifloat8", "int8"])
@pytest.mark.parametrize("layout", CACHE_MODES)
def test_write_read_fork_swap_pickle_and_another_layout(layout: str, dtype: str) -> None:
    cache = make(layout, dtype)
    a, b = fill(cache, "a", 6, dtype, 1), fill(cache, "b", 9, dtype, 2)
    check(cache, "a", a)
    check(cache, "b", b)
    cache.fork("a", "c")
    cache.append("c")  # copy-on-write of a's last block
    assert len(set(cache.block_tables(["a", "c"]).asnumpy()[:, 1].tolist())) == 2
    check(cache, "c", a)
    cache.swap_out(["a", "b"])
    check(cache, "a", a)
    copied = pickle.loads(pickle.dumps(cache))
    other = cache.to_layout("NHSD" if layout != "NHSD" else "Norm")
    cache.swap_in(["a", "b"])
    for one in (cache, copied, other):
        assert one.kv_pools[0].shape[0] == 2 * NUM_BLOCKS
        for seq_id, want in (("a", a), ("b", b), ("c", a)):
            check(one, seq_id, want)


def test_the_pool_holds_k_and_v_block_by_block() -> None:
    cache = make()
    (key, value), _ = fill(cache, "a", 6, "float16", 3)
    pool = cache.kv_pools[0].asnumpy().reshape(NUM_BLOCKS, 2, BLOCK_SIZE, HEADS, SIZE)
    first, second = cache.block_tables(["a"]).asnumpy()[0].tolist()
    for side, rows in enumerate((key, value)):
        assert pool[first, side].tobytes() == rows[:4].tobytes()
        assert pool[second, side, :2].tobytes() == rows[4:].tobytes()
    assert cache.key_caches[0].data_ptr() == cache.kv_pools[0].data_ptr()
    assert make().kv_pools[0].name == "kv_cache.0.kv_pool"


def test_a_cell_and_the_gather_take_the_caches() -> None:
    cache = make()
    write = ScatterPaKvCache(cache.key_caches[0], cache.value_caches[0], cache_mode="Norm")
    cache.allocate("a", 3)
    rows = [random_array(np.random.default_rng(4), (3, HEADS, SIZE), "float16") for _ in range(2)]
    write(*map(Tensor, rows), cache.slot_mapping(["a"], [3]))
    check(cache, "a", [rows])
    back = [Tensor(np.zeros((3, HEADS, SIZE), np.float16)) for _ in range(2)]
    caches = (cache.key_caches[0], cache.value_caches[0])
    npu_gather_pa_kv_cache(*caches, cache.block_tables(["a"]), cache.seq_lens(["a"]), *back, cache_mode="Norm")
    for got, want in zip(back, rows, strict=True):
        assert got.asnumpy().tobytes() == want.tobytes()


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_quantised(layout: str) -> None:
    plain = PagedKVCache(
        num_layers=1,
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        num_kv_heads=HEADS,
        head_size=SIZE,
        dtype="int8",
        layout=layout,
        scales="dynamic",
    )
    cache = make(layout, "int8", scales="dynamic")
    rows = [np.random.default_rng(5).standard_normal((6, HEADS, SIZE)).astype(np.float16) for _ in range(2)]
    for one in (plain, cache):
        one.allocate("a", 6)
        one.write(0, *map(Tensor, rows), one.slot_mapping(["a"], [6]))
    cache.fork("a", "b")
    cache.append("b")
    for got, want in zip(cache.read("b", 0), plain.read("a", 0), strict=True):
        assert got[:6].tobytes() == want.tobytes()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"key_only": True}, "interleaved: given True with key_only"),
        ({"v_head_size": 16}, "v_head_size: given 16 with interleaved"),
        ({"value_dtype": "int8", "layout": "PA_NZ"}, "value_dtype: given int8 with interleaved"),
    ],
)
def test_what_cannot_be_interleaved(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(**more)


@pytest.mark.parametrize("on_host", [False, True])
def test_moving_with_operators(on_host: bool) -> None:
    """The way of devices without a copy of blocks of their own: by the pool's rows, guards untouched."""
    rng = np.random.default_rng(6)
    array = random_array(rng, (6, BLOCK_SIZE, HEADS, SIZE), "float16")
    pool = array.copy() if on_host else Tensor(array)
    size = array[0].nbytes
    parts = [Blocks(pool, 3, 2 * size, size, part * size) for part in range(2)]
    moving.copy_with_operators([(part, part) for part in parts[:1]], [0, 2], [1, 0])
    want = array.reshape(3, 2, -1).copy()
    want[[1, 0], 0] = want[[0, 2], 0]
    got = pool if on_host else pool.asnumpy()
    assert got.tobytes() == want.tobytes()
    page = np.zeros((3, size), np.uint8)
    moving.copy_with_operators([(parts[1], moving.blocks_of(page))], None, None)
    assert page.tobytes() == want[:, 1].tobytes()


class OwnCache(nn.Cell):
    """A network that holds a view itself: nothing tells the operator, and MindSpore moves the view at the first run."""

    def __init__(self, key_cache: Any) -> None:
        super().__init__()
        self.key_cache = key_cache

    def construct(self, key: Any, slot_mapping: Any) -> Any:
        return npu_scatter_pa_kv_cache(key, None, self.key_cache, None, slot_mapping, cache_mode="Norm")


def set_key_cache(cache: PagedKVCache) -> None:
    cache.key_caches[1].set_data(Tensor(np.zeros(cache.key_caches[1].shape, np.float16)))


def set_pool(cache: PagedKVCache) -> None:
    cache.kv_pools[1].set_data(Tensor(np.zeros(cache.kv_pools[1].shape, np.float16)))


def load_value_cache(cache: PagedKVCache) -> None:
    network = ScatterPaKvCache(cache.key_caches[1], cache.value_caches[1])
    name = cache.value_caches[1].name
    fresh = Parameter(Tensor(np.zeros(cache.value_caches[1].shape, np.float16)), name=name)
    not_loaded, _ = ms.load_param_into_net(network, {name: fresh})
    assert name not in not_loaded


def run_a_graph_that_holds_a_view(cache: PagedKVCache) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        OwnCache(cache.key_caches[1])(Tensor(np.ones((1, HEADS, SIZE), np.float16)), Tensor([0])).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


MOVES = [set_key_cache, set_pool, load_value_cache, run_a_graph_that_holds_a_view]


@pytest.mark.parametrize("move", MOVES)
def test_a_cache_that_left_its_pool_is_not_used(move: Any) -> None:
    """What the pool holds and what the caches hold are two things then: nobody reads or writes the wrong one in silence."""
    cache = make()
    rows = fill(cache, "a", 6, "float16", 10)
    cache.fork("a", "b")
    move(cache)
    tables = cache.block_tables(["a", "b"]).asnumpy().tolist()
    key = Tensor(np.ones((1, HEADS, SIZE), np.float16))
    says = r"_caches\[1\]: given memory apart from kv_pools\[1\], expected its blocks: set_data"
    for use in (
        lambda: cache.read("a", 1),
        lambda: cache.write(1, key, key, Tensor([3])),
        lambda: cache.append("b"),
        lambda: cache.swap_out(["a", "b"]),
        lambda: cache.to_layout("NHSD"),
        lambda: pickle.dumps(cache),
    ):
        with pytest.raises(ValueError, match=says):
            use()
    assert cache.block_tables(["a", "b"]).asnumpy().tolist() == tables
    for got, want in zip(cache.read("a", 0), rows[0], strict=True):
        assert got.tobytes() == want.tobytes()


# The pool in a graph ------------------------------------------------------------------------------------------------------


@ms.jit
def write_pool(key: Any, value: Any, pool: Any, slot_mapping: Any) -> Any:
    slots = (
        interleaved_slot_mapping(slot_mapping, BLOCK_SIZE, 0),
        interleaved_slot_mapping(slot_mapping, BLOCK_SIZE, 1),
    )
    status = npu_scatter_pa_kv_cache(key, None, pool, None, slots[0], cache_mode="Norm", on_error="record")
    pool = ops.depend(pool, status)
    second = npu_scatter_pa_kv_cache(value, None, pool, None, slots[1], cache_mode="Norm", on_error="record")
    return status, second


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_a_graph_writes_the_pool(index: str) -> None:
    rng = np.random.default_rng(7)
    array = random_array(rng, (2 * NUM_BLOCKS, BLOCK_SIZE, HEADS, SIZE), "float16")
    pool = Tensor(array)
    halves = array.reshape(NUM_BLOCKS, 2, BLOCK_SIZE, HEADS, SIZE)
    for _ in range(3):
        rows = [random_array(rng, (9, HEADS, SIZE), "float16") for _ in range(2)]
        slots = rng.permutation(NUM_BLOCKS * BLOCK_SIZE)[:9].astype(index)
        slots[[2, 5]] = -1, -7
        for status in write_pool(*map(Tensor, rows), pool, Tensor(slots)):
            assert status.asnumpy().tolist() == [0, 0, 0, 0]
        for token, slot in enumerate(slots.tolist()):
            if slot >= 0:
                for side in range(2):
                    halves[slot // BLOCK_SIZE, side, slot % BLOCK_SIZE] = rows[side][token]
        assert pool.asnumpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("bad", [32, 33, 70, 2**31 - 1])
def test_a_bad_slot_of_a_graph_in_the_callers_terms(bad: int) -> None:
    array = random_array(np.random.default_rng(8), (2 * NUM_BLOCKS, BLOCK_SIZE, HEADS, SIZE), "float16")
    pool, key = Tensor(array), Tensor(np.ones((3, HEADS, SIZE), np.float16))
    for status in write_pool(key, key, pool, Tensor(np.array([0, -1, bad], np.int32))):
        own = interleaved_status(status, BLOCK_SIZE)
        assert own.tolist() == [1, 2, bad, NUM_BLOCKS * BLOCK_SIZE]
        assert read_status(own).startswith(f"IndexError: slot_mapping[2] = {bad} is outside the cache: expected")
    assert pool.asnumpy().tobytes() == array.tobytes()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    slots=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300), max_size=6),
    block_size=st.integers(1, 130),
    num_parts=st.integers(1, 4),
    data=st.data(),
)
def test_slots_of_a_part(slots: list[int], block_size: int, num_parts: int, data: st.DataObject) -> None:
    """As Python's integers say; none wraps around, and each comes back from its status."""
    part = data.draw(st.integers(0, num_parts - 1))
    given_slots = Tensor(np.array(slots, np.int64)) if slots else ops.zeros((0,), ms.int64)
    got = interleaved_slot_mapping(given_slots, block_size, part, num_parts=num_parts)
    assert got.dtype == ms.int64
    for slot, moved in zip(slots, got.asnumpy().tolist(), strict=True):
        slot = min(slot, 2**50 // num_parts)
        want = (slot // block_size * num_parts + part) * block_size + slot % block_size if slot >= 0 else -1
        assert moved == want
        if slot >= 0:
            own = interleaved_status([1, 0, moved, 8 * num_parts], block_size, num_parts=num_parts)
            assert own.tolist() == [1, 0, slot, 8]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((0, 0), ValueError, "block_size: given 0, expected >= 1"),
        ((4, 2), ValueError, "part: given 2, expected 0 <= part < 2"),
        ((4, -1), ValueError, "part: given -1"),
        ((4.0, 0), TypeError, "block_size: given float, expected int"),
        ((4, True), TypeError, "part: given bool, expected int"),
        (
            (2**47 + 1, 0),
            ValueError,
            r"block_size: given \d+ with num_parts 2, expected block_size \* num_parts <= \d+",
        ),
        ((2**70, 1), ValueError, "block_size: given 1180591620717411303424 with num_parts 2"),
    ],
)
def test_slots_of_no_part(arguments: tuple[Any, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        interleaved_slot_mapping(Tensor([1]), *arguments)


@ms.jit
def move(slot_mapping: Any) -> Any:
    return interleaved_slot_mapping(slot_mapping, 4, 1)


NO_SLOTS = {
    "float32": lambda: Tensor([1.5, 2.0], ms.float32),
    "bool": lambda: Tensor([True, False]),
    "uint64": lambda: Tensor(np.array([2**63 + 5], np.uint64)),
    "int16": lambda: Tensor(np.array([3], np.int16)),
}


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("dtype", NO_SLOTS)
def test_slots_of_another_dtype_are_refused(dtype: str, in_graph: bool) -> None:
    """The write would refuse them: what makes its slots must not turn them into good ones, or into padding."""
    slots = NO_SLOTS[dtype]()
    with pytest.raises(TypeError, match=f"(?i)slot_mapping: given {dtype}, expected int32 or int64"):
        move(slots) if in_graph else interleaved_slot_mapping(slots, 4, 1)


@pytest.mark.parametrize("slots", [None, [1, 2], np.array([1, 2]), 3])
def test_slots_that_are_no_tensor_are_refused(slots: Any) -> None:
    with pytest.raises(TypeError, match=f"slot_mapping: given {type(slots).__name__}, expected a Tensor"):
        interleaved_slot_mapping(slots, 4, 1)


@pytest.mark.parametrize("num_parts", [2**48 + 1, 2**60, 2**70])
def test_too_many_parts(num_parts: int) -> None:
    """None of their slots may come out as one that is there."""
    with pytest.raises(ValueError, match="block_size: given 1 with num_parts"):
        interleaved_slot_mapping(Tensor([70]), 1, 0, num_parts=num_parts)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        ([], ValueError, "status: given 0 numbers, expected 4: code, position, value, limit"),
        ([1, 2], ValueError, "status: given 2 numbers"),
        (np.zeros((2, 4), np.int64), ValueError, "status: given 8 numbers"),
        ([1.5, 0, 70, 64], TypeError, "status: given float64, expected int64"),
    ],
)
def test_no_status(status: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        interleaved_status(status, 4)


def test_memory_is_one_pool() -> None:
    """No second copy of K and V beside the pool: a byte of the pool that changes is a byte of the caches."""
    cache = make()
    pool = cache.kv_pools[1]
    pool.copy_(Tensor(np.full(pool.shape, 3, np.float16)))
    for one in (cache.key_caches[1], cache.value_caches[1]):
        assert (to_array(one, "float16") == 3).all()
