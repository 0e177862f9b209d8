"""Libraries that were compiled against MindSpore load beside that release only, and calls go on without them."""

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import mindspore as ms
import pytest

from ms_scatter_pa.backends import mindspore_release as release

EXTENSIONS = ("_eager", "_builtins")
OTHER = "2.9.0" if ms.__version__ != "2.9.0" else "2.8.0"
WRITE = """
import sys
import numpy as np
from mindspore import Tensor
from ms_scatter_pa.backends import mindspore_release
path = {path!r}
find_spec = mindspore_release.importlib.util.find_spec
mindspore_release.importlib.util.find_spec = lambda name: type("Spec", (), {{"origin": path}})
from ms_scatter_pa import compat, npu_scatter_pa_kv_cache
cache = Tensor(np.zeros((2, 2, 1, 4), np.float16))
npu_scatter_pa_kv_cache(Tensor(np.ones((1, 1, 4), np.float16)), None, cache, None, Tensor([3]), cache_mode="Norm")
assert cache.asnumpy()[1, 1].sum() == 4 and cache.asnumpy().sum() == 4
assert not compat.register()
assert "ms_scatter_pa._lib._eager" not in sys.modules and "ms_scatter_pa._lib._builtins" not in sys.modules
"""


def _library(name: str) -> Path:
    spec = importlib.util.find_spec(f"ms_scatter_pa._lib.{name}")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin)


def _claiming(name: str, claimed: str, folder: Path) -> Path:
    """A copy of a library that says it was compiled for another release."""
    library = _library(name)
    own, other = (f"MsspMindSporeRelease={text}\0".encode() for text in (ms.__version__, claimed))
    code = library.read_bytes()
    assert code.count(own) == 1
    copy = folder / library.name
    copy.write_bytes(code.replace(own, other.ljust(len(own), b"\0")))
    return copy


@pytest.mark.parametrize("name", EXTENSIONS)
def test_every_library_names_the_installed_release(name: str) -> None:
    assert release.compiled_for(_library(name)) == ms.__version__
    release.check_release(_library(name))


def test_there_is_no_other_library_of_mindspores() -> None:
    """A library that links MindSpore's is one of EXTENSIONS."""
    linked = {
        path.name.split(".")[0]
        for path in _library("_eager").parent.glob("*.so")
        if b"libmindspore_core" in path.read_bytes()
    }
    assert linked == set(EXTENSIONS)


@pytest.mark.parametrize("claimed", [OTHER, "2.10"])
@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_library_of_another_release_is_refused(name: str, claimed: str, tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=f"compiled for MindSpore {claimed}, and .* installed: install ms_scatter_pa"):
        release.check_release(_claiming(name, claimed, tmp_path))


def test_a_library_that_names_no_release_is_refused(tmp_path: Path) -> None:
    library = tmp_path / "_eager.so"
    library.write_bytes(_library("_eager").read_bytes().replace(b"MsspMindSporeRelease=", b"MsspSomethingElse000="))
    with pytest.raises(ImportError, match="unknown release"):
        release.check_release(library)


def test_calls_go_on_without_the_library(tmp_path: Path) -> None:
    """One sentence, once for each library, then the way that needs none."""
    code = WRITE.format(path=str(_claiming("_eager", OTHER, tmp_path)))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | {"GLOG_v": "3"}
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stderr.count("install ms_scatter_pa again") == 2


def test_mindspore_2_7_0_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ms, "__version__", "2.7.0")
    with pytest.raises(ImportError, match=r"mindspore: given 2\.7\.0, expected 2\.7\.1\.post1 or newer"):
        release.check_installed.__wrapped__()


@pytest.mark.parametrize("newer", ["2.11.0", "2.11.0rc1", "3.0.0"])
def test_a_release_that_nobody_tried_is_warned_about(newer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ms, "__version__", newer)
    with pytest.warns(RuntimeWarning, match=f"not tried with MindSpore {newer}"):
        release.check_installed.__wrapped__()


@pytest.mark.parametrize("tried", [*release.TRIED, "2.10.1"])
def test_others_pass_without_a_word(tried: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ms, "__version__", tried)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        release.check_installed.__wrapped__()
