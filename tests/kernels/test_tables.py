"""The library's C interface: its structs, its headers, and what it exports."""

import ctypes
import inspect
import subprocess
from pathlib import Path
from types import ModuleType

from cpu_kernels import build_config
from ms_scatter_pa.backends.cpu import bindings, paged_bindings
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.rules.table import OPERATORS


def _structs(module: ModuleType) -> list[tuple[str, type[ctypes.Structure]]]:
    """A module's own, which have the names of C without its prefix."""
    found = inspect.getmembers(module, inspect.isclass)
    return [(n, s) for n, s in found if issubclass(s, ctypes.Structure) and s.__module__ == module.__name__]


def test_structs_are_those_of_ctypes(tmp_path: Path) -> None:
    """Compiles assertions about the C interface, in C, which it promises to be."""
    lines = ['#include "plain_entry.h"', "#include <stddef.h>"]
    structs = [(f"Mssp{name}", struct) for module in (bindings, paged_bindings) for name, struct in _structs(module)]
    assert len(structs) >= 9
    for c_name, struct in structs:
        lines.append(f'_Static_assert(sizeof({c_name}) == {ctypes.sizeof(struct)}, "{c_name}");')
        for field in struct._fields_:
            offset = getattr(struct, field[0]).offset
            member = field[0].rstrip("_")  # one is a keyword of Python
            lines.append(f'_Static_assert(offsetof({c_name}, {member}) == {offset}, "{member}");')
    source = tmp_path / "interface.c"
    source.write_text("\n".join(lines) + "\n")
    includes = [f"-I{build_config.ROOT}", f"-I{build_config.ROOT / 'entries'}"]
    subprocess.run(["g++", "-x", "c", "-std=c11", "-fsyntax-only", "-Werror", *includes, str(source)], check=True)


def test_headers_of_the_c_interface_are_c(tmp_path: Path) -> None:
    source = tmp_path / "entry.c"
    source.write_text('#include "plain_entry.h"\nint main(void) { return MsspVersion(); }\n')
    subprocess.run(
        [
            "g++",
            "-x",
            "c",
            "-std=c11",
            "-fsyntax-only",
            "-Wall",
            "-Werror",
            f"-I{build_config.ROOT}",
            f"-I{build_config.ROOT / 'entries'}",
            str(source),
        ],
        check=True,
    )


def test_nothing_else_is_exported(library_path: Path) -> None:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library_path)], check=True, capture_output=True, text=True
    ).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    functions = [operator.registered_name for operator in OPERATORS]  # ops.Custom finds them by these names
    entries = {*functions, *(f"{function}InferShape" for function in functions)}
    assert {n for n in names if not n.startswith("Mssp")} == entries
    assert "MsspScatterPaKvCache" in names


def test_version_and_features(library: CoreLibrary) -> None:
    assert library.c.MsspVersion() == 2
    best = library.c.MsspCpuFeatures()
    assert best in (b"portable", b"avx2", b"avx512", b"neon")
    assert library.c.MsspSetCpuFeatures(b"no such set") == 0
    assert library.c.MsspCpuFeatures() == best
    assert library.c.MsspSetCpuFeatures(b"portable") == 1
    assert library.c.MsspCpuFeatures() == b"portable"
