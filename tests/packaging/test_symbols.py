"""What a wheel's libraries ask for is looked up, name by name, where it will be looked for when they load."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tools import symbols

CODE = """
extern "C" {
int PyList_Append(void *, void *);
int OfMindSpore();
int OfTheOther();
int Nowhere();
__attribute__((weak)) int NotNeeded();
int Use() { return PyList_Append(nullptr, nullptr) + OfMindSpore() + OfTheOther() + (NotNeeded ? NotNeeded() : 0) EXTRA; }
}
"""


def compile_library(path: Path, code: str, *flags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path), *flags]
    subprocess.run(command, input=code, text=True, check=True)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A MindSpore, and a system with libc and libstdc++ under their usual names."""
    root = tmp_path_factory.mktemp("symbols")
    compile_library(root / "mindspore" / "lib" / "libmindspore_core.so", 'extern "C" int OfMindSpore() { return 1; }')
    machine = sysconfig.get_platform().rpartition("-")[2]
    system = root / "system" / "usr" / "lib" / f"{machine}-linux-gnu"
    system.mkdir(parents=True)
    for name in ("libc.so.6", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1"):
        found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        (system / name).symlink_to(Path(found.strip()).resolve())
    (system / "libm.so").write_text("/* GNU ld script */ GROUP ( libm.so.6 )")
    return root


def wheel(folder: Path, name: str, extra: str = "") -> Path:
    made = folder / f"{name}.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for library, code in (
            ("_eager.so", CODE.replace("EXTRA", extra)),
            ("libother.so", 'extern "C" int OfTheOther() { return 1; }'),
        ):
            path = compile_library(folder / name / library, code)
            archive.write(path, f"package/_lib/{library}")
    return made


def missing(folder: Path, made: Path, mindspore: str = "mindspore", system: str = "system") -> dict[str, set[str]]:
    machine = sysconfig.get_platform().rpartition("-")[2]
    return symbols.missing(made, folder / mindspore, Path(sys.executable), folder / system, machine)


def test_everything_is_somewhere(folder: Path) -> None:
    """In Python, MindSpore, the wheel's other library; a weak name may be nowhere."""
    assert missing(folder, wheel(folder, "whole")) == {}


def test_a_name_that_is_nowhere_is_told(folder: Path) -> None:
    assert missing(folder, wheel(folder, "lacks", "+ Nowhere()")) == {"_eager.so": {"Nowhere"}}


def test_another_mindspore_lacks_a_name(folder: Path) -> None:
    (folder / "older" / "lib").mkdir(parents=True)
    assert missing(folder, wheel(folder, "newer"), mindspore="older") == {"_eager.so": {"OfMindSpore"}}


def test_a_name_of_the_system(folder: Path) -> None:
    made = wheel(folder, "system_name", "+ static_cast<int>(reinterpret_cast<long>(operator new(1)))")
    assert missing(folder, made) == {}
    assert missing(folder, made, system="nothing")["_eager.so"] == {"_Znwm"}
