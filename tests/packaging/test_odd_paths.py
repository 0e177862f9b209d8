"""A clone may lie in a folder of any name; where the loader or MindSpore cannot take one, a sentence says so."""

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cpu_kernels import build_config
from ms_scatter_pa.backends.library_file import custom_function, damage
from ms_scatter_pa.cli import doctor_checks
from tools import debian

ROOT = Path(__file__).resolve().parents[2]
ODD = (
    "a comma, and another,",
    "a space",
    "a 'quotation' \"mark\" `too`",
    "dollar $x ${y} $$",
    "Zürich 上海",
    "a=b&c;d|e(f)<g>#h!i*j?k[l]{m}~n^o%s%p",
    r"back\slash",
    "@at -Wl,-z",
    "$LIBRARY ${LIBS} $ORIGINAL $PLATFORMS",
)
REPLACED = ("$LIB", "${LIB}", "a $ORIGIN b", "x${PLATFORM}y")
TINY = 'extern "C" __attribute__((visibility("default"))) int MsspAnswer() { return 42; }\n'
USER = 'extern "C" int MsspAnswer();\nextern "C" int Twice() { return 2 * MsspAnswer(); }\n'


def load(path: Path, function: str) -> int:
    """What the function of a library returns; another Python loads it."""
    program = f"import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).{function}())"
    result = subprocess.run(
        [sys.executable, "-S", "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    return int(result.stdout)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.cc").write_text(TINY)
    (folder / "user.cc").write_text(USER)
    subprocess.run(["g++", "-shared", "-fPIC", str(folder / "tiny.cc"), "-o", str(folder / "libtiny.so")], check=True)
    return folder


@pytest.mark.parametrize("name", ODD)
def test_a_library_finds_another_in_a_folder_of_any_name(name: str, tiny: Path, tmp_path: Path) -> None:
    """The two flags that take a path: where other libraries are, and which names are exported."""
    odd = tmp_path / name
    odd.mkdir()
    shutil.copy(tiny / "libtiny.so", odd)
    for file in ("build_config.py", "exports.map"):
        shutil.copy(ROOT / "cpu_kernels" / file, odd)
    spec = importlib.util.spec_from_file_location("build_config_of_a_clone", odd / "build_config.py")
    assert spec is not None and spec.loader is not None
    config = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(config)
    user = tmp_path / "libuser.so"
    command = ["g++", "-fPIC", str(tiny / "user.cc"), *config.LINK_FLAGS, "-o", str(user), f"-L{odd}", "-ltiny"]
    (odd / "exports.map").write_text("{ global: Twice; local: *; };\n")
    subprocess.run([*command, *config.run_path_flags([str(odd)])], check=True)
    assert load(user, "Twice") == 84


def test_no_flag_of_ours_is_divided_at_a_comma() -> None:
    assert not [flag for flag in build_config.LINK_FLAGS if flag.startswith("-Wl") and "/" in flag]
    assert "-Wl" not in " ".join(build_config.run_path_flags(["/a"]))
    said = subprocess.run(
        ["git", "grep", "-nE", r"Wl,[^\"' ]*\{"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert [line for line in said.stdout.splitlines() if "test_odd_paths" not in line] == []


def test_a_folder_with_a_colon_is_left_out_of_the_loaders_list() -> None:
    assert build_config.run_path_flags(["/a:b", "/c"]) == build_config.run_path_flags(["/c"])


@pytest.mark.parametrize("name", [*ODD, *REPLACED, "a:b"])
def test_the_loaders_own_words_are_told_before_it_fails(name: str, tiny: Path, tmp_path: Path) -> None:
    library = tmp_path / name / "libtiny.so"
    library.parent.mkdir()
    shutil.copy(tiny / "libtiny.so", library)
    found = damage(library)
    if name in REPLACED:
        assert found is not None and "the loader puts another text for $" in found and "move the package" in found
        with pytest.raises(OSError, match="cannot open shared object file"):
            ctypes.CDLL(str(library))
    else:
        assert found is None
        assert load(library, "MsspAnswer") == 42


def test_a_graph_takes_no_library_whose_path_has_a_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert custom_function(Path("/a, b/lib.so"), "F") == "/a, b/lib.so:F"
    with pytest.raises(ImportError, match=r"^ms_scatter_pa: /a:b/lib\.so: MindSpore's ops\.Custom takes no library"):
        custom_function(Path("/a:b/lib.so"), "F")
    assert doctor_checks.graph().well
    monkeypatch.setattr(doctor_checks, "LIBRARIES", Path("/a:b"))
    assert not doctor_checks.graph().well and "has a colon" in doctor_checks.graph().found


@pytest.mark.parametrize("name", ["a:b", "x $LIB y"])
def test_compiling_where_nothing_could_load_it_is_one_sentence(name: str, tmp_path: Path) -> None:
    clone = tmp_path / name
    for file in ("setup.py", "pyproject.toml", "README.md", "cpu_kernels/build_config.py", "ms_scatter_pa/__init__.py"):
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, clone / file)
    result = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith(f"ms_scatter_pa: the folder {clone} has '")
    assert result.stderr.rstrip().endswith("move it to another folder and install again.")


@pytest.mark.parametrize("name", [name for name in ODD if "LIB" not in name])
def test_the_older_compiler_starts_in_a_folder_of_any_name(name: str, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / name
    for machine in ("x86_64", "aarch64"):
        program = folder / "debian11" / "usr" / "bin" / f"{machine}-linux-gnu-g++-10"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$LD_LIBRARY_PATH" "$@"\n')
        program.chmod(0o755)
    (folder / "debian11" / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
    monkeypatch.setattr(debian, "unpack", lambda root, *_: root)
    for wrapper in debian.compilers(folder).values():
        said = subprocess.run([str(wrapper), "-c", "a b"], capture_output=True, text=True, check=True).stdout
        assert said.splitlines() == [
            str(folder / "compiler-libraries"),
            f"--sysroot={folder / 'debian11'}",
            "-c",
            "a b",
        ]


def test_the_older_compiler_and_a_colon(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="a compiler cannot be unpacked where the path has a colon"):
        debian.compilers(tmp_path / "a:b")
