"""An installed package can build the Ascend operator: its sources are part of it."""

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
