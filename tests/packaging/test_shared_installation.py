"""One installation that several people use: a folder that is only read, and a MindSpore of one's own before the others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest

from ms_scatter_pa.backends import mindspore_release
from ms_scatter_pa.backends.cpu.library import LIBRARY_FOLDER
from tools.readme import examples

OLDER = "2.9.0" if ms.__version__ != "2.9.0" else "2.8.0"
WRITE = """
import numpy as np
from mindspore import Tensor
from ms_scatter_pa import compat, npu_scatter_pa_kv_cache
cache = Tensor(np.zeros((2, 2, 1, 4), np.float16))
npu_scatter_pa_kv_cache(Tensor(np.ones((1, 1, 4), np.float16)), None, cache, None, Tensor([3]), cache_mode="Norm")
assert cache.asnumpy()[1, 1].sum() == 4 and cache.asnumpy().sum() == 4
compat.register()
"""
DOCTOR = """
from ms_scatter_pa.cli import doctor_checks
print(doctor_checks.mindspore().found)
print(doctor_checks.extension().found)
"""


def run(command: list[str], folder: Path, first: Path) -> subprocess.CompletedProcess:
    """A Python that looks into ``first`` before everything else."""
    variables = os.environ | {"PYTHONPATH": str(first), "PYTHONDONTWRITEBYTECODE": "1", "GLOG_v": "3"}
    return subprocess.run([sys.executable, *command], cwd=folder, env=variables, capture_output=True, text=True)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_nothing_is_written_into_the_installed_package(tmp_path: Path, empty: Path) -> None:
    """Root may write whatever the folder's mode says, so what is there is compared too."""
    site = tmp_path / "site"
    shutil.copytree(LIBRARY_FOLDER.parent, site / "ms_scatter_pa", ignore=shutil.ignore_patterns("__pycache__"))
    paths = [site, *site.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}
    try:
        (empty / "program.py").write_text("\n".join((examples(), WRITE, DOCTOR)))
        result = run(["program.py"], empty, site)
        assert result.returncode == 0 and "warn" not in result.stderr.lower(), result.stderr[-2000:]
        (library,) = (site / "ms_scatter_pa" / "_lib").glob("_eager*")
        assert result.stdout.splitlines()[-1] == str(library)
        after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [site, *site.rglob("*")]}
        assert after == before
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A folder with the installed MindSpore under another release's name."""
    folder = tmp_path / "first" / "mindspore"
    folder.mkdir(parents=True)
    for entry in Path(ms.__file__).parent.iterdir():
        if entry.name not in ("version.py", "__pycache__"):
            (folder / entry.name).symlink_to(entry)
    (folder / "version.py").write_text(f"__version__ = '{OLDER}'\n")
    return folder.parent


def test_another_mindspore_before_the_one_it_was_compiled_for(first: Path, empty: Path) -> None:
    installed = Path(ms.__file__).parent
    result = run(["-c", WRITE + DOCTOR], empty, first)
    assert result.returncode == 0, result.stderr[-2000:]
    sentence = (
        f"was compiled for MindSpore {ms.__version__}, which is in {installed.resolve()}, but Python finds {OLDER} in "
        f"{first / 'mindspore'} first: take one of the two away, or install ms_scatter_pa again"
    )
    assert result.stderr.count(sentence) == 2, result.stderr[-4000:]  # once for each library
    about_mindspore, about_extension = result.stdout.splitlines()[-2:]
    assert about_mindspore.startswith(OLDER), result.stdout
    assert about_mindspore.endswith(f"which Python finds before {ms.__version__} in {installed.resolve()}")
    assert sentence in about_extension


def test_one_mindspore_is_not_two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through a link, twice on the path; a folder of that name that is no package."""
    installed = Path(ms.__file__).parent
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "mindspore").symlink_to(installed)
    (tmp_path / "mindspore").mkdir()
    monkeypatch.setattr(
        sys, "path", [str(tmp_path / "link"), str(tmp_path), *sys.path, str(installed.parent), "/nowhere"]
    )
    assert mindspore_release.hidden() == []
    (tmp_path / "mindspore" / "__init__.py").touch()
    assert mindspore_release.hidden() == [("of an unknown release", tmp_path / "mindspore")]
