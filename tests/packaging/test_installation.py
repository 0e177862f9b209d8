"""Installing: what the environment lacks is said in one sentence, and any C++17 compiler will do."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from cpu_kernels import build_config

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "tools" / "backend"
RECORDER = """#!/bin/sh
# A compiler that writes down what it was asked for, and makes the file that it was asked for.
echo "$@" >> "$RECORD"
while [ $# -gt 1 ]; do [ "$1" = "-o" ] && : > "$2"; shift; done
"""


def run(command: list[str], **more) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize(("version", "found"), [(None, "has none"), ("65.5.0", "has 65.5.0"), ("76.1", "has 76.1")])
def test_setuptools_that_is_too_old_or_absent(tmp_path, version, found):
    if version is not None:
        (tmp_path / "setuptools").mkdir()
        (tmp_path / "setuptools" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{BACKEND}"}
    result = run(
        [sys.executable, "-S", "-c", "import ms_scatter_pa_build"], env=environment
    )  # -S: the standard library
    assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
    for text in ("needs setuptools 77 or newer", found, f'"{sys.executable}" -m pip install'):
        assert text in result.stderr


def test_pip_shows_the_sentence(tmp_path):
    """Python 3.11 brings setuptools 65.5 into a new environment, 3.12 none: here it has none."""
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / "bin" / "python"
    run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"])
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(BACKEND, source / "tools" / "backend")
    result = run([str(python), "-m", "pip", "install", "--no-build-isolation", "--no-deps", "."], cwd=source)
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert "needs setuptools 77 or newer, and this environment has none" in printed
    assert "Traceback" not in printed and "BackendUnavailable" not in printed


def test_the_backend_has_every_hook_of_setuptools():
    from setuptools import build_meta

    names = {name for name in build_meta.__all__ if name.startswith(("build_", "get_", "prepare_"))}
    program = f"import sys; sys.path.insert(0, {str(BACKEND)!r}); import ms_scatter_pa_build as b; print(*b.__all__)"
    assert set(run([sys.executable, "-c", program]).stdout.split()) == names


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    path = tmp_path / "with a space" / "recorder"
    path.parent.mkdir()
    path.write_text(RECORDER)
    path.chmod(0o755)
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return path


def test_a_users_build_takes_compilers_with_arguments_and_does_not_fail_of_warnings(tmp_path, recorder):
    environment = os.environ | {"CXX": "recorder g++ -g", "CXXFLAGS": "-DONE -DTWO='a b'"}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(tmp_path / "lib")]
    result = run([*command, "--build-temp", str(tmp_path / "temp")], cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr
    commands = (tmp_path / "record").read_text().splitlines()
    assert (
        len(commands) == len(build_config.library_sources()) + 6
    )  # and its link; the shape inference; two extensions, in two steps
    for line in commands:
        assert line.startswith("g++ -g ") and "-DONE -DTWO=a b" in line
        assert "-Werror" not in line
    assert sum("-Wall -Wextra" in line for line in commands) == len(commands) - 3  # all but the links


def test_the_compiler_is_a_program_or_a_program_with_arguments(recorder):
    assert build_config.find_compiler("recorder") == ["recorder"]
    assert build_config.find_compiler("recorder 'g++' -m64") == ["recorder", "g++", "-m64"]
    assert build_config.find_compiler(str(recorder)) == [str(recorder)], "its path has a space"
    assert build_config.find_compiler(f"'{recorder}' -g") == [str(recorder), "-g"]
    for nothing in (None, "", "  "):
        assert build_config.find_compiler(nothing) == ["g++"]
    for given, named in (("no-such-compiler -g", "no-such-compiler"), ("'g++", "'g++")):
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(named)}$"):
            build_config.find_compiler(given)


def test_an_unknown_compiler_is_named(tmp_path):
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(tmp_path)]
    result = run(command, cwd=ROOT, env=os.environ | {"CXX": "no-such-compiler -O"})
    assert result.returncode != 0 and "the C++ compiler 'no-such-compiler' was not found" in result.stderr
    assert "Traceback" not in result.stderr


OLD = """#!/bin/sh
# A compiler of another age: it tells its version and compiles nothing.
case "$*" in *-dM*) echo "#define __GNUC__ {version}";; *) echo "error: 'charconv' was not found" >&2; exit 1;; esac
"""


@pytest.mark.parametrize(("version", "old"), [(7, True), (8, True), (9, False), (12, False)])
def test_a_compiler_that_is_too_old_is_one_sentence(tmp_path, version, old):
    compiler = tmp_path / "old-g++"
    compiler.write_text(OLD.format(version=version))
    compiler.chmod(0o755)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(tmp_path)]
    result = run([*command, "--build-temp", str(tmp_path)], cwd=ROOT, env=os.environ | {"CXX": str(compiler)})
    assert result.returncode != 0 and "Traceback" not in result.stderr
    sentence = f"is g++ {version}, which is too old: install g++ 9 or newer"
    assert (sentence in result.stderr.splitlines()[-1]) == old
    assert ("compiling the CPU operator failed" in result.stderr) == (not old)


def test_flags_that_are_no_list_are_one_sentence(tmp_path):
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(tmp_path)]
    result = run(command, cwd=ROOT, env=os.environ | {"CXXFLAGS": '"'})
    assert result.returncode != 0 and "ms_scatter_pa: CXXFLAGS is '\"', which is no list of flags" in result.stderr
    assert "Traceback" not in result.stderr
