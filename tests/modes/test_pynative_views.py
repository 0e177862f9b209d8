"""PyNative: a cache is memory. The base of a contiguous view at any offset sees the write; strided ones are refused."""

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.cpu.eager import call_through_pointers
from tests.support.arrays import FLOATS_OF_8_BITS, random_array, to_array, to_tensor
from tests.support.small import BS, CACHE, NB, D, N, put, same, step

Write = Callable[[Any, Any, Any], Any]


def functional(key: Any, cache: Any, slot_mapping: Any) -> Any:
    return npu_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, cache_mode="Norm")


def pointers(key: Any, cache: Any, slot_mapping: Any) -> Any:
    modes = ("Norm", None, "raise", False, None)
    return call_through_pointers(key, None, cache, None, slot_mapping, None, None, None, *modes)


@pytest.fixture(params=[functional, pointers], ids=["functional", "pointers"])
def write(request: pytest.FixtureRequest) -> Write:
    return request.param


# Each view, and the same view of a NumPy array.
VIEWS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "the first of a pair, kv[0]": ((2, *CACHE), lambda base: base[0], lambda array: array[0]),
    "the second of a pair, kv[1]": ((2, *CACHE), lambda base: base[1], lambda array: array[1]),
    "select": ((3, *CACHE), lambda base: mint.select(base, 0, 2), lambda array: array[2]),
    "blocks 3 to 6": ((9, *CACHE[1:]), lambda base: base[3:7], lambda array: array[3:7]),
    "narrow": ((9, *CACHE[1:]), lambda base: mint.narrow(base, 0, 5, 4), lambda array: array[5:9]),
    "view of a flat buffer": ((NB * BS * N * D,), lambda base: base.view(*CACHE), lambda array: array.reshape(CACHE)),
    "view of a part of a flat buffer": (
        (7 + NB * BS * N * D,),
        lambda base: base[7:].view(*CACHE),
        lambda array: array[7:].reshape(CACHE),
    ),
    "reshape": ((NB * BS, N * D), lambda base: base.reshape(CACHE), lambda array: array.reshape(CACHE)),
    "a view of a view": ((2, 3, *CACHE), lambda base: base[1][2], lambda array: array[1, 2]),
    "split": ((2 * NB, *CACHE[1:]), lambda base: mint.split(base, NB)[1], lambda array: array[NB:]),
}


@pytest.mark.parametrize("hold", [Tensor, lambda a: Parameter(Tensor(a), name="base")], ids=["tensor", "parameter"])
@pytest.mark.parametrize("name", VIEWS)
def test_the_base_of_a_contiguous_view_sees_the_write(name: str, hold: Callable[[Any], Any], write: Write) -> None:
    shape, of_tensor, of_array = VIEWS[name]
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float16)
    base = hold(array)
    view = of_tensor(base)
    for seed in range(3):
        key, _, slot_mapping = step(seed)
        write(Tensor(key), view, Tensor(slot_mapping))
        part = of_array(array)
        part[...] = put(part, slot_mapping, key)
        assert same(base, array) and same(view, part)


def test_parameter_value_is_written_as_by_mindspores_own_operators(write: Write) -> None:
    """MindSpore 2.10 gives a copy; should it give the Parameter's memory one day, the Parameter must see the write."""
    array = np.random.default_rng(1).standard_normal(CACHE).astype(np.float16)
    parameter = Parameter(Tensor(array), name="cache")
    control = Parameter(Tensor(array), name="control")
    control.value().copy_(Tensor(array + 1))
    shares = not same(control, array)
    key, _, slot_mapping = step(1)
    value = parameter.value()
    write(Tensor(key), value, Tensor(slot_mapping))
    want = put(array, slot_mapping, key)
    assert same(value, want)
    assert same(parameter, want if shares else array)


def test_memory_shared_with_numpy_sees_the_write(write: Write) -> None:
    array = np.random.default_rng(1).standard_normal(CACHE).astype(np.float16)
    want = array.copy()
    key, _, slot_mapping = step(1)
    write(Tensor(key), Tensor.from_numpy(array), Tensor(slot_mapping)).asnumpy()
    assert np.array_equal(array, put(want, slot_mapping, key))


def test_a_float8_view_is_written(write: Write) -> None:
    """float8 tensors cannot be indexed on CPU; ``mint.select`` makes their views."""
    rng = np.random.default_rng(1)
    array = random_array(rng, (2, *CACHE), "float8_e5m2")
    base = to_tensor(array, "float8_e5m2")
    key = random_array(rng, (3, N, D), "float8_e5m2")
    slot_mapping = np.array([4, -1, 9], np.int32)
    write(to_tensor(key, "float8_e5m2"), mint.select(base, 0, 1), Tensor(slot_mapping))
    array[1] = put(array[1], slot_mapping, key)
    assert np.array_equal(to_array(base, "float8_e5m2").view(np.uint8), array.view(np.uint8))


STRIDED: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda base: mint.transpose(base, 1, 2),
    "every second row of a block": lambda base: base[:, ::2],
    "half of each row": lambda base: base[:, :, :, : D // 2],
    "one head": lambda base: base[:, :, :1],
}


@pytest.mark.parametrize("name", STRIDED)
def test_a_strided_view_is_refused_and_the_base_unchanged(name: str, write: Write) -> None:
    array = np.random.default_rng(1).standard_normal((NB, BS, N, D)).astype(np.float16)
    base = Tensor(array)
    view = STRIDED[name](base)
    key = np.zeros((2, *view.shape[2:]), np.float16)
    with pytest.raises(ValueError, match=r"^key_cache: given a view of shape .* or strided along axis 0 only$"):
        write(Tensor(key), view, Tensor(np.array([0, 1], np.int32)))
    assert same(base, array)


# Rows may be strided in any way.
ROWS: dict[str, Callable[[Any], Any]] = {
    "transposed heads": lambda x: mint.transpose(mint.transpose(x, 0, 1).contiguous(), 0, 1),
    "innermost dimension strided": lambda x: mint.transpose(mint.transpose(x, 0, 2).contiguous(), 0, 2),
    "a part of a fused projection": lambda x: mint.cat((x + 1, x, x + 2), -1)[:, :, D : 2 * D],
    "every second token": lambda x: mint.cat((x, x + 1), 1).reshape(-1, N, D)[::2],
    "one row for every token": lambda x: mint.broadcast_to(x[:1], x.shape),
    "one element for every channel": lambda x: mint.broadcast_to(x[:, :, :1], x.shape),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_any_stride(name: str, write: Write) -> None:
    for seed in range(3):
        plain, _, slot_mapping = step(seed)
        rows = ROWS[name](Tensor(plain))
        assert not rows.is_contiguous()
        want = np.ascontiguousarray(rows.contiguous().asnumpy()).copy()
        cache = np.random.default_rng(seed).standard_normal(CACHE).astype(np.float16)
        tensor = Tensor(cache)
        write(ROWS[name](Tensor(plain)), tensor, Tensor(slot_mapping))
        assert same(tensor, put(cache, slot_mapping, want))


@pytest.mark.parametrize("dtype", [*FLOATS_OF_8_BITS, "bfloat16", "uint32"])
@pytest.mark.parametrize("order", [(0, 1), (0, 2), (1, 2)])
def test_strided_rows_of_dtypes_that_mindspore_cannot_copy(dtype: str, order: tuple[int, int], write: Write) -> None:
    rng = np.random.default_rng(1)
    key, cache = random_array(rng, (5, N, D), dtype), random_array(rng, CACHE, dtype)
    strided = mint.transpose(to_tensor(key.swapaxes(*order), dtype), *order)
    assert not strided.is_contiguous() and tuple(strided.shape) == key.shape
    tensor, slot_mapping = to_tensor(cache, dtype), np.array([3, -1, 8, 9, 31], np.int32)
    write(strided, tensor, Tensor(slot_mapping))
    want = put(cache, slot_mapping, key)
    assert np.array_equal(to_array(tensor, dtype).view(np.uint8), want.view(np.uint8))


@pytest.mark.parametrize("flat", [False, True])
def test_flattened_rows_and_strided_index_tensors(flat: bool, write: Write) -> None:
    key, _, slot_mapping = step(1, 6)
    fused = Tensor(np.concatenate([key.reshape(2, 3, -1), key.reshape(2, 3, -1)], -1))
    rows = fused[:, :, : N * D] if flat else Tensor(key)
    wide = Tensor(np.stack([slot_mapping, slot_mapping * 0 - 7], 1))
    assert not wide[:, 0].is_contiguous()
    cache = np.random.default_rng(1).standard_normal(CACHE).astype(np.float16)
    tensor = Tensor(cache)
    write(rows, tensor, wide[:, 0])
    assert same(tensor, put(cache, slot_mapping, key))


def test_strided_rows_and_indices_of_a_compressed_mode() -> None:
    from tests.support.cases import Spec
    from tests.support.entries import assert_same_bits, run_functional
    from tests.support.examples import example_case

    case = example_case(Spec("Rope", "float16", batch=3), seed=3, padding=0.0)
    plain = run_functional(case)
    arrays = case.arrays
    key = mint.transpose(Tensor(np.ascontiguousarray(arrays["key"].swapaxes(1, 2))), 1, 2)
    value = mint.transpose(Tensor(np.ascontiguousarray(arrays["value"].swapaxes(0, 3))), 0, 3)
    indices = [
        mint.transpose(Tensor(np.ascontiguousarray(arrays[n].T)), 0, 1) for n in ("slot_mapping", "compress_lens")
    ]
    assert not any(tensor.is_contiguous() for tensor in (key, value, *indices))
    key_cache, value_cache = Tensor(arrays["key_cache"]), Tensor(arrays["value_cache"])
    npu_scatter_pa_kv_cache(
        key,
        value,
        key_cache,
        value_cache,
        indices[0],
        compress_lens=indices[1],
        compress_seq_offsets=Tensor(arrays["compress_seq_offsets"]),
        seq_lens=Tensor(arrays["seq_lens"]),
    )
    assert_same_bits(to_array(key_cache, "float16"), plain.key_cache, "float16")
    assert_same_bits(to_array(value_cache, "float16"), plain.value_cache, "float16")


def test_a_view_given_to_a_graph_is_never_lost_in_silence() -> None:
    """MindSpore refuses a view as input of a graph that writes it, or lets the write through."""
    base = Tensor(np.zeros((2, *CACHE), np.float16))
    key, _, slot_mapping = step(1)
    compiled = ms.jit(functional)
    try:
        compiled(Tensor(key), base[1], Tensor(slot_mapping)).asnumpy()
    except RuntimeError as error:
        assert "does not support view input" in str(error)
    else:
        assert same(base[1], put(np.zeros(CACHE, np.float16), slot_mapping, key))
