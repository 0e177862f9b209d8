"""Whether everything that a wheel's libraries ask for is somewhere: what can be known of them without running them."""

import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ASK_PYTHON = (
    "import os, sys, sysconfig; print(os.path.realpath(sys.executable)); print(sysconfig.get_config_var('LIBDIR'))"
)


def _symbols(libraries: Iterable[Path]) -> tuple[set[str], set[str]]:
    """Names that libraries of any machine export, and names that they ask for and cannot do without."""
    paths = [str(path) for path in libraries if _is_library(path)]  # a linker script has a library's name too
    if not paths:
        return set(), set()
    command = ["readelf", "--wide", "--dyn-syms", *paths]
    table = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
    exported, wanted = set(), set()
    for line in table.splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].rstrip(":").isdigit():
            continue
        name = words[7].partition("@")[0]
        if words[6] != "UND":
            exported.add(name)
        elif words[4] != "WEAK":
            wanted.add(name)
    return exported, wanted


def _is_library(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def of_python(interpreter: Path) -> set[str]:
    """What a Python exports, itself or its library; the same names on every machine."""
    said = subprocess.run([str(interpreter), "-c", ASK_PYTHON], capture_output=True, text=True, check=True).stdout
    program, folder = said.splitlines()
    return _symbols([Path(program), *Path(folder).glob("libpython3*.so*")])[0]


def of_system(root: Path, machine: str) -> set[str]:
    """What the libraries of C and C++ export in an unpacked Debian, for this machine or for another."""
    folders = [root / "usr" / f"{machine}-linux-gnu" / "lib", root / "lib" / f"{machine}-linux-gnu"]
    folders.append(root / "usr/lib" / f"{machine}-linux-gnu")
    names = (
        "libc.so*",
        "libm.so*",
        "libdl.so*",
        "libpthread.so*",
        "librt.so*",
        "libstdc++.so*",
        "libgcc_s.so*",
        "ld-linux*",
    )
    return _symbols(path for folder in folders for name in names for path in folder.glob(name) if path.is_file())[0]


def missing(wheel: Path, mindspore: Path, interpreter: Path, root: Path, machine: str) -> dict[str, set[str]]:
    """Library of the wheel -> names that nothing of what it will find exports; empty: there are none.

    Args:
        wheel: its file.
        mindspore: the folder of the MindSpore that it is for.
        interpreter: a Python of its version, of whatever machine.
        root: an unpacked Debian with the system's libraries for ``machine``.
        machine: ``x86_64`` or ``aarch64``.
    """
    there = _symbols((mindspore / "lib").glob("*.so*"))[0] | of_python(interpreter) | of_system(root, machine)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        libraries = sorted(Path(folder).rglob("*.so"))
        there |= _symbols(libraries)[0]
        found = {path.name: _symbols([path])[1] - there for path in libraries}
    return {name: names for name, names in found.items() if names}
