"""build-ascend on stand-in CANN trees: MindSpore's own custom compiler or CMake run, CANN's compilers do not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest

from ms_scatter_pa.__main__ import main
from ms_scatter_pa.backends.ascend import extension
from ms_scatter_pa.backends.ascend.callback import ahead_of_time
from ms_scatter_pa.backends.ascend.operator_package import HEADER, export_line, find_package
from ms_scatter_pa.backends.ascend.sources import AICORE_KERNELS, EAGER_ENTRY
from ms_scatter_pa.cli import asc_project
from ms_scatter_pa.cli import build_ascend as build
from tests.stand_ins import cann_tree, opbuild


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """cmake and make are on PATH whether this machine has them or not; nothing here runs them."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("cmake", "make"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH", "ASCEND_CUSTOM_OPP_PATH"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(autouse=True)
def extensions(monkeypatch):
    """The packages whose PyNative extension was asked for; its compiler needs CANN's own headers."""
    asked = []
    monkeypatch.setattr(build, "compile_extension", lambda package, cann: asked.append((package, cann)))
    return asked


@pytest.fixture(scope="module", autouse=True)
def nothing_of_ours_grows():
    """An installation may be read-only: what is built goes elsewhere."""
    folders = (AICORE_KERNELS, Path(build.__file__).parents[1])

    def names() -> set[Path]:
        return {path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts}

    before = names()
    yield
    assert names() <= before


@pytest.fixture
def cann(tmp_path, tools) -> Path:
    return cann_tree.make(tmp_path / "cann")


def run(cann: Path, tmp_path: Path, *more: str) -> int:
    return main(["build-ascend", "--cann", str(cann), "--install-path", str(tmp_path / "opp"), *more])


def test_builds_installs_and_says_what_to_export(cann, tmp_path, capsys, extensions):
    assert run(cann, tmp_path) == 0
    package = tmp_path / "opp" / "vendors" / "ms_scatter_pa"
    assert extensions == [(package, cann)]
    assert f'export ASCEND_CUSTOM_OPP_PATH={package}:"$ASCEND_CUSTOM_OPP_PATH"' in capsys.readouterr().out
    config = package / "op_impl" / "ai_core" / "tbe" / "config"
    assert sorted(path.name for path in config.iterdir()) == ["ascend910_93", "ascend910b"]
    assert find_package({"ASCEND_CUSTOM_OPP_PATH": f"/nowhere:{package}"}) == package
    assert ahead_of_time(package).is_file(), "the callback is compiled ahead"


def test_without_the_extension_the_operator_is_still_installed(cann, tmp_path, capsys, monkeypatch):
    """The compiler really runs, and misses CANN's headers."""
    monkeypatch.setattr(build, "compile_extension", extension.compile_extension)
    assert run(cann, tmp_path) == 0
    said = capsys.readouterr()
    assert (
        "not the PyNative extension" in said.err
        and "eager_entry.cc" in said.err
        and "go through ops.Custom" in said.err
    )
    assert "export ASCEND_CUSTOM_OPP_PATH" in said.out
    assert extension.load_extension(tmp_path / "opp" / "vendors" / "ms_scatter_pa") is None


def test_the_extension_is_for_one_mindspore_and_one_operator(cann, tmp_path, monkeypatch):
    assert run(cann, tmp_path) == 0
    package = tmp_path / "opp" / "vendors" / "ms_scatter_pa"
    built = tmp_path / "built.so"
    built.write_text("built")
    monkeypatch.setattr(extension, "build_extension", lambda folder, backend: built)
    target = extension.compile_extension(package, cann)
    assert target == extension.extension_path(package) and target.read_text() == "built"
    with pytest.raises(ImportError):
        extension.load_extension(package)
    monkeypatch.setattr("mindspore.__version__", "9.9")
    assert extension.load_extension(package) is None, "another MindSpore"
    monkeypatch.undo()
    header = package / "op_api" / "include" / HEADER
    header.write_text(header.read_text() + "// another operator")
    assert extension.load_extension(package) is None


@pytest.mark.parametrize("changed", range(len(extension.SOURCES)), ids=[path.name for path in extension.SOURCES])
def test_the_extension_is_for_one_version_of_the_sources(cann, tmp_path, monkeypatch, changed):
    """Of the table too: a library of another one would refuse every call, or take arguments for others."""
    assert run(cann, tmp_path) == 0
    package = tmp_path / "opp" / "vendors" / "ms_scatter_pa"
    before = extension.extension_path(package)
    newer = tmp_path / "newer.h"
    newer.write_text(extension.SOURCES[changed].read_text() + "// newer")
    sources = [newer if i == changed else path for i, path in enumerate(extension.SOURCES)]
    monkeypatch.setattr(extension, "SOURCES", tuple(sources))
    assert extension.extension_path(package) != before


def test_every_source_of_the_extension_counts():
    included = re.findall(r'#include "(.*)"', EAGER_ENTRY.read_text())
    own = {AICORE_KERNELS / name for name in included if (AICORE_KERNELS / name).is_file()}
    assert own | {EAGER_ENTRY} == set(extension.SOURCES)


def test_a_second_build_replaces_the_first(cann, tmp_path):
    assert run(cann, tmp_path) == 0
    assert run(cann, tmp_path, "--soc", "ascend910b") == 0


def test_ascend950_is_built_where_cann_knows_it(tmp_path, tools):
    cann = cann_tree.make(tmp_path / "cann", ascend950=True)
    assert run(cann, tmp_path, "--soc", "ascend950") == 0
    assert (
        tmp_path / "opp" / "vendors" / "ms_scatter_pa" / "op_impl" / "ai_core" / "tbe" / "config" / "ascend950"
    ).is_dir()


def test_cann_is_found_by_its_variable(cann, tmp_path, monkeypatch):
    monkeypatch.setenv("ASCEND_HOME_PATH", str(cann))
    assert main(["build-ascend", "--install-path", str(tmp_path / "opp"), "--soc", "ascend910b"]) == 0


def refused(capsys, *texts: str) -> None:
    error = capsys.readouterr().err
    for text in texts:
        assert text in error


def test_without_cann(tmp_path, tools, capsys, monkeypatch):
    monkeypatch.setattr("ms_scatter_pa.backends.ascend.cann_toolkit._DEFAULTS", ())
    assert main(["build-ascend", "--install-path", str(tmp_path)]) == 1
    refused(capsys, "CANN's toolkit was not found", "set_env.sh", "--cann")
    assert run(tmp_path / "missing", tmp_path) == 1
    refused(capsys, "missing is no folder")


def test_without_the_toolkit(cann, tmp_path, capsys):
    shutil.rmtree(cann / "tools" / "op_project_templates")
    assert run(cann, tmp_path) == 1
    refused(capsys, "has no project template", "asc-config.cmake", "install CANN's toolkit package")


def test_a_version_that_mindspore_does_not_take(tmp_path, tools, capsys):
    cann = cann_tree.make(tmp_path / "cann", version="8.1.RC1")
    assert run(cann, tmp_path) == 1
    refused(capsys, "CANN is 8.1.RC1", "--force goes on")
    assert run(cann, tmp_path, "--force") == 0


def test_another_version_than_mindspores_own_is_mentioned(tmp_path, tools, capsys, monkeypatch):
    monkeypatch.setattr(ms, "__version__", "2.10.0")
    assert run(cann_tree.make(tmp_path / "cann", version="9.0.0"), tmp_path) == 0
    assert "MindSpore 2.10.0 was published with CANN 9.1.0 and takes 9.0.0 too" in capsys.readouterr().out


def test_an_unknown_version_is_mentioned(tmp_path, tools, capsys):
    assert run(cann_tree.make(tmp_path / "cann", version=""), tmp_path) == 0
    assert "does not tell its version" in capsys.readouterr().out


def test_without_the_device_compiler(cann, tmp_path, capsys):
    shutil.rmtree(cann / "compiler" / "ccec_compiler")
    assert run(cann, tmp_path) == 1
    refused(capsys, "neither bisheng nor ccec")


@pytest.mark.parametrize("tool", ["cmake", "make", "g++"])
def test_without_a_host_tool(cann, tmp_path, tools, capsys, monkeypatch, tool):
    which = shutil.which
    monkeypatch.setattr(build.shutil, "which", lambda name: None if name == tool else which(name))
    assert run(cann, tmp_path) == 1
    refused(capsys, f"{tool} was not found on PATH")


def test_where_nothing_may_be_written(cann, tmp_path, capsys):
    (tmp_path / "opp").write_text("a file where the folder should be")
    assert run(cann, tmp_path) == 1
    refused(capsys, "--install-path", "cannot be written")


@pytest.mark.parametrize(("soc", "text"), [("ascend310p", "given 'ascend310p'"), ("ascend950", "graph/c_types.h")])
def test_parts_that_are_not_served(cann, tmp_path, capsys, soc, text):
    assert run(cann, tmp_path, "--soc", soc) == 1
    refused(capsys, text)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_a_build_that_fails_shows_its_log_and_leaves_nothing_behind(cann, tmp_path, temporary, capsys):
    (cann / "tools" / "op_project_templates" / "ascendc" / "customize" / "fail_build").write_text("")
    assert run(cann, tmp_path) == 1
    refused(capsys, "MindSpore's custom compiler failed", "stand-in compiler says no", "build-ascend.log")
    assert "stand-in compiler says no" in (tmp_path / "opp" / "build-ascend.log").read_text()
    assert list(temporary.iterdir()) == []


def test_an_exception_of_mindspores_compiler_is_one_line(cann, tmp_path, temporary, capsys, monkeypatch):
    """It refuses some characters in paths, before it writes any log."""
    temporary = temporary / "a;b"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    assert run(cann, tmp_path) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error and error.count("\n") == 2, error
    assert "Traceback" in (tmp_path / "opp" / "build-ascend.log").read_text()
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_said_and_nothing_left(cann, tmp_path, temporary, capsys, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(build.shutil, "copytree", full)
    assert run(cann, tmp_path) == 1
    refused(capsys, "build-ascend: somewhere: No space left on device")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["plain", "with a space", "a;touch pwned", "$(touch pwned)", "it's", "two\nlines", "`x`"]
)
@pytest.mark.parametrize("before", ["", "/an other/place"])
def test_the_export_line_is_one_word_for_a_shell(tmp_path, name, before):
    program = f'{export_line(tmp_path / name)}; printf %s "$ASCEND_CUSTOM_OPP_PATH"'
    for shell in ("sh", "bash"):
        environment = os.environ | {"ASCEND_CUSTOM_OPP_PATH": before}
        result = subprocess.run(
            [shell, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout == f"{tmp_path / name}:{before}"
    assert list(tmp_path.iterdir()) == []


def test_without_a_home_folder(cann, capsys, monkeypatch):
    monkeypatch.setattr(build, "default_install_path", lambda: None)
    assert main(["build-ascend", "--cann", str(cann)]) == 1
    refused(capsys, "no home folder can be told", "pass a folder")


def test_a_colon_in_the_install_path(cann, tmp_path, capsys):
    assert main(["build-ascend", "--cann", str(cann), "--install-path", str(tmp_path / "a:b")]) == 1
    refused(capsys, "has a colon")


def test_an_interface_that_mindspore_cannot_call_is_noticed(tmp_path, tools, capsys):
    cann = cann_tree.make(tmp_path / "cann", header=opbuild.header(outputs=("key_cache", "value_cache")))
    assert run(cann, tmp_path) == 1
    refused(capsys, "MindSpore will not be able to call it", "is not equal to aclnn api input size")


def test_without_mindspores_compiler(cann, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert run(cann, tmp_path) == 1
    refused(capsys, "MindSpore is not installed")


@pytest.fixture
def asc(tmp_path, monkeypatch) -> Path:
    """A toolkit with CANN 9's CMake functions alone, and CMake itself, which the tests' requirements bring along."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH", "ASCEND_CUSTOM_OPP_PATH"):
        monkeypatch.delenv(name, raising=False)
    return cann_tree.make_asc(tmp_path / "cann")


def test_cann_9s_own_way_is_taken_where_there_is_no_template(asc, tmp_path, capsys):
    assert run(asc, tmp_path) == 0
    assert "by CANN's own CMake functions" in capsys.readouterr().out
    package = tmp_path / "opp" / "vendors" / "ms_scatter_pa"
    config = package / "op_impl" / "ai_core" / "tbe" / "config"
    assert sorted(path.name for path in config.iterdir()) == ["ascend910_93", "ascend910b", "ascend950"]
    assert find_package({"ASCEND_CUSTOM_OPP_PATH": str(package)}) == package
    assert run(asc, tmp_path, "--soc", "ascend910b") == 0, "a second build replaces the first"


def test_the_template_is_preferred(cann, tmp_path, capsys):
    asc = cann_tree.make_asc(tmp_path / "asc")
    shutil.copytree(asc / "compiler", cann / "compiler", dirs_exist_ok=True)
    shutil.copytree(asc / "lib64", cann / "lib64")
    assert run(cann, tmp_path) == 0
    assert "by MindSpore's custom compiler" in capsys.readouterr().out


def test_every_kernel_file_is_an_operator_of_its_name(asc, tmp_path):
    kernels = build.AICORE_KERNELS / "op_kernel"
    project = tmp_path / "project"
    asc_project.write_project(project, build.AICORE_KERNELS / "op_host", kernels, ["ascend910b"])
    asc_project.build_and_install(project, asc, asc / "lib64" / "cmake" / "asc-config.cmake", tmp_path / "opp")
    registered = (project / "build" / "kernels.txt").read_text().split(";")
    assert "MsScatterPaKvCache=ms_scatter_pa_kv_cache.cpp" in registered
    assert len(registered) == len(list(kernels.glob("*.cpp")))


@pytest.mark.parametrize("step", ["cmake", "make binary", "custom_opp_stand_in.run"])
def test_a_step_of_cann_9s_way_that_fails_shows_its_log(asc, tmp_path, capsys, step):
    stand_in = asc / "stand_in"
    if step == "cmake":
        (asc / "lib64" / "cmake" / "asc-config.cmake").write_text('message(FATAL_ERROR "stand-in says no")')
    elif step == "make binary":
        (stand_in / "compile.sh").write_text("echo stand-in says no; exit 1")
    else:
        (stand_in / "install.py").write_text("print('[ERROR] stand-in says no')")  # as CANN's installer, without a code
    assert run(asc, tmp_path) == 1
    refused(capsys, f"CANN's CMake functions: {step} failed", "stand-in says no", "build-ascend.log")


def test_output_that_is_no_utf8_and_obeyed_by_a_terminal_is_kept_and_shown(asc, tmp_path, capsys):
    (asc / "stand_in" / "compile.sh").write_text(r"printf 'stand-in \377\033[2J says no\n'; exit 1")
    assert run(asc, tmp_path) == 1
    error = capsys.readouterr().err
    assert "stand-in \ufffd\\x1b[2J says no" in error and "\x1b" not in error
    assert "stand-in \ufffd" in (tmp_path / "opp" / "build-ascend.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--install-path", "--cann"])
def test_an_empty_folder_name_is_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["build-ascend", option, ""])
    assert f"argument {option}: given '', expected a folder" in capsys.readouterr().err


def test_a_package_that_is_missing_is_noticed(asc, tmp_path, capsys):
    (asc / "stand_in" / "pack.py").write_text("")
    assert run(asc, tmp_path) == 1
    refused(capsys, "left no custom_opp_*.run")
