"""An installed package can build the Ascend operator: its sources are part of it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("op_host", "op_kernel")


def test_build_py_copies_every_source(tmp_path):
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(tmp_path)]
    command += ["build_py", "--build-lib", str(tmp_path / "lib")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    installed = tmp_path / "lib" / "ms_scatter_pa" / "aicore_kernels"
    for folder in FOLDERS:
        written = {p.name for p in (ROOT / "aicore_kernels" / folder).iterdir() if p.suffix in (".cpp", ".h")}
        assert written, folder
        assert {path.name for path in (installed / folder).iterdir()} == written
    for entry in ("aclnn_runner.h", "cann_operator.cc", "eager_entry.cc"):
        assert (installed / entry).is_file()


def test_sources_are_flat():
    """MindSpore's custom compiler copies the .cpp and .h files of a folder, and neither subfolders nor .hpp."""
    for folder in FOLDERS:
        for path in (ROOT / "aicore_kernels" / folder).iterdir():
            assert path.is_file() and path.suffix in (".cpp", ".h"), path


def test_the_sources_include_nothing_that_stays_behind():
    """CANN compiles op_host and op_kernel side by side, without the rest of the repository."""
    for folder in FOLDERS:
        for path in (ROOT / "aicore_kernels" / folder).iterdir():
            for name in re.findall(r'^#include "(\.\./[^"]*|ms_[^"]*)"', path.read_text(), re.MULTILINE):
                included = (path.parent / name).resolve()
                assert included.is_file(), f"{path.name} includes {name}"
                assert included.parent.name in FOLDERS, f"{path.name} includes {name}"
