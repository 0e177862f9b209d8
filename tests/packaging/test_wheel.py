"""A wheel installs into a fresh environment without a compiler, and README's examples run from an empty folder there."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import mindspore as ms
import pytest

from tools.readme import examples
from tools.wheels import require_release

ROOT = Path(__file__).resolve().parents[2]
COMPILERS = ("g++", "gcc", "c++", "cc", "clang", "clang++", "ld")


def run(command: list[str], **more) -> subprocess.CompletedProcess:
    result = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """What tools/wheels.py compiles, by this machine's compiler and without its check of the platform."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    require_release(source / "pyproject.toml", ms.__version__)
    mindspore = Path(ms.__file__).parent
    variables = {"MS_SCATTER_PA_BUILD_MINDSPORE": str(mindspore), "MS_SCATTER_PA_BUILD_WHEEL": "1", "CXXFLAGS": "-O0"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    run([*command, "--wheel-dir", str(folder), str(source)], env=os.environ | variables)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture
def environment(tmp_path) -> Path:
    """A virtual environment with everything that this one has, this package aside; no path leads to a compiler."""
    folder = tmp_path / "environment"
    venv.create(folder)
    inside = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "ms_scatter_pa" not in entry.name and entry.suffix != ".pth":
            (inside / entry.name).symlink_to(entry)
    return folder


def test_it_runs_where_no_compiler_is(wheel, environment, tmp_path):
    python, path = str(environment / "bin" / "python"), str(environment / "bin")
    assert all(shutil.which(name, path=path) is None for name in COMPILERS)
    variables = {"PATH": path, "HOME": str(tmp_path), "GLOG_v": "3"}
    # With its requirements: they are met by what is there, and nothing is fetched.
    run([python, "-m", "pip", "install", "--quiet", "--no-index", str(wheel)], env=variables)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "npu_scatter_pa_kv_cache(" in examples()
    (empty / "program.py").write_text(examples() + "\nimport ms_scatter_pa; print(ms_scatter_pa.__file__)\n")
    result = run([python, "program.py"], cwd=empty, env=variables)
    assert result.stdout.splitlines()[-1].startswith(str(environment)), result.stdout
    assert "warn" not in result.stderr.lower(), result.stderr
    doctor = run([python, "-m", "ms_scatter_pa", "doctor"], cwd=empty, env=variables)
    assert "a call in PyNative mode: pyboost extension" in doctor.stdout
    for library in Path(result.stdout.splitlines()[-1]).parent.glob("_lib/*.so"):
        code = library.read_bytes()
        for place in (str(ROOT), str(Path(ms.__file__).parent)):
            assert place.encode() not in code, f"{library.name} knows a path of the machine that built it"


def test_it_requires_the_release_it_was_compiled_for(wheel):
    (found,) = importlib.metadata.distributions(path=[str(wheel)])
    assert f"mindspore=={ms.__version__}" in (found.requires or [])
    assert found.version.endswith(f"+ms{ms.__version__.removesuffix('.0')}")
