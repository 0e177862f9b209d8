"""The Ascend backend above the device, in both modes, on the operator's kernel and tiling as the twin runs them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from registration_cases import BLOCK_SIZE, BLOCKS, CASES, DK, HEADS, Case, pair_case, token_case

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, read_status

MODES = {"pynative": ms.PYNATIVE_MODE, "graph": ms.GRAPH_MODE}
LENGTHS = ("compress_lens", "compress_seq_offsets", "seq_lens")


@pytest.fixture(params=list(MODES))
def mode(request, on_twin):
    ms.set_context(mode=MODES[request.param])
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


class Write(nn.Cell):
    """A network that holds the caches and calls the function."""

    def __init__(self, case: Case, **more):
        super().__init__()
        caches = {name: case.arrays[name] for name in ("key_cache", "value_cache")}
        self.key_cache = Parameter(Tensor(caches["key_cache"]), name="key_cache")
        self.value_cache = None
        if caches["value_cache"] is not None:
            self.value_cache = Parameter(Tensor(caches["value_cache"]), name="value_cache")
        self.cache_mode = case.modes.get("cache_mode")
        self.scatter_mode = case.modes.get("scatter_mode")
        self.check_duplicates = more.get("check_duplicates", False)

    def construct(self, key, value, slot_mapping, compress_lens, compress_seq_offsets, seq_lens):
        return npu_scatter_pa_kv_cache(
            key,
            value,
            self.key_cache,
            self.value_cache,
            slot_mapping,
            compress_lens=compress_lens,
            compress_seq_offsets=compress_seq_offsets,
            seq_lens=seq_lens,
            cache_mode=self.cache_mode,
            scatter_mode=self.scatter_mode,
            check_duplicates=self.check_duplicates,
        )


def run(case: Case, net: nn.Cell) -> list[int]:
    names = ("key", "value", "slot_mapping", *LENGTHS)
    arrays = [case.arrays.get(name) for name in names]
    return net(*(None if array is None else Tensor(array) for array in arrays)).asnumpy().tolist()


COMPILED = {"Norm-float16-int64", "PA_NZ-float32-int32", "NHSD-flattened(2, 2)", "Alibi", "Rope", "Omni-packed"}
WRITES = [pytest.param(case, "pynative", id=f"{case.name}-pynative") for case in CASES] + [
    pytest.param(case, "graph", id=f"{case.name}-graph") for case in CASES if case.name in COMPILED
]


@pytest.mark.parametrize(("case", "mode"), WRITES, indirect=["mode"])
def test_writes_what_the_contract_says(case, mode):
    net = Write(case)
    assert run(case, net) == [0, 0, 0, 0]
    for name, expected in case.reference().items():
        if expected is not None:
            np.testing.assert_array_equal(getattr(net, name).asnumpy(), expected, err_msg=name)


def test_bad_rows_are_skipped_and_the_rest_is_written(mode):
    case = token_case("Norm")
    case.arrays["slot_mapping"] = np.array([5, 70, 0, 24, 23], np.int64)
    net = Write(case)
    assert run(case, net) == [1, 1, 70, 24]
    case.arrays["slot_mapping"] = np.array([5, -1, 0, -1, 23], np.int64)
    np.testing.assert_array_equal(net.key_cache.asnumpy(), case.reference()["key_cache"])


def test_bad_lengths_are_reported_by_pair(mode):
    case = pair_case("Alibi", packed=False)
    case.arrays["compress_lens"][1, 0] = 9
    status = run(case, Write(case))
    assert status[:3] == [3, 2, 9]
    assert "skipped" in read_status(status)


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


def test_writes_and_reads_keep_their_order_in_a_graph(on_twin):
    class TwoSteps(nn.Cell):
        def __init__(self):
            super().__init__()
            self.cache = Parameter(Tensor(np.zeros((2, 2, 1, 4), np.float32)), name="cache")

        def construct(self, first, second, slots):
            before = self.cache + 0
            npu_scatter_pa_kv_cache(first, None, self.cache, None, slots, cache_mode="Norm")
            between = self.cache + 0
            npu_scatter_pa_kv_cache(second, None, self.cache, None, slots, cache_mode="Norm")
            return before, between, self.cache + 0

    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        rows = [Tensor(np.full((1, 1, 4), value, np.float32)) for value in (1, 2)]
        sums = [float(cache.asnumpy().sum()) for cache in TwoSteps()(*rows, Tensor([3]))]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert sums == [0.0, 4.0, 8.0]


def test_one_graph_serves_every_token_count(on_twin):
    case = token_case("Norm", key_only=True)
    net = Write(case)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        net.set_inputs(
            Tensor(shape=[None, HEADS, DK], dtype=ms.float16),
            None,
            Tensor(shape=[None], dtype=ms.int64),
            None,
            None,
            None,
        )
        for tokens in (1, 4, 2):
            key = np.full((tokens, HEADS, DK), tokens, np.float16)
            net(Tensor(key), None, Tensor(np.arange(tokens)), None, None, None)
            flat = net.key_cache.asnumpy().reshape(BLOCKS * BLOCK_SIZE, HEADS, DK)
            np.testing.assert_array_equal(flat[:tokens], key)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_nothing_is_launched_for_nothing(mode):
    case = token_case("Norm")
    before = case.arrays["key_cache"].copy()
    for name in ("key", "value", "slot_mapping"):
        case.arrays[name] = case.arrays[name][:0]
    net = Write(case)
    assert run(case, net) == [0, 0, 0, 0]
    np.testing.assert_array_equal(net.key_cache.asnumpy(), before)


@pytest.mark.parametrize("strided", ["key", "slot_mapping"])
def test_strided_inputs_are_made_contiguous(on_twin, strided):
    case = token_case("Norm", key_only=True)
    tensors = {name: None if array is None else Tensor(array) for name, array in case.arrays.items()}
    twice = Tensor(np.repeat(case.arrays[strided], 2, axis=0))
    tensors[strided] = twice[::2]
    npu_scatter_pa_kv_cache(**tensors, cache_mode="Norm")
    np.testing.assert_array_equal(tensors["key_cache"].asnumpy(), case.reference()["key_cache"])


def test_duplicates_are_refused_before_launch(mode):
    case = token_case("Norm")
    with pytest.raises(ValueError, match="check_duplicates: given True, expected False on Ascend"):
        run(case, Write(case, check_duplicates=True))


def test_caches_whose_format_the_device_knows_are_refused(mode):
    case = token_case("PA_NZ")
    for name in ("key_cache", "value_cache"):
        case.arrays[name] = case.arrays[name].reshape(BLOCKS, BLOCK_SIZE, -1)
    with pytest.raises(ValueError, match="declares ND formats only"):
        run(case, Write(case))
