"""The tables of ``op_info`` and those of the C++ sources are the same."""

import ctypes
import subprocess
from pathlib import Path

import build_config

from ms_scatter_pa.backends.cpu.bindings import Call, CoreLibrary, Side, Status
from ms_scatter_pa.rules.table import ARGUMENTS, CACHE_MODES, DTYPES, INDEX_DTYPES, SCATTER_MODES


def test_elements_and_arguments(shim_path: Path) -> None:
    shim = ctypes.CDLL(str(shim_path))
    shim.ShimElementName.restype = shim.ShimArgumentName.restype = ctypes.c_char_p
    shim.ShimElementSize.restype = ctypes.c_int64
    elements = [
        (shim.ShimElementName(i).decode(), shim.ShimElementCode(i), shim.ShimElementSize(i))
        for i in range(shim.ShimNumElements())
    ]
    assert elements == [(d.name, d.code, d.itemsize) for d in DTYPES]
    names = [shim.ShimArgumentName(i).decode() for i in range(shim.ShimNumArguments())]
    assert names == [a.name for a in ARGUMENTS]


def test_enumerators_and_structs(tmp_path: Path) -> None:
    """Compiles assertions about the C interface, in C, which it promises to be."""
    lines = ['#include "scatter_pa.h"', "#include <stddef.h>"]
    for prefix, names in (("MSSP_", [d.name for d in DTYPES]), ("MSSP_INDEX_", [d.name for d in INDEX_DTYPES])):
        lines += [f'_Static_assert({prefix}{n.upper()} == {i}, "{n}");' for i, n in enumerate(names)]
    for modes in (CACHE_MODES, SCATTER_MODES):
        lines += [f'_Static_assert(MSSP_{n.upper()} == {i}, "{n}");' for i, n in enumerate(modes)]
    for c_name, struct in (("MsspSide", Side), ("MsspCall", Call), ("MsspStatus", Status)):
        lines.append(f'_Static_assert(sizeof({c_name}) == {ctypes.sizeof(struct)}, "{c_name}");')
        for field in struct._fields_:
            offset = getattr(struct, field[0]).offset
            lines.append(f'_Static_assert(offsetof({c_name}, {field[0]}) == {offset}, "{field[0]}");')
    source = tmp_path / "interface.c"
    source.write_text("\n".join(lines) + "\n")
    core = build_config.ROOT / "core"
    subprocess.run(["g++", "-x", "c", "-std=c11", "-fsyntax-only", "-Werror", f"-I{core}", str(source)], check=True)


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
    entries = {"MsScatterPaKvCache", "MsScatterPaKvCacheInferShape"}  # ops.Custom finds them by these names
    assert {n for n in names if not n.startswith("Mssp")} == entries
    assert "MsspScatterPaKvCache" in names


def test_version_and_features(library: CoreLibrary) -> None:
    assert library.c.MsspVersion() == 1
    best = library.c.MsspCpuFeatures()
    assert best in (b"portable", b"avx2", b"avx512", b"neon")
    assert library.c.MsspSetCpuFeatures(b"no such set") == 0
    assert library.c.MsspCpuFeatures() == best
    assert library.c.MsspSetCpuFeatures(b"portable") == 1
    assert library.c.MsspCpuFeatures() == b"portable"
