"""``import ms_custom_ops``, ``python -m ms_scatter_pa run``, and whose kernels there are."""

import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn

from ms_scatter_pa import compat
from ms_scatter_pa.compat import ms_custom_ops
from ms_scatter_pa.compat.names import MISSING
from tests.support.children import HANGS_AFTER

from . import dense

PROGRAM = """
import sys
import numpy as np
import mindspore as ms
from mindspore import Tensor, nn, ops
import beside
class Net(nn.Cell):
    def construct(self, x, gamma):
        return ops.RmsNorm(1e-6)(x, gamma)[0] + ms_custom_ops.trans_data(x, 1).sum()
import ms_custom_ops
ms.set_context(mode=ms.GRAPH_MODE)
Net()(Tensor(np.ones((16, 16), np.float16)), Tensor(np.ones(16, np.float16)))
ms.set_context(mode=ms.PYNATIVE_MODE)
print(sys.argv[1:], __name__, ops.RmsNorm(1e-6)(Tensor(np.ones((1, 4), np.float16)), Tensor(np.ones(4, np.float16)))[0])
import ms_custom_ops
print(ms_custom_ops.__name__)
"""


@pytest.fixture(params=["pynative", "graph"])
def mode(request):
    compat.register()
    ms.set_context(mode=ms.PYNATIVE_MODE if request.param == "pynative" else ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def test_run(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside.py").write_text("")
    for given in (["program.py"], ["-m", "program"]):
        result = subprocess.run(
            [sys.executable, "-m", "ms_scatter_pa", "run", *given, "-x", "2"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=HANGS_AFTER,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "['-x', '2'] __main__ [1. 1. 1. 1.]" in result.stdout.replace("[[", "[").replace("]]", "]")
        assert "ms_scatter_pa.compat.ms_custom_ops" in result.stdout


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2), (["nowhere.py"], 2), (["-m"], 2)], ids=str)
def test_run_says_how_it_is_used(arguments, status, capsys):
    from ms_scatter_pa.cli.run import main

    assert main(arguments) == status
    out = capsys.readouterr()
    assert "usage: python -m ms_scatter_pa run" in out.out + out.err


def test_twice_is_once_and_state_says_whose():
    names = compat.register()
    assert compat.register() is names
    assert compat.state() == dict.fromkeys(compat.BUILTINS, "ms_scatter_pa")


def test_what_nobody_has_is_named():
    assert {"QuantBatchMatmul", "Swiglu"} <= set(compat.missing())
    assert not set(compat.missing()) & set(compat.BUILTINS)


def test_what_is_missing_is_documented():
    pages = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    words = set(
        re.findall(r"\w+", pages[pages.index("No kernel, and MindSpore 2.10") : pages.index("## ms_custom_ops")])
    )
    assert not set(MISSING) - words


# What the stacks call in PyNative, and how.
SMALL = {
    "StackExt": lambda x: mint.stack([x, x], 0),
    "Outer": lambda x: mint.outer(x, x),
    "GeluExt": mint.nn.functional.gelu,
    "FullLike": lambda x: mint.full_like(x, 2.0),
    "Threshold": lambda x: mint.nn.functional.threshold(x, 0.1, 0.0),
    "LinSpaceExt": lambda x: mint.linspace(0, 1, 4),
    "NormalFloatFloat": lambda x: mint.normal(0.0, 1.0, (2, 2)),
    "Arange": lambda x: mint.arange(0, 4),
    "ZerosLikeExt": mint.zeros_like,
    "OnesLikeExt": mint.ones_like,
    "Embedding": lambda x: mint.nn.functional.embedding(Tensor([1, 0]), mint.reshape(x, (2, 2))),
    "ConstantPadND": lambda x: mint.nn.functional.pad(x, (1, 1)),
}


def _error_of(call):
    """What the call says, or "" where it works."""
    try:
        call(Tensor(np.ones(4, np.float32))).asnumpy()
    except (RuntimeError, TypeError, AttributeError) as error:
        return str(error)
    return ""


def _forget_errors():
    """MindSpore tells an error of its queue to later calls too: until a call that works has heard none."""
    for _ in range(100):
        if not _error_of(mint.neg):
            return
    raise AssertionError("an error of a call before is told to each call")


def test_small_functions_of_mint_stop_where_their_operator_is_missing():
    """Whatever MindSpore release runs this: a function that works has an operator that is not called missing."""
    for name, call in SMALL.items():
        _forget_errors()
        error = _error_of(call)
        assert (name in error) == (name in compat.missing()), (name, error)
    _forget_errors()


def test_what_mindspore_has_is_left_alone():
    """A name that MindSpore registers itself is not taken, and state says so."""
    from ms_scatter_pa._lib import _builtins

    compat.register()
    assert _builtins.is_registered("Softmax") and "Softmax" not in compat.register()
    assert _builtins.register() == []


def test_nothing_is_registered_by_an_import(run_python):
    script = """
import ms_scatter_pa, ms_scatter_pa.compat as compat, sys
assert set(compat.state().values()) == {"none"}, compat.state()
assert "ms_custom_ops" not in sys.modules
assert len(compat.register()) == len(compat.BUILTINS)
import ms_custom_ops
assert not hasattr(ms_custom_ops, "mla")
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


def test_an_installed_ms_custom_ops_stays(run_python, tmp_path):
    (tmp_path / "ms_custom_ops.py").write_text("mine = True")
    script = "from ms_scatter_pa import compat; compat.register(); import ms_custom_ops; assert ms_custom_ops.mine"
    result = run_python(script)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("there", ["None", "unittest.mock.MagicMock()", "types.SimpleNamespace()", "object()"])
def test_what_stands_for_ms_custom_ops_stays(run_python, there):
    """Whatever it is: registering goes on, and says all names."""
    script = f"""
import sys, types, unittest.mock
there = sys.modules["ms_custom_ops"] = {there}
from ms_scatter_pa import compat
assert len(compat.register()) == len(compat.BUILTINS) and sys.modules["ms_custom_ops"] is there
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


def test_threads_that_register_at_once_are_told_the_same(run_python):
    script = """
import threading
from ms_scatter_pa import compat
told, gate = [], threading.Barrier(8)
def one():
    gate.wait()
    told.append(compat.register())
threads = [threading.Thread(target=one) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(told) == 8 and {len(names) for names in told} == {len(compat.BUILTINS)}, told
assert set(compat.state().values()) == {"ms_scatter_pa"}
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


def test_pages_are_read_back_by_the_name_of_ms_custom_ops():
    cache = Tensor(np.arange(8, dtype=np.float16).reshape(4, 2, 1, 1))
    key, _ = ms_custom_ops.paged_cache_load(cache, cache, Tensor([[2, 0]]), Tensor([3]))
    assert key.asnumpy().reshape(-1).tolist() == [4, 5, 0]


def test_a_function_that_is_missing_is_a_sentence():
    with pytest.raises(AttributeError, match="ms_custom_ops has no mla on the CPU"):
        _ = ms_custom_ops.mla


def test_an_import_of_a_function_that_is_missing_is_a_sentence(run_python):
    script = """
from ms_scatter_pa import compat
compat.register()
from ms_custom_ops import reshape_and_cache, trans_data
from ms_custom_ops import *
import ms_custom_ops
assert not hasattr(ms_custom_ops, "mla")
for line in ("from ms_custom_ops import trans_data, mla", "import ms_custom_ops.mla", "from ms_custom_ops.mla import mla"):
    try:
        exec(line)
    except ImportError as error:
        assert str(error).startswith("ms_custom_ops has no mla on the CPU: ms_scatter_pa.compat has only apply_"), error
    else:
        raise AssertionError(line)
"""
    result = run_python(script)
    assert result.returncode == 0, result.stderr


class Rotate(nn.Cell):
    def construct(self, query, key, cos, sin, lens, coefficient):
        return ms_custom_ops.apply_rotary_pos_emb_atb(query, key, cos, sin, lens, coefficient, 0)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ({"query": (2, 32)}, r"cos: given \[3, 16\], expected 2 rows, one for each token of query"),
        ({"query": (3, 40)}, r"query: given \[3, 40\], expected \[3, a multiple of 16\], by the rows"),
        ({"key": (2, 32)}, r"key: given \[2, 32\], expected \[3, a multiple of 16\], by the rows"),
        ({"key": (3, 24)}, r"key: given \[3, 24\], expected \[3, a multiple of 16\]"),
        ({"sin": (3, 8)}, r"sin: given \[3, 8\], expected \[3, 16\] as cos has"),
        ({"cos": (48,)}, r"cos: given \[48\], expected \[T, head_size\]"),
    ],
)
def test_rotary_refuses_shapes_by_the_names_of_its_arguments(mode, broken, text):
    shapes = {"query": (3, 32), "key": (3, 16), "cos": (3, 16), "sin": (3, 16), **broken}
    tensors = [Tensor(np.ones(shape, np.float16)) for shape in shapes.values()]
    with pytest.raises(ValueError, match=text):
        Rotate()(*tensors, Tensor([3], ms.int32), 2)


@pytest.mark.parametrize("coefficient", [2, 8, 4])
def test_rotary_with_a_row_for_each_token(mode, coefficient):
    """Two sequences of three tokens that begin alike: rows are not taken for a table."""
    rng = np.random.default_rng(0)
    query, key = (rng.standard_normal((6, n * 16)).astype(np.float16) for n in (4, 2))
    angles = rng.random((6, 16)).astype(np.float16)
    cos, sin = np.cos(angles), np.sin(angles)
    lens = np.array([3, 3], np.int32)
    got = Rotate()(*map(Tensor, (query, key, cos, sin, lens)), coefficient)
    for result, x in zip(got, (query, key), strict=True):
        heads = x.reshape(6, -1, 16)
        if coefficient == 4:  # each half of a head on its own
            sides = (slice(0, 8), slice(8, 16))
            want = np.concatenate([dense.rotate(heads[..., i], cos[:, i], sin[:, i]) for i in sides], axis=-1)
        else:
            want = dense.rotate(heads, cos, sin, neighbours=coefficient == 8)
        np.testing.assert_allclose(result.asnumpy().reshape(want.shape), want, rtol=2e-3, atol=2e-3)


def test_a_table_is_no_row_for_each_token(mode):
    query, key, table = (Tensor(np.ones(shape, np.float16)) for shape in ((3, 64), (3, 32), (40, 16)))
    with pytest.raises((ValueError, RuntimeError), match=r"cos: given \[40, 16\], expected 3 rows"):
        Rotate()(query, key, table, table, Tensor([3]), 2)[0].asnumpy()


class Transform(nn.Cell):
    def construct(self, x, kind):
        return ms_custom_ops.trans_data(x, kind)


@pytest.mark.parametrize(("dtype", "unit"), [(np.float16, 16), (np.int8, 32)])
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)], ids=str)
def test_trans_data_there_and_back(mode, dtype, unit, lead):
    height, width = 32, 3 * unit
    x = np.random.default_rng(1).integers(-100, 100, (*lead, height, width)).astype(dtype)
    split = x.reshape(*lead, height, 3, unit)
    nz = Transform()(Tensor(x), 1).asnumpy()
    np.testing.assert_array_equal(nz, np.swapaxes(split, -3, -2))
    np.testing.assert_array_equal(Transform()(Tensor(nz), 0).asnumpy(), x)


def test_trans_data_of_a_view_of_another_dtype():
    """Its units are those of its own dtype, not of the memory below."""
    x = np.random.default_rng(2).standard_normal((16, 32)).astype(np.float16)
    view = Tensor(x.view(np.uint8)).view(ms.float16)
    nz = ms_custom_ops.trans_data(view, 1).asnumpy()
    np.testing.assert_array_equal(nz, np.swapaxes(x.reshape(16, 2, 16), 0, 1))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ms_custom_ops.trans_data(Tensor(np.zeros((16, 16), np.float16)), 2), ValueError),
        (lambda: ms_custom_ops.trans_data(Tensor(np.zeros((15, 16), np.float16)), 1), ValueError),
        (lambda: ms_custom_ops.trans_data(Tensor(np.zeros((16, 16), np.float32)), 1), TypeError),
        (lambda: ms_custom_ops.trans_data(Tensor(np.zeros((1, 16, 8), np.float16)), 0), ValueError),
        (lambda: Rotate()(*[Tensor(np.zeros((2, 16), np.float16))] * 4, Tensor([2]), 3), ValueError),
        (lambda: Rotate()(*[Tensor(np.zeros((2, 8), np.float16))] * 4, Tensor([2]), 4), ValueError),
    ],
)
def test_what_the_functions_refuse(call, error):
    with pytest.raises(error, match=r"transdata_type|input|rotary_coeff"):
        call()
