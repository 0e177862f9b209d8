"""A CPU operator behind the Ascend backend, so that everything above the device runs here."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stand_ins")]  # registration_cases; cann_tree, opbuild


@pytest.fixture(scope="session")
def stand_in_library(tmp_path_factory) -> Path:
    """The stand-in operator, compiled with the Ascend operator's own shape inference."""
    from ms_scatter_pa.backends.library import LIBRARY_FOLDER, LIBRARY_PATH

    output = tmp_path_factory.mktemp("stand_in") / "libstand_in.so"
    sources = [HERE / "stand_in_operator.cc", ROOT / "aicore_kernels" / "shape_infer.cc"]
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    command += ["-D_GLIBCXX_USE_CXX11_ABI=0", f"-I{ROOT / 'cpu_kernels'}", *map(str, sources), "-o", str(output)]
    command += [f"-L{LIBRARY_FOLDER}", f"-l:{LIBRARY_PATH.name}", f"-Wl,-rpath,{LIBRARY_FOLDER}"]
    subprocess.run(command, check=True)
    return output


@pytest.fixture
def on_stand_in(stand_in_library, monkeypatch):
    """This process believes it is on an Atlas A2, with the stand-in as its operator."""
    from ms_scatter_pa import backends
    from ms_scatter_pa.backends import ascend, ascend_graph, ascend_operator, device
    from ms_scatter_pa.op_info.reg_info import ascend_reg_info

    def make_operator():
        return ascend_operator.make_custom(stand_in_library, ascend_reg_info("CPU"))

    for cached in (ascend.eager_operator, device.device_target, device.soc_version):
        cached.cache_clear()
    monkeypatch.setattr(device, "device_target", lambda: "Ascend")
    monkeypatch.setattr(ascend, "soc_version", lambda: "ascend910b")
    monkeypatch.setattr(ascend_graph, "soc_version", lambda: "ascend910b")
    monkeypatch.setattr(ascend, "make_operator", make_operator)
    monkeypatch.setattr(ascend_graph, "_operator", None)
    monkeypatch.setattr(backends, "_eager", None)
    yield
    ascend.eager_operator.cache_clear()
