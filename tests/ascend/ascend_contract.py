"""Tests of the contract on Ascend: collected by tests/ascend for an NPU and by tests/registration for the host model."""

import mindspore as ms
import ml_dtypes
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, read_status, write_reference
from ms_scatter_pa.backends.ascend import eager as ascend
from ms_scatter_pa.backends.ascend.launch import target_of
from ms_scatter_pa.rules.table import CACHE_MODES, dtype_named
from tests.ascend.ascend_calls import Write, inputs, random_bits
from tests.registration.registration_cases import (
    BLOCK_SIZE,
    BLOCKS,
    CASES,
    DK,
    HEADS,
    cache_shape,
    pair_case,
    token_case,
)

COMPILED = {"Norm-float16-int64", "PA_NZ-float32-int32", "NHSD-flattened(2, 2)", "Alibi", "Rope", "Omni-packed"}
CALLS = [pytest.param(case, "pynative", id=f"{case.name}-pynative") for case in CASES]
CALLS += [pytest.param(case, "graph", id=f"{case.name}-graph") for case in CASES if case.name in COMPILED]


def same_bits(given, expected) -> None:
    np.testing.assert_array_equal(given.asnumpy().view(np.uint8), expected.view(np.uint8))


def run(case, **more):
    """The network after one call, and the status."""
    net = Write(case, **more)
    return net, net(*inputs(case)).asnumpy().tolist()


@pytest.mark.parametrize(("case", "mode"), CALLS, indirect=["mode"])
def test_every_scenario(case, mode):
    net, status = run(case)
    assert status == [0, 0, 0, 0]
    for name, expected in case.reference().items():
        if expected is not None:
            same_bits(getattr(net, name), expected)


def test_bad_rows_are_skipped_and_the_rest_is_written(mode):
    case = token_case("Norm")
    case.arrays["slot_mapping"] = np.array([5, 70, 0, 24, 23], np.int64)
    net, status = run(case)
    assert status == [1, 1, 70, 24]
    case.arrays["slot_mapping"] = np.array([5, -1, 0, -1, 23], np.int64)
    same_bits(net.key_cache, case.reference()["key_cache"])


def test_bad_lengths_are_reported_by_pair(mode):
    case = pair_case("Alibi", packed=False)
    case.arrays["compress_lens"][1, 0] = 9
    _, status = run(case)
    assert status[:3] == [3, 2, 9]
    assert "skipped" in read_status(status)


def test_the_lowest_position_of_all_cores_is_reported(mode):
    case = token_case("Norm", key_only=True)
    slots = np.arange(3000)
    slots[[17, 1500, 2999]] = [10000, 20000, 30000]
    case.arrays |= {"key": np.zeros((3000, HEADS, DK), np.float16), "slot_mapping": slots}
    case.arrays["key_cache"] = np.zeros((1500, BLOCK_SIZE, HEADS, DK), np.float16)
    assert run(case)[1] == [1, 17, 10000, 6000]


def test_cell_keeps_its_last_bad_status(mode):
    case = token_case("Norm", key_only=True)
    cell = ScatterPaKvCache(
        Parameter(Tensor(case.arrays["key_cache"]), name="key_cache"), cache_mode="Norm", on_error="record"
    )
    key = Tensor(case.arrays["key"])
    cell(key, None, Tensor([0, 1, 99, 3, 4]))
    cell(key, None, Tensor([0, 1, 2, 3, 4]))
    assert cell.last_status.asnumpy().tolist() == [1, 2, 99, 24]
    cell.clear_status()
    cell(key, None, Tensor([0, 1, 2, 3, 4]))
    assert cell.read_last_status() == "written"


class ReadWriteRead(nn.Cell):
    def __init__(self):
        super().__init__()
        self.cache = Parameter(Tensor(np.zeros((2, 2, 1, 16), np.float32)), name="cache")

    def construct(self, first, second, slots):
        before = self.cache + 0
        npu_scatter_pa_kv_cache(first, None, self.cache, None, slots, cache_mode="Norm")
        between = self.cache + 0
        npu_scatter_pa_kv_cache(second, None, self.cache, None, slots, cache_mode="Norm")
        return before, between, self.cache + 0


def test_reads_and_writes_keep_their_order(mode):
    rows = [Tensor(np.full((1, 1, 16), value, np.float32)) for value in (1, 2)]
    assert [float(x.asnumpy().sum()) for x in ReadWriteRead()(*rows, Tensor([3]))] == [0.0, 16.0, 32.0]


class TensorCache(nn.Cell):
    def construct(self, key, cache, slots):
        status = npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")
        return ops.depend(cache, status) + 0


def test_a_plain_tensor_as_cache_is_written(mode):
    """Unproven on Ascend in graph mode: whether a graph's Tensor input is written back."""
    cache = Tensor(np.zeros((2, 2, 1, 16), np.float16))
    seen = TensorCache()(Tensor(np.ones((1, 1, 16), np.float16)), cache, Tensor([3]))
    assert float(seen.asnumpy().sum()) == 16.0
    assert float(cache.asnumpy().sum()) == 16.0


@pytest.mark.parametrize("mode", ["graph"], indirect=True)
def test_one_graph_serves_every_token_count(mode):
    case = token_case("Norm", key_only=True)
    net = Write(case)
    dynamic = [Tensor(shape=[None, HEADS, DK], dtype=ms.float16), None, Tensor(shape=[None], dtype=ms.int64)]
    net.set_inputs(*dynamic, None, None, None)
    for tokens in (1, 4, 2):
        key = np.full((tokens, HEADS, DK), tokens, np.float16)
        net(Tensor(key), None, Tensor(np.arange(tokens)), None, None, None)
        flat = net.key_cache.asnumpy().reshape(BLOCKS * BLOCK_SIZE, HEADS, DK)
        np.testing.assert_array_equal(flat[:tokens], key)


def test_nothing_is_launched_for_nothing(mode):
    case = token_case("Norm")
    before = case.arrays["key_cache"].copy()
    for name in ("key", "value", "slot_mapping"):
        case.arrays[name] = case.arrays[name][:0]
    net, status = run(case)
    assert status == [0, 0, 0, 0]
    np.testing.assert_array_equal(net.key_cache.asnumpy(), before)


@pytest.mark.parametrize("mode", ["pynative"], indirect=True)
@pytest.mark.parametrize("strided", ["key", "slot_mapping"])
def test_strided_inputs_are_made_contiguous(mode, strided):
    case = token_case("Norm", key_only=True)
    tensors = {name: None if array is None else Tensor(array) for name, array in case.arrays.items()}
    twice = Tensor(np.repeat(case.arrays[strided], 2, axis=0))
    tensors[strided] = twice[::2]
    npu_scatter_pa_kv_cache(**tensors, cache_mode="Norm")
    np.testing.assert_array_equal(tensors["key_cache"].asnumpy(), case.reference()["key_cache"])


def test_duplicates_are_refused_before_launch(mode):
    case = token_case("Norm")
    with pytest.raises(ValueError, match="check_duplicates: given True, expected False on Ascend"):
        run(case, check_duplicates=True)


def test_caches_whose_format_the_device_knows_are_refused(mode):
    case = token_case("PA_NZ")
    for name in ("key_cache", "value_cache"):
        case.arrays[name] = case.arrays[name].reshape(BLOCKS, BLOCK_SIZE, -1)
    with pytest.raises(ValueError, match="declares ND formats only"):
        run(case)


@pytest.mark.parametrize("mode", ["pynative"], indirect=True)
@pytest.mark.parametrize("layout", CACHE_MODES)
def test_every_dtype_is_copied_bit_for_bit(mode, layout):
    """Through integers of the same size where MindSpore cannot make arrays of a dtype, 8-bit floats included."""
    for number, (key, value) in enumerate(target_of(ascend.soc_version()).key_value_dtypes()):
        if key != value and layout != "PA_NZ":
            continue
        sides = {"key": (key, DK * 2), "value": (value, DK * 2)}
        arrays = {}
        for name, (dtype, size) in sides.items():
            rows = random_bits((5, HEADS, size), dtype, number)
            cache = random_bits(cache_shape(layout, size, rows.itemsize), dtype, number + 100)
            arrays |= {name: rows, f"{name}_cache": cache}
        slots = np.array([5, -1, 0, 17, 23])
        tensors = {name: as_dtype(array, sides[name.removesuffix("_cache")][0]) for name, array in arrays.items()}
        npu_scatter_pa_kv_cache(**tensors, slot_mapping=Tensor(slots), cache_mode=layout)
        write_reference(**arrays, slot_mapping=slots, layout=layout)
        for name in ("key_cache", "value_cache"):
            given = tensors[name].view(getattr(ms, str(arrays[name].dtype))).asnumpy()
            np.testing.assert_array_equal(given, arrays[name], err_msg=f"{name} of {key}, {value}")


def as_dtype(bits, dtype):
    """A tensor of its own, no view: ops.Custom on the CPU copies views. 8-bit floats have no other way than a view."""
    if dtype_named(dtype).itemsize == 1 and dtype_named(dtype).kind == "float":
        return Tensor(bits).view(getattr(ms, dtype))
    return Tensor(bits.view(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype))
