"""Registering twice, and beside another package that has a kernel for the same name, in processes of their own."""

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest

from cpu_kernels import build_config
from tests.support.children import HANGS_AFTER

HERE = Path(__file__).resolve().parent

WRITE = """
import mindspore as ms, numpy as np
from mindspore import Tensor, ops
def write():
    cache = Tensor(np.zeros((1, 2, 1, 4), np.int8))
    key = Tensor(np.ones((1, 4), np.int8))
    ops.auto_generate.ReshapeAndCache()(key, None, cache, None, Tensor(np.array([1], np.int32)))
    return sorted(set(cache.asnumpy().ravel().tolist()))
"""


def run(code: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", WRITE + code],
        cwd=tmp_path,
        env={**os.environ, "GLOG_v": "3", **environment},
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER,
        check=False,
    )


@pytest.fixture(scope="module")
def other_package(tmp_path_factory) -> Path:
    """A library that registers a kernel of its own while it is loaded."""
    output = tmp_path_factory.mktemp("other") / "libother_package.so"
    mindspore = Path(find_spec("mindspore").origin).parent
    command = ["g++", "-std=c++17", "-O0", "-fPIC", "-shared", *build_config.mindspore_flags(mindspore)]
    command += [str(HERE / "other_package.cc"), "-o", str(output), f"-L{mindspore / 'lib'}", "-lmindspore_core"]
    command += [
        "-lmindspore_common",
        "-lmindspore_hardware_abstract",
        *build_config.run_path_flags([str(mindspore / "lib")]),
    ]
    subprocess.run(command, check=True)
    return output


def test_importing_twice_registers_once(tmp_path):
    code = """
import importlib, sys
from ms_scatter_pa import compat
assert compat.register()
importlib.reload(compat.builtin)
for name in [name for name in sys.modules if name.startswith("ms_scatter_pa")]:
    del sys.modules[name]
from ms_scatter_pa import compat
compat.register()
assert write() == [0, 1], write()
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_second_copy_of_the_extension_steps_back(tmp_path):
    """Two packages that ask first, as this one does, live together in either order."""
    extension = Path(find_spec("ms_scatter_pa").origin).parent / "_lib" / f"_builtins{EXTENSION_SUFFIXES[0]}"
    library = extension.parent / build_config.LIBRARY_NAME
    for source in (extension, library):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    code = """
import sys
sys.path.insert(0, ".")
import _builtins
assert _builtins.register()
from ms_scatter_pa import compat
assert not compat.register()
assert not _builtins.register()
assert write() == [0, 1], write()
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_package_that_came_first_keeps_its_kernel(tmp_path, other_package):
    code = f"""
import ctypes
ctypes.CDLL({str(other_package)!r})
from ms_scatter_pa import compat
assert "ReshapeAndCache" not in compat.register() and "RmsNorm" in compat.register()
assert write() == [7], write()
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_import_leaves_the_name_to_a_package_that_comes_later(tmp_path, other_package):
    code = f"""
import ctypes
import ms_scatter_pa, ms_scatter_pa.compat
from ms_scatter_pa import npu_scatter_pa_kv_cache, PagedKVCache
ctypes.CDLL({str(other_package)!r})
assert write() == [7], write()
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_mindspore_ends_the_process_when_its_macro_finds_the_name_taken(tmp_path, other_package):
    """Why the extension asks before it registers, and why nothing is registered at import."""
    code = f"""
import ctypes
from ms_scatter_pa import compat
compat.register()
ctypes.CDLL({str(other_package)!r})
print("alive")
"""
    result = run(code, tmp_path)
    assert result.returncode != 0 and "alive" not in result.stdout
    assert "ReshapeAndCache is already registered" in result.stderr


def test_without_the_package_mindspore_has_no_kernel(tmp_path):
    result = run("write()", tmp_path)
    assert result.returncode != 0 and "ReshapeAndCache unregistered" in result.stderr
