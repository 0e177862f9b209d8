"""Networks on the built-in primitive run on the CPU unchanged and give the reference's pages."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mutable

from ms_scatter_pa import write_reference

from .networks import AttentionLayer, InferenceAttention, KeyOnlyManager, Model, PagedAttentionManager

BLOCKS, BLOCK_SIZE, HEADS, SIZE = 5, 4, 2, 8
HIDDEN = HEADS * SIZE
SHAPE = (BLOCKS, BLOCK_SIZE, HEADS, SIZE)
DTYPES = {"float16": ms.float16, "bfloat16": ms.bfloat16, "int8": ms.int8, "uint8": ms.uint8}


def rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-100, 100, (count, HIDDEN)).astype(np.float16)


def expect(cache: np.ndarray, key: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """``cache`` after a write, by the package's definition of the operator."""
    after = cache.copy()
    write_reference(key.reshape(-1, HEADS, SIZE), None, after, None, slots, layout="Norm")
    return after


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["[T, N*D]", "[B, S, N*D]", "[1, T, N*D]"])
def test_manager_prefill_then_decode(mode, form, index):
    network = InferenceAttention(HEADS, SIZE, SHAPE)
    prompt, step = rows(6, 1), rows(2, 2)
    shape = {"[T, N*D]": (6, HIDDEN), "[B, S, N*D]": (2, 3, HIDDEN), "[1, T, N*D]": (1, 6, HIDDEN)}[form]
    slots = np.array([4, 5, 6, -1, 12, 13], index)
    tables = np.array([[1], [3]], np.int32)
    query = Tensor(np.zeros(shape, np.float16))
    network(query, Tensor(prompt.reshape(shape)), Tensor(-prompt.reshape(shape)), Tensor(slots), Tensor(tables))
    expected = expect(np.zeros(SHAPE, np.float16), prompt, slots)
    manager = network.paged_attention_mgr
    np.testing.assert_array_equal(manager.key_cache.asnumpy(), expected)
    np.testing.assert_array_equal(manager.value_cache.asnumpy(), -expected)

    slots = np.array([7, 14], index)
    shape = (2, HIDDEN) if len(shape) == 2 else (2, 1, HIDDEN)
    _, keys = network(
        Tensor(np.zeros(shape, np.float16)),
        *(Tensor(sign * step.reshape(shape)) for sign in (1, -1)),
        Tensor(slots),
        Tensor(tables),
    )
    expected = expect(expected, step, slots)
    np.testing.assert_array_equal(keys.asnumpy(), expected[[1, 3]].astype(np.float32))
    np.testing.assert_array_equal(manager.value_cache.asnumpy(), -expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_admitted_dtype_bit_for_bit(mode, dtype):
    bits = np.random.default_rng(3).integers(0, 256, (3, HIDDEN * 2), np.uint8)
    key = (bits.view(np.float16) if dtype.endswith("16") else bits[:, :HIDDEN]).copy()
    numbers = {"bfloat16": key.view(np.uint16)}.get(dtype, key)
    if dtype == "bfloat16":
        import ml_dtypes

        key = key.view(ml_dtypes.bfloat16)
    elif dtype == "int8":
        key = key.view(np.int8)
    manager = PagedAttentionManager(HEADS, SIZE, SHAPE, DTYPES[dtype])
    slots = np.array([19, 0, -7], np.int32)
    manager(Tensor(key), Tensor(key), Tensor(slots))
    expected = expect(np.zeros(SHAPE, numbers.dtype), numbers, slots)
    for cache in (manager.key_cache, manager.value_cache):
        np.testing.assert_array_equal(cache.asnumpy().view(numbers.dtype), expected)


def test_key_only_and_a_cache_of_flat_channels(mode):
    network = KeyOnlyManager((BLOCKS, BLOCK_SIZE, HIDDEN))
    key, slots = rows(3, 4), np.array([2, -1, 9], np.int32)
    network(Tensor(key), Tensor(slots))
    expected = expect(np.zeros(SHAPE, np.float16), key, slots)
    np.testing.assert_array_equal(network.key_cache.asnumpy().reshape(SHAPE), expected)


def test_int8_keys_beside_float16_values(mode):
    network = AttentionLayer()
    caches = [Tensor(np.zeros(SHAPE, dtype)) for dtype in (np.int8, np.float16)]
    key, value, slots = rows(2, 5).astype(np.int8), rows(2, 6), np.array([11, 3], np.int32)
    network(Tensor(key), Tensor(value), *caches, Tensor(slots))
    np.testing.assert_array_equal(caches[0].asnumpy(), expect(np.zeros(SHAPE, np.int8), key, slots))
    np.testing.assert_array_equal(caches[1].asnumpy(), expect(np.zeros(SHAPE, np.float16), value, slots))


@pytest.mark.parametrize("holder", ["tensors", "parameters"])
def test_caches_as_arguments(mode, holder):
    network = AttentionLayer()
    caches = [Tensor(np.zeros(SHAPE, np.float16)) for _ in range(2)]
    if holder == "parameters":
        caches = [Parameter(cache, name=f"cache{i}", requires_grad=False) for i, cache in enumerate(caches)]
    expected = np.zeros(SHAPE, np.float16)
    for seed, slots in ((7, [4, -1, 6]), (8, [5, 6, 7])):
        key, slots = rows(3, seed), np.array(slots, np.int32)
        network(Tensor(key), Tensor(-key), *caches, Tensor(slots))
        expected = expect(expected, key, slots)
    np.testing.assert_array_equal(caches[0].asnumpy(), expected)
    np.testing.assert_array_equal(caches[1].asnumpy(), -expected)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("wrap", [list, mutable], ids=["list", "mutable"])
def test_lists_of_caches_as_arguments(mode, wrap, dynamic):
    layers = 2
    network = Model(layers)
    key_caches, value_caches = ([Tensor(np.zeros(SHAPE, np.float16)) for _ in range(layers)] for _ in range(2))
    if dynamic:
        unknown = [Tensor(shape=[None, *SHAPE[1:]], dtype=ms.float16) for _ in range(layers)]
        network.set_inputs(
            Tensor(shape=[None, HIDDEN], dtype=ms.float16),
            *(mutable(list(unknown)) for _ in range(2)),
            Tensor(shape=[None], dtype=ms.int32),
        )
        wrap = mutable
    expected = [[np.zeros(SHAPE, np.float16) for _ in range(layers)] for _ in range(2)]
    for count, slots in ((3, [0, 17, -1]), (1, [18]), (4, [1, 2, 3, -1])) if dynamic else ((2, [0, 17]), (2, [-1, 18])):
        hidden, slots = rows(count, count), np.array(slots, np.int32)
        result = network(Tensor(hidden), wrap(key_caches), wrap(value_caches), Tensor(slots))
        for layer in range(layers):
            expected[0][layer] = expect(expected[0][layer], hidden + np.float16(2 * layer), slots)
            expected[1][layer] = expect(expected[1][layer], hidden + np.float16(2 * layer + 1), slots)
        np.testing.assert_array_equal(result.asnumpy(), hidden + 2 * layers)
    for layer in range(layers):
        np.testing.assert_array_equal(key_caches[layer].asnumpy(), expected[0][layer])
        np.testing.assert_array_equal(value_caches[layer].asnumpy(), expected[1][layer])


def test_no_token_is_a_no_op(mode):
    manager = PagedAttentionManager(HEADS, SIZE, SHAPE)
    manager.set_inputs(*[Tensor(shape=[None, HIDDEN], dtype=ms.float16)] * 2, Tensor(shape=[None], dtype=ms.int32))
    empty = Tensor(np.zeros((0, HIDDEN), np.float16))
    manager(empty, empty, Tensor(np.zeros(0, np.int32)))
    assert not manager.key_cache.asnumpy().any()


def test_all_slots_negative_is_a_no_op(mode):
    manager = PagedAttentionManager(HEADS, SIZE, SHAPE)
    manager(Tensor(rows(2, 1)), Tensor(rows(2, 1)), Tensor(np.array([-1, -5], np.int32)))
    assert not manager.key_cache.asnumpy().any()


@pytest.mark.parametrize("slot", [BLOCKS * BLOCK_SIZE, 2**31 - 1])
def test_a_bad_slot_is_an_index_error_and_nothing_is_written(mode, slot):
    manager = PagedAttentionManager(HEADS, SIZE, SHAPE)
    key = Tensor(rows(3, 1))
    sentence = rf"slot_mapping\[1\] = {slot} is outside the cache.*; ReshapeAndCache wrote nothing"
    with pytest.raises(IndexError, match=sentence):
        manager(key, key, Tensor(np.array([0, slot, 1], np.int32)))
        manager.key_cache.asnumpy()
    assert not manager.key_cache.asnumpy().any()


@pytest.mark.parametrize(
    "sides",
    [("first", "second"), ("whole", "second"), ("second", "whole")],
    ids=str,
)
def test_a_graph_refuses_views_and_names_them(sides):
    """It hands them over with the address of their whole tensor: a write would go to the wrong blocks."""
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        both, whole = Tensor(np.zeros((2, *SHAPE), np.float16)), Tensor(np.zeros(SHAPE, np.float16))
        given = {"first": both[0], "second": both[1], "whole": whole}
        key, slots = Tensor(rows(2, 1)), Tensor(np.array([3, 1], np.int32))
        name = "value_cache" if sides[0] == "whole" else "key_cache"
        with pytest.raises(ValueError, match=rf"{name}: given a view .* whole Tensor.*; ReshapeAndCache wrote nothing"):
            AttentionLayer()(key, key, *(given[side] for side in sides), slots).asnumpy()
        assert not both.asnumpy().any()
        assert not whole.asnumpy().any()
        with pytest.raises(
            ValueError, match=r"value_cache overlaps key_cache in memory.*; ReshapeAndCache wrote nothing"
        ):
            AttentionLayer()(key, key, whole, whole, slots).asnumpy()
        assert not whole.asnumpy().any()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_a_wrong_hidden_size_is_a_value_error(mode):
    manager = PagedAttentionManager(HEADS, SIZE, SHAPE)
    key = Tensor(np.zeros((2, HIDDEN + 1), np.float16))
    with pytest.raises(ValueError, match=f"key: given a hidden size of {HIDDEN + 1}, expected {HIDDEN} as key_cache"):
        manager(key, key, Tensor(np.array([0, 1], np.int32)))
        manager.key_cache.asnumpy()


@pytest.mark.parametrize("absent", ["key_cache", "value", "value_cache", "slot_mapping"])
def test_mindspore_refuses_what_is_half_given(mode, absent):
    """The primitive's own front end; the kernel relies on it."""
    key, cache = Tensor(rows(1, 1)), Tensor(np.zeros(SHAPE, np.float16))
    given = {"key": key, "value": key, "key_cache": cache, "value_cache": cache}
    given["slot_mapping"] = Tensor(np.array([0], np.int32))
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        AttentionLayer()(*{**given, absent: None}.values()).asnumpy()
