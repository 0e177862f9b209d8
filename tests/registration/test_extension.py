"""PyNative through the extension that ``build-ascend`` compiles, its launches reaching the host model."""

import ctypes

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.ascend import eager
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.ascend.ascend_contract import run, same_bits
from tests.registration.registration_cases import BLOCK_SIZE, BLOCKS, CASES, DK, HEADS, pair_case, token_case

pytestmark = pytest.mark.usefixtures("with_extension")


def address(library, index):
    """Where an input of the last launch lay."""
    library.ModelAddress.restype = ctypes.c_int64
    return library.ModelAddress(ctypes.c_int64(index))


def tensors_of(case):
    return {name: None if array is None else Tensor(array) for name, array in case.arrays.items()}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_scenario(case):
    for _ in range(2):  # the second call takes the plan of the first
        net, status = run(case)
        assert status == [0, 0, 0, 0]
        for name, expected in case.reference().items():
            if expected is not None:
                same_bits(getattr(net, name), expected)


def test_results_of_other_operators_come_with_their_values():
    """Each input is what an operator has just been asked for, and the caches' next reader is asked at once."""
    case = token_case("Norm")
    given = tensors_of(case)
    for name in ("key", "value"):
        given[name] = mint.mul(mint.add(given[name], 1), 2)
    given["slot_mapping"] = mint.add(given["slot_mapping"], 0)
    given["key_cache"] = mint.add(given["key_cache"], 0)
    status = npu_scatter_pa_kv_cache(**given, **case.modes)
    after = mint.add(given["key_cache"], 0)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    case.arrays |= {name: (case.arrays[name] + np.float16(1)) * np.float16(2) for name in ("key", "value")}
    same_bits(after, case.reference()["key_cache"])
    same_bits(given["value_cache"], case.reference()["value_cache"])


def test_calls_keep_their_order():
    cache = Tensor(np.zeros((2, 2, 1, 16), np.float32))
    seen = []
    for value in range(20):
        row = mint.add(Tensor(np.zeros((1, 1, 16), np.float32)), value)
        npu_scatter_pa_kv_cache(row, None, cache, None, Tensor([3]), cache_mode="Norm")
        seen.append(mint.sum(cache))
    assert [float(x.asnumpy()) for x in seen] == [16.0 * value for value in range(20)]


def test_a_view_is_written_where_it_lies():
    """ops.Custom copies views; here the base sees the write."""
    case = token_case("Norm", key_only=True)
    pool = Tensor(np.zeros((2, *case.arrays["key_cache"].shape), np.float16))
    case.arrays["key_cache"][:] = 0
    key, slots = Tensor(case.arrays["key"]), Tensor(case.arrays["slot_mapping"])
    npu_scatter_pa_kv_cache(key, None, pool[1], None, slots, cache_mode="Norm")
    same_bits(pool[1], case.reference()["key_cache"])
    assert not pool.asnumpy()[0].any()


KEY, VALUE, KEY_CACHE = range(3)


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("flat", [False, True])
def test_slices_of_a_fused_projection_are_not_copied(layout, flat, with_extension):
    """K and V go in by their distance from token to token, where the last axis is contiguous."""
    case = token_case(layout)
    case.arrays["value"] = case.arrays["value"][..., :DK].copy()
    case.arrays["value_cache"] = np.zeros_like(case.arrays["key_cache"])
    fused = np.zeros((5, 3 * HEADS * DK), np.float16)
    fused[:, HEADS * DK : 2 * HEADS * DK] = case.arrays["key"].reshape(5, -1)
    fused[:, 2 * HEADS * DK :] = case.arrays["value"].reshape(5, -1)
    parts = Tensor(fused) if flat else Tensor(fused.reshape(5, 3 * HEADS, DK))
    width = parts.shape[1] // 3
    given = tensors_of(case) | {"key": parts[:, width : 2 * width], "value": parts[:, 2 * width :]}
    assert not given["key"].is_contiguous()
    before = with_extension.ModelStridedLaunches()
    status = npu_scatter_pa_kv_cache(**given, **case.modes)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert with_extension.ModelStridedLaunches() == before + 1
    assert address(with_extension, KEY) == parts.data_ptr() + HEADS * DK * 2
    assert address(with_extension, VALUE) == parts.data_ptr() + 2 * HEADS * DK * 2
    for name in ("key_cache", "value_cache"):
        same_bits(given[name], case.reference()[name])


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_interleaved_caches_are_written_where_they_lie(layout, with_extension):
    """K and V blocks by turns in one pool, as vLLM and FlashInfer hold them."""
    case = token_case(layout)
    case.arrays["value"] = case.arrays["value"][..., :DK].copy()
    case.arrays["value_cache"] = case.arrays["key_cache"] + np.float16(1)
    pool = Tensor(np.stack([case.arrays["key_cache"], case.arrays["value_cache"]], axis=1))
    caches = {"key_cache": pool[:, 0], "value_cache": pool[:, 1]}
    status = npu_scatter_pa_kv_cache(**tensors_of(case) | caches, **case.modes)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert address(with_extension, KEY_CACHE) == pool.data_ptr()
    expected = case.reference()
    same_bits(pool, np.stack([expected["key_cache"], expected["value_cache"]], axis=1))


def test_a_cache_strided_elsewhere_is_refused():
    case = token_case("Norm", key_only=True)
    given = tensors_of(case)
    wide = mint.zeros((BLOCKS, BLOCK_SIZE, HEADS, 2 * DK), dtype=ms.float16)
    with pytest.raises(ValueError, match=r"key_cache: given shape .* only the first axis may be strided"):
        npu_scatter_pa_kv_cache(**given | {"key_cache": wide[..., :DK]}, cache_mode="Norm")


@pytest.mark.parametrize("strided", ["key", "slot_mapping"])
def test_what_the_operator_cannot_step_over_is_made_contiguous(strided, with_extension):
    """A key whose elements lie apart, and index tensors; the caches are still where they were."""
    case = token_case("Norm", key_only=True)
    given = tensors_of(case)
    given[strided] = Tensor(np.repeat(case.arrays[strided], 2, axis=-1))[..., ::2]
    assert not given[strided].is_contiguous()
    npu_scatter_pa_kv_cache(**given, cache_mode="Norm").asnumpy()
    assert address(with_extension, KEY_CACHE) == given["key_cache"].data_ptr()
    same_bits(given["key_cache"], case.reference()["key_cache"])


def test_bad_rows_are_told_and_a_cell_remembers():
    case = token_case("Norm", key_only=True)
    cell = ScatterPaKvCache(
        Parameter(Tensor(case.arrays["key_cache"]), name="key_cache"), cache_mode="Norm", on_error="record"
    )
    key = Tensor(case.arrays["key"])
    assert cell(key, None, Tensor([0, 1, 99, 3, 4])).asnumpy().tolist() == [1, 2, 99, 24]
    assert cell(key, None, Tensor([0, 1, 2, 3, 4])).asnumpy().tolist() == [0, 0, 0, 0]
    assert cell.last_status.asnumpy().tolist() == [1, 2, 99, 24]


def test_what_the_rules_refuse_keeps_type_and_text():
    case = token_case("Norm")
    given = tensors_of(case)
    with pytest.raises(TypeError, match="key: given int, expected a Tensor"):
        npu_scatter_pa_kv_cache(**given | {"key": 3}, cache_mode="Norm")
    with pytest.raises(ValueError, match="check_duplicates: given True, expected False on Ascend"):
        npu_scatter_pa_kv_cache(**given, cache_mode="Norm", check_duplicates=True)
    with pytest.raises(ValueError, match="slot_mapping"):
        npu_scatter_pa_kv_cache(**given | {"slot_mapping": Tensor([1, 2])}, cache_mode="Norm")


def test_nothing_is_launched_for_nothing(with_extension):
    before = with_extension.ModelLaunches()
    cache = Tensor(np.ones((BLOCKS, BLOCK_SIZE, HEADS, DK), np.float16))
    key = mint.zeros((0, HEADS, DK), dtype=ms.float16)
    status = npu_scatter_pa_kv_cache(key, None, cache, None, mint.zeros(0, dtype=ms.int64), cache_mode="Norm")
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert with_extension.ModelLaunches() == before


def test_the_rules_are_asked_once_per_shapes_and_modes(monkeypatch):
    asked = []
    plan = eager.plan
    monkeypatch.setattr(eager, "plan", lambda *call: asked.append(call) or plan(*call))
    case = token_case("Norm")
    for _ in range(3):
        npu_scatter_pa_kv_cache(**tensors_of(case), **case.modes)
    assert len(asked) == 1
    npu_scatter_pa_kv_cache(**tensors_of(case))
    assert len(asked) == 2


def spread(array, how, rng):
    """Memory, and the same values as ``array`` in a view of it: what of a tensor may lie apart, and what may not."""
    last = array.ndim - 1
    axis, step = {"rows": (0, 1), "wider rows": (0, 2), "heads": (last - 1, 1), "elements": (last, 1)}.get(how, (0, 0))
    if how == "dense":
        memory, place = array.copy(), ()
    elif axis == last or how == "heads":
        shape = [*array.shape]
        shape[axis] *= 1 + step
        memory, place = np.zeros(shape, array.dtype), (*[slice(None)] * axis, slice(None, None, 1 + step))
    else:
        memory = np.zeros((array.shape[0], 1 + step, *array.shape[1:]), array.dtype)
        place = (slice(None), step)
    memory.view(np.uint8)[...] = rng.integers(0, 256, memory.view(np.uint8).shape)
    memory[place] = array
    return memory, place


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_calls_of_the_same_shapes_are_told_apart(layout, with_extension):
    """dtypes, strides, absent values: each call's plan is its own, whatever was called before it."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        dtype = rng.choice([np.float16, np.int16], p=[0.9, 0.1])
        case = token_case(layout, dtype, key_only=bool(rng.integers(2)))
        for name in ("value", "value_cache"):  # of the key's shape, so that a mistake stays in bounds
            if case.arrays[name] is not None:
                case.arrays[name] = case.arrays[name.replace("value", "key")][::-1].copy()
        given, memories = tensors_of(case), {}
        for name in ("key", "value", "key_cache", "value_cache"):
            if case.arrays[name] is None:
                continue
            ways = ("dense", "rows", "wider rows") + (("heads", "elements") if name in ("key", "value") else ())
            array, place = spread(case.arrays[name], str(rng.choice(ways)), rng)
            memories[name] = (Tensor(array), array, place)
            given[name] = memories[name][0][place] if place else memories[name][0]
        before = with_extension.ModelLaunches()
        assert npu_scatter_pa_kv_cache(**given, cache_mode=layout).asnumpy().tolist() == [0, 0, 0, 0]
        assert with_extension.ModelLaunches() == before + 1
        expected = case.reference()
        for name, (tensor, array, place) in memories.items():
            if name in expected:
                array[place] = expected[name]
            same_bits(tensor, array)


def test_what_was_planned_for_other_dtypes_is_no_permission():
    case = token_case("Norm", key_only=True)
    given = tensors_of(case)
    npu_scatter_pa_kv_cache(**given, cache_mode="Norm")
    with pytest.raises(TypeError, match="key_cache"):
        npu_scatter_pa_kv_cache(**given | {"key": given["key"].astype(ms.int16)}, cache_mode="Norm")


def test_what_was_planned_for_other_arguments_is_no_permission():
    """The same shapes, one argument further on."""
    case = pair_case("Alibi", packed=False)
    given = tensors_of(case)
    npu_scatter_pa_kv_cache(**given, **case.modes)
    given["compress_seq_offsets"] = given.pop("compress_lens")
    with pytest.raises(ValueError, match="compress_lens"):
        npu_scatter_pa_kv_cache(**given, **case.modes)


def test_a_call_of_another_length_is_refused(extension_on_model):
    with pytest.raises(TypeError, match="given 3 arguments, expected 13"):
        extension_on_model[1].scatter_pa_kv_cache(1, 2, 3)
