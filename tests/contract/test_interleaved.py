"""Caches whose blocks are interleaved in one pool, as serving stacks hold them: every layout, dtype, block size and way
in writes what the reference writes, bit for bit, and not one byte of the blocks in between."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mindspore import Tensor, mint

from ms_scatter_pa import (
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
    quant_scatter_reference,
)
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.support import pools
from tests.support.arrays import DTYPE_NAMES, PARAMETER_DTYPES, random_array, to_array, to_tensor
from tests.support.cases import ROWS, Spec
from tests.support.examples import example_case
from tests.support.random_calls import cases, specs

BLOCK_SIZES = (1, 2, 3, 8, 16, 33, 64, 128)


@pytest.mark.parametrize("entry", pools.ENTRIES)
@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_table(row: str, entry: str) -> None:
    dtypes = PARAMETER_DTYPES if entry == "cell" else DTYPE_NAMES

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
    @given(st.data())
    def run(data: st.DataObject) -> None:
        spec = data.draw(specs(dtypes=dtypes, **ROWS[row]))
        case = data.draw(cases(spec))
        assume(pools.fits(entry, case))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        pools.check_pools(case, entry, rng, data.draw(pools.numbers_of_parts))

    if entry != "compat" or ROWS[row]["row"] in ("Norm", "PA_NZ"):
        run()


@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize("row", ["PA_NZ", "Norm", "NHSD", "Alibi", "Rope", "Omni"])
def test_every_dtype_and_block_size(row: str, dtype: str) -> None:
    for number, block_size in enumerate(BLOCK_SIZES):
        tokens = 3 * block_size if block_size < 64 else block_size + 5
        spec = Spec(
            row,
            dtype,
            tokens=tokens,
            heads=2,
            key_size=32,
            value_size=32,
            batch=2,
            seq=min(tokens, 40),
            blocks=-(-4 * 40 // block_size) + 4,
            block_size=block_size,
        )
        for seed in range(2):
            case = example_case(spec, 100 * number + seed)
            pools.check_pools(case, "functional", np.random.default_rng(seed), 2)


@pytest.mark.parametrize("entry", ["functional", "pointers"])
@pytest.mark.parametrize("row", ["PA_NZ", "Norm", "NHSD", "Alibi", "Rope", "Omni"])
def test_a_bad_slot_writes_nothing(row: str, entry: str) -> None:
    spec = Spec(row, key_size=16, value_size=16, blocks=8)
    case = example_case(spec, 1, padding=0)
    slots = case.arrays["slot_mapping"]
    assert slots is not None
    slots.reshape(-1)[-1] = spec.capacity
    held = pools.make_pools(case, np.random.default_rng(2), 2)
    with pytest.raises(IndexError, match=rf"slot_mapping\[{slots.size - 1}\] = {spec.capacity}"):
        pools.ENTRIES[entry](case, pools.pool_tensors(case, held)).asnumpy()  # where a queued call raises
    assert held["key_cache"] is held["value_cache"]
    got = to_array(held["key_cache"].tensor, "float16")
    assert got.tobytes() == held["key_cache"].before.tobytes()


def test_padding_alone_writes_nothing() -> None:
    case = example_case(Spec("Norm", key_size=16, value_size=16), 1)
    slots = case.arrays["slot_mapping"]
    assert slots is not None
    slots[...] = -1
    pools.check_pools(case, "functional", np.random.default_rng(2), 2)


def test_threads_on_disjoint_blocks_of_one_pool() -> None:
    """Two threads write other blocks of one pool at once, each K and V, many times: every row is there at the end."""
    blocks, block_size, heads, size, rounds = 64, 16, 4, 64, 20
    rng = np.random.default_rng(3)
    pool = Tensor(np.zeros((blocks, 2, block_size, heads, size), np.float16))
    key_cache, value_cache = pool[:, 0], pool[:, 1]
    half = blocks // 2 * block_size
    rows = [[rng.standard_normal((half, heads, size)).astype(np.float16) for _ in range(2)] for _ in range(2)]
    failures: list[BaseException] = []

    def write(part: int) -> None:
        # Every other block is this thread's.
        mine = np.arange(part, blocks, 2)
        slots = Tensor((mine[:, None] * block_size + np.arange(block_size)).reshape(-1).astype(np.int64))
        key, value = (Tensor(r) for r in rows[part])
        try:
            for _ in range(rounds):
                npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slots, cache_mode="Norm").asnumpy()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    got = pool.asnumpy()
    for part in range(2):
        for side in range(2):
            assert got[part::2, side].tobytes() == rows[part][side].tobytes()


def test_layers_of_one_pool() -> None:
    """[num_blocks, num_layers, 2, ...]: the stride is that of all layers."""
    rng = np.random.default_rng(4)
    pool = random_array(rng, (6, 3, 2, 4, 2, 16), "float16")
    tensor = Tensor(pool)
    key, value = (random_array(rng, (5, 2, 16), "float16") for _ in range(2))
    slots = np.array([3, 4, 5, -1, 23], np.int32)
    npu_scatter_pa_kv_cache(
        Tensor(key), Tensor(value), tensor[:, 1, 0], tensor[:, 1, 1], Tensor(slots), cache_mode="Norm"
    )
    for row, slot in enumerate(slots.tolist()):
        if slot >= 0:
            pool[slot // 4, 1, 0, slot % 4] = key[row]
            pool[slot // 4, 1, 1, slot % 4] = value[row]
    assert tensor.asnumpy().tobytes() == pool.tobytes()


BAD_VIEWS = {
    "transposed": lambda pool: mint.transpose(pool[:, 0], 1, 2),
    "half of each row": lambda pool: pool[:, 0, :, :, :8],
    "one head": lambda pool: pool[:, 0, :, :1],
    "every other row of a block": lambda pool: pool[:, 0, ::2],
    "one block for all": lambda pool: mint.broadcast_to(pool[:1, 0], (4, 4, 2, 16)),
}


@pytest.mark.parametrize("entry", ["functional", "pointers", "quantising"])
@pytest.mark.parametrize("name", BAD_VIEWS)
def test_any_other_stride_is_refused(name: str, entry: str) -> None:
    dtype = "int8" if entry == "quantising" else "float16"
    array = random_array(np.random.default_rng(5), (4, 2, 4, 2, 16), dtype)
    pool = Tensor(array)
    cache = BAD_VIEWS[name](pool)
    key = Tensor(np.ones((2, *cache.shape[2:]), np.float16))
    slots = Tensor(np.array([0, 1], np.int32))
    with pytest.raises(ValueError, match=r"^key_cache: given a view of shape .* with strides .*, expected "):
        if entry == "functional":
            npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")
        elif entry == "pointers":
            absent = [None] * 3
            pools.call_through_pointers(key, None, cache, None, slots, *absent, "Norm", None, "raise", False, None)
        else:
            scale = Tensor(np.ones(1, np.float32))
            quant_scatter_pa_kv_cache(key, None, cache, None, slots, key_scale=scale, cache_mode="Norm")
    assert pool.asnumpy().tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((0, 0), "value_cache overlaps key_cache"),
        ((slice(0, 3), slice(1, 4)), "value_cache overlaps key_cache"),
        ((0, 1), None),
    ],
)
def test_overlap_is_what_is_touched(parts: tuple[Any, Any], says: str | None) -> None:
    """K and V of one pool do not overlap; two views of the same blocks do."""
    pool = Tensor(np.zeros((4, 2, 4, 2, 16), np.float16))
    caches = [pool[:, part] if isinstance(part, int) else pool[part, 0] for part in parts]
    key = Tensor(np.ones((2, 2, 16), np.float16))
    slots = Tensor(np.array([0, 5], np.int32))
    if says is None:
        status = npu_scatter_pa_kv_cache(key, key, *caches, slots, cache_mode="Norm")
        assert status.asnumpy().tolist() == [0, 0, 0, 0]
        return
    with pytest.raises(ValueError, match=says):
        npu_scatter_pa_kv_cache(key, key, *caches, slots, cache_mode="Norm").asnumpy()
    assert not pool.asnumpy().any()


def test_rows_from_between_the_blocks() -> None:
    """Rows that lie in the pool's other half are no part of the cache."""
    array = random_array(np.random.default_rng(6), (4, 2, 4, 2, 16), "float16")
    pool = Tensor(array)
    key = pool[2, 1]
    npu_scatter_pa_kv_cache(key, None, pool[:, 0], None, Tensor(np.arange(4, dtype=np.int32)), cache_mode="Norm")
    array[0, 0] = array[2, 1]
    assert pool.asnumpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("entry", ["functional", "pointers"])
def test_caches_of_two_strides_touch_what_they_hold(entry: str) -> None:
    """Four blocks one after another, and every other one of eight, of one pool: no byte is in both."""
    array = random_array(np.random.default_rng(8), (8, 2, 4, 2, 16), "float16")
    pool, key = Tensor(array), np.ones((2, 2, 16), np.float16)
    call = (Tensor(key), Tensor(key), pool[0:4, 0], pool[0:8:2, 1], Tensor(np.array([5, 15], np.int32)))
    if entry == "functional":
        npu_scatter_pa_kv_cache(*call, cache_mode="Norm")
    else:
        pools.call_through_pointers(*call, None, None, None, "Norm", None, "raise", False, None)
    array[1, 0, 1], array[3, 0, 3] = key
    array[2, 1, 1], array[6, 1, 3] = key
    assert pool.asnumpy().tobytes() == array.tobytes()
    touching = (*call[:3], pool[0:8:2, 0], call[4])
    with pytest.raises(ValueError, match="value_cache overlaps key_cache in memory"):
        npu_scatter_pa_kv_cache(*touching, cache_mode="Norm").asnumpy()
    assert pool.asnumpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("entry", ["functional", "pointers"])
def test_one_half_of_a_pool_is_copied_into_the_other(entry: str) -> None:
    """Rows at the distance of blocks, and [B, S, N*D] rows that are all of V's half."""
    array = random_array(np.random.default_rng(9), (4, 2, 4, 2, 16), "float16")
    pool = Tensor(array)
    for key, slots in (
        (pool[:, 1, 2], np.array([3, 4, 8, 15], np.int32)),
        (pool.view(4, 2, 4, 32)[:, 1], np.arange(16, dtype=np.int32)),
    ):
        if entry == "functional":
            npu_scatter_pa_kv_cache(key, None, pool[:, 0], None, Tensor(slots), cache_mode="Norm")
        else:
            absent = (None, None, None, "Norm", None, "raise", False, None)
            pools.call_through_pointers(key, None, pool[:, 0], None, Tensor(slots), *absent)
        rows = array[:, 1, 2] if len(slots) == 4 else array[:, 1].reshape(16, 2, 16)
        for row, slot in zip(rows, slots.tolist(), strict=True):
            array[slot // 4, 0, slot % 4] = row
        assert pool.asnumpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("code", ["int8", "float8_e4m3fn"])
@pytest.mark.parametrize("layout", CACHE_MODES)
def test_a_quantised_pool(layout: str, code: str) -> None:
    """The quantising write and the gather, on K and V of one pool with scales of one pool."""
    rng = np.random.default_rng(7)
    shape = {"Norm": (4, 2, 32), "NHSD": (2, 4, 32), "PA_NZ": (2, 4, 32)}[layout]
    scale_shape = (2, 4, 1) if layout == "NHSD" else (4, 2)
    array = random_array(rng, (5, 2, *shape), code)
    scales = rng.random((5, 2, *scale_shape), np.float32)
    pool, scale_pool = to_tensor(array, code), Tensor(scales)
    caches = [mint.select(pool, 1, i) for i in range(2)]
    scale_caches = [scale_pool[:, i] for i in range(2)]
    key, value = (rng.standard_normal((6, 2, 32)).astype(np.float16) for _ in range(2))
    slots = np.array([3, 4, -1, 19, 0, 8], np.int32)
    status = quant_scatter_pa_kv_cache(
        Tensor(key),
        Tensor(value),
        *caches,
        Tensor(slots),
        key_scale_cache=scale_caches[0],
        value_scale_cache=scale_caches[1],
        cache_mode=layout,
    )
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    parts = [array[:, i].copy() for i in range(2)]
    scale_parts = [scales[:, i].copy() for i in range(2)]
    want = quant_scatter_reference(
        key,
        value,
        *parts,
        slots,
        layout=layout,
        key_scale_cache=scale_parts[0],
        value_scale_cache=scale_parts[1],
    )
    assert want == [0, 0, 0, 0]
    for i in range(2):
        array[:, i], scales[:, i] = parts[i], scale_parts[i]
    assert to_array(pool, code).tobytes() == array.tobytes()
    assert scale_pool.asnumpy().tobytes() == scales.tobytes()

    back = Tensor(np.zeros((4, 2, 32), np.float16))
    npu_gather_pa_kv_cache(
        caches[0],
        None,
        Tensor(np.array([[4]], np.int32)),
        Tensor(np.array([4], np.int32)),
        back,
        None,
        key_scale_cache=scale_caches[0],
        cache_mode=layout,
    )
    assert np.allclose(back.asnumpy()[3], key[3], atol=0.1)
