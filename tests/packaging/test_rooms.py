"""Arrows run downward only: which room of the package may import which, read from the sources; and what the wheel holds."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ms_scatter_pa"

# Room -> what it may import of the package, besides itself. A top-level module is a room of its own name.
ARROWS = {
    "rules": set(),
    "hifloat8": set(),
    "float_environment": set(),
    "reference": {"rules", "hifloat8", "float_environment"},
    "backends": {"rules"},
    "status": {"rules", "backends"},
    "interleaved": {"rules"},
    "strided_rows": {"backends", "rules"},
    "functional": {"backends", "rules", "strided_rows"},
    "cell": {"backends", "rules", "status"},
    "paged_reference": {"float_environment", "reference"},
    "paged_functional": {"backends", "rules"},
    "paged_cell": {"backends", "rules", "status"},
    "cache": {"rules", "backends", "hifloat8"},
    "compat": {"functional", "paged_functional", "backends", "rules", "cache", "cell", "status"},
    "pages": {
        "rules",
        "backends",
        "interleaved",
        "functional",
        "paged_functional",
        "cell",
        "cache",
        "status",
        "hifloat8",
        "float_environment",
    },
    "printable": set(),
    "drawing": {"pages", "printable"},
    "cli": {"rules", "backends", "compat", "pages", "drawing", "printable", "status"},
    "__main__": {"cli"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms that a file imports, inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = ["ms_scatter_pa", *path.relative_to(PACKAGE).with_suffix("").parts][:-1]
    found = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            names = [".".join([*module, alias.name]) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "ms_scatter_pa" and len(parts) > 1:
                found.add(parts[1])
    return found


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_lib" not in path.parts)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_room_may(path):
    room = room_of(path)
    if room == "__init__":
        return
    rooms = {target for target in imported(path) if target in ARROWS and target != room}
    assert rooms <= ARROWS[room], f"{path.relative_to(ROOT)} imports {', '.join(sorted(rooms - ARROWS[room]))}"


def test_every_room_is_listed_and_no_arrow_leads_back():
    rooms = {room_of(path) for path in files()} - {"__init__"}
    assert rooms == set(ARROWS)
    order: list[str] = []
    while len(order) < len(ARROWS):
        ready = [room for room in ARROWS if room not in order and ARROWS[room] <= set(order)]
        assert ready, f"a circle among {sorted(set(ARROWS) - set(order))}"
        order += ready


# Folder of the C++ sources -> folders whose headers it may include, besides its own.
INCLUDES = {
    "core": {"aicore_kernels/op_kernel", "aicore_kernels/op_host"},
    "compat": {"core"},
    "entries": {"core", "compat", "aicore_kernels/op_host"},
}
SHARED_HEADERS = {"ms_scatter_pa_op_info.h", "ms_scatter_pa_cache_shape.h"}  # of aicore_kernels


@pytest.mark.parametrize("folder", INCLUDES)
def test_a_cpp_file_includes_only_what_its_folder_may(folder):
    kernels = ROOT / "cpu_kernels"
    sources = [path for path in (kernels / folder).rglob("*") if path.suffix in (".h", ".cc")]
    assert sources
    for path in sources:
        for name in re.findall(r'^#include "(.+)"$', path.read_text(encoding="utf-8"), re.MULTILINE):
            target = next(
                (base / name for base in (path.parent, kernels, kernels / "core") if (base / name).exists()), None
            )
            if target is None:  # MindSpore's
                continue
            relative = target.resolve().relative_to(ROOT)
            if relative.parts[0] == "aicore_kernels":
                room = "/".join(relative.parts[:2])
                assert target.name in SHARED_HEADERS, f"{path.relative_to(ROOT)} includes {name}"
            else:
                room = relative.parts[1]
            assert room == folder or room in INCLUDES[folder], f"{path.relative_to(ROOT)} includes {name}"


def test_only_the_backends_ask_for_the_device():
    for path in files():
        if room_of(path) not in ("backends", "cli"):
            text = path.read_text(encoding="utf-8")
            assert "device_target()" not in text and "get_context" not in text, path


def test_names_that_move_between_releases_are_imported_in_one_file():
    """A second import of them works on one release and breaks another, which nobody sees here."""
    moved = ("mindspore.graph", "mindspore.common.api", "mindspore.common.jit_context", "mindspore.common.jit_trace")
    for path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
        modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        found = [module for module in modules if f"{module}.".startswith(tuple(f"{name}." for name in moved))]
        assert not found or path.name == "moved_names.py", f"{path.relative_to(ROOT)} imports {found}"


def test_the_import_loads_no_mindspore_and_registers_nothing():
    code = "import sys, ms_scatter_pa; print('mindspore' in sys.modules, [m for m in sys.modules if '._lib' in m])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split() == ["False", "[]"]


def test_the_package_holds_the_operator_and_nothing_else(tmp_path):
    """The list of a wheel without the libraries, as setuptools collects it."""
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(tmp_path)]
    command += ["build_py", "--build-lib", str(tmp_path / "lib")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    built = {path.relative_to(tmp_path / "lib") for path in (tmp_path / "lib").rglob("*") if path.is_file()}
    python = {path.relative_to(ROOT) for path in files()}
    sources = {
        Path("ms_scatter_pa") / path.relative_to(ROOT)
        for folder in ("op_host", "op_kernel")
        for path in (ROOT / "aicore_kernels" / folder).iterdir()
    }
    entries = ("aclnn_runner.h", "cann_operator.cc", "eager_entry.cc")
    sources |= {Path("ms_scatter_pa/aicore_kernels") / entry for entry in entries} | {Path("ms_scatter_pa/py.typed")}
    assert built == python | sources
