"""PyNative through the extension that ``build-ascend`` compiles, its launches reaching the host model."""

import mindspore as ms
import numpy as np
import pytest
from ascend_contract import run, same_bits
from mindspore import Parameter, Tensor, mint
from registration_cases import BLOCK_SIZE, BLOCKS, CASES, DK, HEADS, token_case

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.ascend import eager

pytestmark = pytest.mark.usefixtures("with_extension")


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


@pytest.mark.parametrize("strided", ["key", "slot_mapping"])
def test_strided_inputs_are_made_contiguous(strided):
    case = token_case("Norm", key_only=True)
    given = tensors_of(case)
    given[strided] = Tensor(np.repeat(case.arrays[strided], 2, axis=0))[::2]
    npu_scatter_pa_kv_cache(**given, cache_mode="Norm")
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
