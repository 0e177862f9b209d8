"""The switch to CANN's operator: what is handed over, and what is refused before CANN would misread it."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.ascend import cann_operator
from ms_scatter_pa.backends.ascend import eager as ascend
from ms_scatter_pa.rules.table import COMPRESSED_MODES
from tests.registration.registration_cases import CASES, pair_case, token_case


@pytest.fixture
def calls(on_host_model, monkeypatch):
    """Calls that reach the extension, which needs CANN; here they are only noted."""
    seen = []

    class Extension:
        @staticmethod
        def scatter_pa_kv_cache(*arguments):
            seen.append(arguments)

    monkeypatch.setattr(cann_operator, "_extension", lambda: Extension)
    monkeypatch.setenv(cann_operator.VARIABLE, "cann")
    cann_operator.chosen.cache_clear()
    yield seen
    cann_operator.chosen.cache_clear()


def call(case):
    return npu_scatter_pa_kv_cache(
        **{name: None if array is None else Tensor(array) for name, array in case.arrays.items()}, **case.modes
    )


@pytest.fixture
def on_model(calls, canns_extension_on_model, monkeypatch):
    monkeypatch.setattr(cann_operator, "_extension", lambda: canns_extension_on_model)


def test_results_of_other_operators_come_with_their_values(on_model):
    """A tensor that has just been asked for has no memory yet; the write waits for it in the queue."""
    case = token_case("Norm")
    given = {name: None if array is None else Tensor(array) for name, array in case.arrays.items()}
    for name in ("key", "value", "key_cache"):
        given[name] = mint.add(given[name], 1)
        case.arrays[name] = case.arrays[name] + np.float16(1)
    given["slot_mapping"] = mint.add(given["slot_mapping"], 0)
    npu_scatter_pa_kv_cache(**given, **case.modes)
    after = mint.add(given["key_cache"], 0)
    np.testing.assert_array_equal(after.asnumpy(), case.reference()["key_cache"])
    np.testing.assert_array_equal(given["value_cache"].asnumpy(), case.reference()["value_cache"])


MODES = {"Norm": ("Norm", "None"), "PA_NZ": ("PA_NZ", "None"), "NHSD": ("Norm", "NHSD")}


@pytest.mark.parametrize("layout", list(MODES))
def test_arguments_come_in_canns_order(calls, layout):
    case = token_case(layout)
    if layout == "PA_NZ":
        case.arrays["value"], case.arrays["value_cache"] = case.arrays["key"], case.arrays["key_cache"]
    assert call(case).asnumpy().tolist() == [0, 0, 0, 0]
    (given,) = calls
    for tensor, name in zip(given, ("key", "key_cache", "slot_mapping", "value", "value_cache"), strict=False):
        np.testing.assert_array_equal(tensor.asnumpy(), case.arrays[name], err_msg=name)
    assert given[5:8] == (None, None, None) and given[8:] == MODES[layout]


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
def test_lengths_come_flat(calls, mode):
    call(pair_case(mode, packed=True))
    (given,) = calls
    assert given[5].shape == (4,) and given[7].shape == (2,) and given[8:] == ("Norm", mode)
    assert (given[6] is None) == (mode == "Alibi")


@pytest.mark.parametrize(
    ("case", "error", "text"),
    [
        (token_case("PA_NZ", np.float32, np.int32), TypeError, "expected one of float16, bfloat16, int8"),
        (pair_case("Rope", packed=False), ValueError, "packed rows only for Rope"),
        (next(case for case in CASES if "flattened" in case.name), ValueError, "neither flattened rows"),
    ],
    ids=["dtype", "padded", "flattened"],
)
def test_what_cann_does_not_take_is_refused(calls, case, error, text):
    with pytest.raises(error, match=text):
        call(case)
    assert not calls


def test_950_has_neither_nhsd_nor_key_only(calls, monkeypatch):
    monkeypatch.setattr(ascend, "soc_version", lambda: "ascend950")
    call(pair_case("Rope", packed=False))
    for case in (token_case("NHSD"), token_case("Norm", key_only=True)):
        with pytest.raises(ValueError, match="neither NHSD nor key-only"):
            call(case)


def test_a_graph_is_refused(calls):
    @ms.jit
    def write(key, cache, slots):
        return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")

    case = token_case("Norm", key_only=True)
    with pytest.raises(RuntimeError, match="works in PyNative only"):
        write(*(Tensor(case.arrays[name]) for name in ("key", "key_cache", "slot_mapping")))


def test_another_value_is_refused(monkeypatch):
    monkeypatch.setenv(cann_operator.VARIABLE, "both")
    cann_operator.chosen.cache_clear()
    with pytest.raises(ValueError, match="expected one of"):
        cann_operator.chosen()
    cann_operator.chosen.cache_clear()
