"""The gather and the quantising write of the Ascend backend, in both modes, on their kernels as the host model runs them."""

from pathlib import Path

import mindspore as ms
import ml_dtypes  # noqa: F401 - registers bfloat16 with NumPy
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from ms_scatter_pa import npu_gather_pa_kv_cache, quant_scatter_pa_kv_cache
from ms_scatter_pa.paged_reference import gather_reference, quant_scatter_reference
from ms_scatter_pa.rules.table import CACHE_MODES, GATHER_PA, QUANT_SCATTER_PA
from tests.ascendc.host_model import paged_runner

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def paged_library(tmp_path_factory) -> Path:
    host = ROOT / "aicore_kernels"
    math = host / "op_host" / "ms_scatter_pa_paged_tiling_math.cpp"
    sources = (HERE / "paged_model_operator.cc", host / "shape_infer.cc", math, *paged_runner.SOURCES)
    folder = tmp_path_factory.mktemp("paged_model")
    flags = ("-O1", "-D_GLIBCXX_USE_CXX11_ABI=0")
    return paged_runner.build(folder, paged_runner.ARCHITECTURES["910"], *flags, sources=sources)


@pytest.fixture(params=["pynative", "graph"])
def paged_mode(request, on_host_model, paged_library, monkeypatch):
    from ms_scatter_pa.backends.ascend import paged
    from ms_scatter_pa.backends.paged_reg_info import ascend_reg_info

    def make_operator(operator):
        return paged.make_custom(operator, paged_library, ascend_reg_info(operator, "CPU"))

    paged.made.cache_clear()
    monkeypatch.setattr(paged, "soc_version", lambda: "ascend910b")
    monkeypatch.setattr(paged, "make_operator", make_operator)
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)
    paged.made.cache_clear()


def _tensor(array):
    if array is None or isinstance(array, (str, bool)):
        return array
    if array.dtype.name == "bfloat16":
        return Tensor(array.astype(np.float32)).astype(ms.bfloat16)
    return Tensor(array.copy())


class _Quant(nn.Cell):
    """One call with constant modes; tensors that are absent are None."""

    def __init__(self, modes):
        super().__init__()
        self.cache_mode, self.check_duplicates = modes["cache_mode"], modes.get("check_duplicates", False)

    def construct(self, key, value, key_cache, value_cache, slot_mapping, key_scale, value_scale, key_offset,
                  value_offset, key_scale_cache, value_scale_cache):  # fmt: skip
        return quant_scatter_pa_kv_cache(
            key, value, key_cache, value_cache, slot_mapping, key_scale=key_scale, value_scale=value_scale,
            key_offset=key_offset, value_offset=value_offset, key_scale_cache=key_scale_cache,
            value_scale_cache=value_scale_cache, cache_mode=self.cache_mode, check_duplicates=self.check_duplicates,
        )  # fmt: skip


class _Gather(nn.Cell):
    """The same of a gather."""

    def __init__(self, modes):
        super().__init__()
        self.cache_mode = modes["cache_mode"]

    def construct(self, key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset, key_scale, value_scale,
                  key_offset, value_offset, key_scale_cache, value_scale_cache):  # fmt: skip
        return npu_gather_pa_kv_cache(
            key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset=seq_offset, key_scale=key_scale,
            value_scale=value_scale, key_offset=key_offset, value_offset=value_offset, key_scale_cache=key_scale_cache,
            value_scale_cache=value_scale_cache, cache_mode=self.cache_mode,
        )  # fmt: skip


def run(function, tensors, modes):
    """Runs the function with the tensors by name; returns the status and the tensors."""
    made = {name: _tensor(array) for name, array in tensors.items()}
    if ms.get_context("mode") == ms.PYNATIVE_MODE:
        return function(**made, **modes).asnumpy().tolist(), made
    gathers = function is npu_gather_pa_kv_cache
    operator, cell = (GATHER_PA, _Gather(modes)) if gathers else (QUANT_SCATTER_PA, _Quant(modes))
    return cell(*(made.get(argument.name) for argument in operator.arguments)).asnumpy().tolist(), made


def _quant_case(kind, layout, rows, offset):
    rng = np.random.default_rng(3)
    tokens, heads, size, blocks = 9, 2, 64, (3, 8)
    caches = {
        "Norm": (*blocks, heads, size), "NHSD": (blocks[0], heads, blocks[1], size),
        "PA_NZ": (blocks[0], heads * size // 32, blocks[1], 32),
    }  # fmt: skip
    kept = (blocks[0], heads, blocks[1], 1) if layout == "NHSD" else (*blocks, heads)
    key = rng.standard_normal((tokens, heads, size)).astype(np.dtype(rows))
    case = {
        "key": key, "value": key[::-1].copy(), "slot_mapping": np.array([3, 4, 5, -1, 20, 1, 0, 16, 9], np.int32),
        **{name: rng.integers(-128, 128, caches[layout]).astype(np.int8) for name in ("key_cache", "value_cache")},
        **dict.fromkeys(
            ("key_scale", "value_scale", "key_offset", "value_offset", "key_scale_cache", "value_scale_cache")
        ),
    }  # fmt: skip
    if kind == "static":
        case["key_scale"] = np.array([0.02, 0.03], np.float32)
        case["value_scale"] = rng.uniform(0.01, 0.1, (heads, size)).astype(np.float32)
        if offset:
            case["key_offset"] = np.array([3.5, -7], np.float32)
    else:
        case["key_scale_cache"] = np.zeros(kept, np.float32)
        case["value_scale_cache"] = np.zeros(kept, np.float32)
    if kind == "given":
        for name in ("key", "value"):
            case[name] = rng.integers(-128, 128, (tokens, heads, size)).astype(np.int8)
            case[f"{name}_scale"] = rng.standard_normal((tokens, heads)).astype(np.float32)
    return case


@pytest.mark.parametrize(
    ("kind", "layout", "rows", "offset"),
    [
        ("dynamic", "Norm", "float16", False),
        ("dynamic", "PA_NZ", "bfloat16", False),
        ("static", "NHSD", "float32", True),
        ("static", "Norm", "float16", False),
        ("given", "NHSD", "float16", False),
    ],
)
def test_quantising_writes(paged_mode, kind, layout, rows, offset):
    case = _quant_case(kind, layout, rows, offset)
    want = {name: None if array is None else array.copy() for name, array in case.items()}
    expected = quant_scatter_reference(**want, layout=layout)
    status, made = run(quant_scatter_pa_kv_cache, case, {"cache_mode": layout})
    assert status == expected
    for name in ("key_cache", "value_cache", "key_scale_cache", "value_scale_cache"):
        if want[name] is not None:
            np.testing.assert_array_equal(made[name].asnumpy(), want[name], err_msg=name)


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("kind", ["copied", "dynamic", "static"])
def test_gathers(paged_mode, layout, kind):
    case = _quant_case("dynamic" if kind == "copied" else kind, layout, "float16", True)
    rng = np.random.default_rng(4)
    for name in ("key_scale_cache", "value_scale_cache"):
        if case[name] is not None:
            case[name] = None if kind == "copied" else rng.uniform(0.1, 1, case[name].shape).astype(np.float32)
    del case["slot_mapping"]
    dtype = np.int8 if kind == "copied" else np.float16
    rows = np.zeros((11, 2, 64), dtype)
    case |= {
        "key": rows, "value": rows.copy(), "block_tables": np.array([[2, -1], [1, 0]]), "seq_lens": np.array([2, 9]),
        "seq_offset": None,
    }  # fmt: skip
    want = {name: None if array is None else array.copy() for name, array in case.items()}
    assert gather_reference(**want, layout=layout) == [0, 0, 0, 0]
    status, made = run(npu_gather_pa_kv_cache, case, {"cache_mode": layout})
    assert status == [0, 0, 0, 0]
    for name in ("key", "value"):
        np.testing.assert_array_equal(made[name].asnumpy(), want[name], err_msg=name)
        assert np.any(want[name] != 0)


@pytest.mark.parametrize("paged_mode", ["pynative"], indirect=True)
@pytest.mark.parametrize("view", [lambda pool: pool[1], lambda pool: pool[1].contiguous().view(pool.shape[1:])])
@pytest.mark.parametrize("written", QUANT_SCATTER_PA.written)
def test_a_write_into_a_view_is_refused(paged_mode, written, view):
    """ops.Custom copies it, and what was written would be lost without a word."""
    case = _quant_case("dynamic", "Norm", "float16", False)
    tensors = {name: _tensor(array) for name, array in case.items()}
    tensors[written] = view(Tensor(np.stack([case[written]] * 2)))
    with pytest.raises(ValueError, match=f"^{written}: given a view of shape .* ops.Custom"):
        quant_scatter_pa_kv_cache(**tensors, cache_mode="Norm")


@pytest.mark.parametrize("paged_mode", ["pynative"], indirect=True)
@pytest.mark.parametrize("written", GATHER_PA.written)
def test_a_gather_into_a_view_is_refused(paged_mode, written):
    cache = np.ones((2, 2, 1, 4), np.float16)
    rows = Tensor(np.zeros((3, 1, 4), np.float16))
    pool = Tensor(np.zeros((2, 3, 1, 4), np.float16))
    given = {"key": rows, "value": rows + 0} | {written: pool[1]}
    with pytest.raises(ValueError, match=f"^{written}: given a view of shape"):
        npu_gather_pa_kv_cache(Tensor(cache), Tensor(cache), Tensor([[1, 0]]), Tensor([3]), **given, cache_mode="Norm")


@pytest.mark.parametrize("paged_mode", ["pynative"], indirect=True)
def test_a_gather_reads_views(paged_mode):
    pool = Tensor(np.arange(32, dtype=np.float16).reshape(2, 2, 2, 1, 4))
    rows = Tensor(np.zeros((3, 1, 4), np.float16))
    npu_gather_pa_kv_cache(pool[1], None, Tensor([[1, 0]]), Tensor([3]), rows, None, cache_mode="Norm")
    assert rows.asnumpy()[:, 0, 0].tolist() == [24, 28, 16]


def test_bad_values_are_recorded(paged_mode):
    """Nothing raises, whatever on_error is: bad rows are skipped, or zeros."""
    case = _quant_case("dynamic", "Norm", "float16", False)
    case["slot_mapping"][2] = 24
    assert run(quant_scatter_pa_kv_cache, case, {"cache_mode": "Norm"})[0] == [1, 2, 24, 24]
    case = _quant_case("static", "Norm", "float16", False)
    case["value_scale"][1, 3] = 0
    assert run(quant_scatter_pa_kv_cache, case, {"cache_mode": "Norm"})[0] == [5, 67, 0, 6]
    cache = np.ones((2, 2, 1, 4), np.int8)
    case = {
        "key_cache": cache, "value_cache": None, "block_tables": np.array([[1, 5]]), "seq_lens": np.array([3]),
        "key": np.full((3, 1, 4), 9, np.int8), "value": None,
    }  # fmt: skip
    status, made = run(npu_gather_pa_kv_cache, case, {"cache_mode": "Norm"})
    assert status == [1, 1, 5, 2]
    assert made["key"].asnumpy()[:, 0, 0].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"key": np.zeros((9, 2, 48), np.float16), "key_cache": np.zeros((3, 8, 2, 48), np.int8)}, ValueError,
         "given head_size 48, expected a multiple of 32 up to 1024"),
        ({"check_duplicates": True}, ValueError, "check_duplicates: given True"),
    ],
)  # fmt: skip
def test_refusals_of_the_part(paged_mode, change, error, text):
    case = _quant_case("dynamic", "Norm", "float16", False)
    modes = {"cache_mode": "Norm", **{name: x for name, x in change.items() if isinstance(x, bool)}}
    case |= {name: x for name, x in change.items() if not isinstance(x, bool)}
    case |= {"value": None, "value_cache": None, "value_scale_cache": None}
    with pytest.raises(error, match=text):
        run(quant_scatter_pa_kv_cache, case, modes)


def test_float8_is_refused_on_a2():
    from ms_scatter_pa.backends.ascend.paged_launch import quant_launch
    from ms_scatter_pa.rules.paged import PagedArguments

    names = [argument.name for argument in QUANT_SCATTER_PA.arguments]
    shapes = {"key": (4, 2, 32), "key_cache": (2, 8, 2, 32), "slot_mapping": (4,), "key_scale": (1,)}
    dtypes = {"key": "float16", "key_cache": "float8_e4m3fn", "slot_mapping": "int32", "key_scale": "float32"}
    arguments = PagedArguments(
        QUANT_SCATTER_PA.name, tuple(map(shapes.get, names)), tuple(map(dtypes.get, names)), "Norm"
    )
    with pytest.raises(TypeError, match="key_cache: given dtype float8_e4m3fn, expected one of int8"):
        quant_launch(arguments, False, "ascend910b")
    assert quant_launch(arguments, False, "ascend950").mode_shape == (1, 2, 2, 1, 1, 1)


def test_a_cell_of_the_gather_in_a_loop(paged_mode):
    """The status of a call is data: a graph may branch on it."""
    cache = Tensor(np.arange(16, dtype=np.float16).reshape(4, 2, 1, 2))

    class Gather(nn.Cell):
        def construct(self, tables, lengths, key):
            status = npu_gather_pa_kv_cache(cache, None, tables, lengths, key, None, cache_mode="Norm")
            return ops.depend(key, status) * 1, status

    key = Tensor(np.zeros((3, 1, 2), np.float16))
    rows, status = Gather()(Tensor([[3, 1]]), Tensor([3]), key)
    assert status.asnumpy().tolist() == [0, 0, 0, 0]
    assert rows.asnumpy()[:, 0, 0].tolist() == [12, 14, 4]


def test_twelve_tensors_at_most():
    for operator in (GATHER_PA, QUANT_SCATTER_PA):
        assert len(operator.ascend_input_names) + 1 == 12
