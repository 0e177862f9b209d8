"""``reshape_and_cache`` with ms_custom_ops' signature: every dtype, ND and NZ, both modes, against the reference."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from ms_scatter_pa import reshape_and_cache, write_reference
from tests.support.arrays import DTYPE_NAMES, as_bytes, random_array, to_array, to_tensor

TOKENS, BLOCKS, BLOCK_SIZE, HEADS, SIZE = 4, 3, 4, 2, 32
HIDDEN = HEADS * SIZE
SLOTS = np.array([11, -1, 4, 5], np.int32)


class All(nn.Cell):
    def construct(self, key, value, key_cache, value_cache, slot_map, cache_mode, head_num=0):
        return reshape_and_cache(key, value, key_cache, value_cache, slot_map, cache_mode, head_num)


class KeyOnly(nn.Cell):
    def construct(self, key, key_cache, slot_map, cache_mode):
        return reshape_and_cache(key, key_cache=key_cache, slot_mapping=slot_map, cache_mode=cache_mode)


FORMS = ("ND", "ND, 3-D", "NZ")


def shape_of(form: str, itemsize: int) -> tuple[int, ...]:
    last = 32 // itemsize
    return {
        "ND": (BLOCKS, BLOCK_SIZE, HEADS, SIZE),
        "ND, 3-D": (BLOCKS, BLOCK_SIZE, HIDDEN),
        "NZ": (BLOCKS, HIDDEN // last, BLOCK_SIZE, last),
    }[form]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPE_NAMES)
def test_writes_what_the_reference_writes(mode, dtype, form):
    """As a graph, which compiles for a second or two, each dtype in one form."""
    if mode == "graph" and DTYPE_NAMES.index(dtype) % len(FORMS) != FORMS.index(form):
        return
    rng = np.random.default_rng(1)
    key, value = (random_array(rng, (TOKENS, HEADS, SIZE), dtype) for _ in range(2))
    shape = shape_of(form, key.itemsize)
    caches = [random_array(rng, shape, dtype) for _ in range(2)]
    tensors = [to_tensor(cache, dtype) for cache in caches]
    rows = {"ND": (TOKENS, HIDDEN), "ND, 3-D": (2, 2, HIDDEN), "NZ": (TOKENS, HEADS, SIZE)}[form]
    status = All()(
        *(to_tensor(array.reshape(rows), dtype) for array in (key, value)),
        *tensors,
        Tensor(SLOTS),
        int(form == "NZ"),
        HEADS,
    )
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    layout = "PA_NZ" if form == "NZ" else "Norm"
    as_reference = [cache.reshape(BLOCKS, BLOCK_SIZE, HEADS, SIZE) if layout == "Norm" else cache for cache in caches]
    write_reference(key, value, *as_reference, SLOTS, layout=layout, dtype=dtype)
    for tensor, cache in zip(tensors, caches, strict=True):
        np.testing.assert_array_equal(as_bytes(to_array(tensor, dtype)), as_bytes(cache))


def test_key_only_by_keyword(mode):
    key = np.arange(TOKENS * HIDDEN, dtype=np.float16).reshape(1, TOKENS, HIDDEN)
    cache = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    KeyOnly()(Tensor(key), cache, Tensor(SLOTS.astype(np.int64)), 0)
    np.testing.assert_array_equal(cache.asnumpy().reshape(-1, HIDDEN)[[11, 4, 5]], key[0, [0, 2, 3]])


def test_a_view_is_written_in_pynative():
    """The built-in primitive cannot: MindSpore hands its CPU kernel a copy."""
    both = Tensor(np.zeros((2, BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    key = Tensor(np.ones((1, HIDDEN), np.float16))
    reshape_and_cache(key, key, both[0], both[1], Tensor(np.array([3], np.int32)))
    assert both.asnumpy().sum() == 2 * HIDDEN


def test_a_bad_slot_is_refused(mode):
    cache = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    key, slots = Tensor(np.ones((1, HIDDEN), np.float16)), Tensor(np.array([BLOCKS * BLOCK_SIZE], np.int32))
    with pytest.raises((IndexError, RuntimeError), match=r"slot_mapping\[0\] = 12"):
        KeyOnly()(key, cache, slots, 0)
        cache.asnumpy()
    assert not cache.asnumpy().any()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"cache_mode": 2}, ValueError),
        ({"cache_mode": "Norm"}, TypeError),
        ({"cache_mode": True}, TypeError),
        ({"head_num": -1}, ValueError),
        ({"key_cache": None}, TypeError),
        ({"slot_mapping": None}, TypeError),
        ({"value": None}, ValueError),
    ],
    ids=str,
)
def test_what_is_refused(arguments, error):
    cache = Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16))
    key = Tensor(np.ones((1, HIDDEN), np.float16))
    call = {"key": key, "value": key, "key_cache": cache, "value_cache": Tensor(cache.asnumpy().copy())}
    call["slot_mapping"] = Tensor(np.array([0], np.int32))
    with pytest.raises(error, match=next(iter(arguments)).removesuffix("_cache")):
        reshape_and_cache(**{**call, **arguments})


def test_the_module_does_not_hide_the_function():
    import ms_scatter_pa

    assert callable(ms_scatter_pa.reshape_and_cache)
