"""Builds op_kernel, in device mode, on the Ascend C library of a CANN tree or an asc-devkit checkout that is there.

clang stands in for the device's compiler: its address spaces for ``__gm__`` and ``__ubuf__``, and declarations for the
builtins. Those that the kernel reaches are in ``builtins.h`` and ``model.cpp``, on the host model's machine; every
other one is declared from clang's own complaints and throws when it is reached. Nothing of the library is kept: it is
copied into the test's folder, where string literals lose their address space and adv_api its includes.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.ascendc.host_model import runner

HERE = Path(__file__).resolve().parent
KERNEL = Path(__file__).resolve().parents[3] / "aicore_kernels" / "op_kernel"
ENTRIES = ("ms_scatter_pa_kv_cache", "ms_scatter_pa_kv_cache_strided")
_PARTS = ("include/basic_api", "include/utils", "include/simt_api", "impl/basic_api", "impl/utils")
_PLACES = ("asc", "*-linux/asc", "compiler/asc", "*-linux")
_MOST_ROUNDS = 20
_910B = ("-D__NPU_ARCH__=2201", "-D__CCE_AICORE__=220", "-D__DAV_C220_VEC__", "-D__DAV_VEC__")

# What clang must not see as the library has it.
_EDITS = (
    (r"__gm__\s+(const\s+char|char)\b", r"\1"),
    (r"\bconst\s+__gm__\s+char\b", "const char"),
    (r"reinterpret_cast<([^<>]*__gm__[^<>]*)>\(", r"GmCast<\1>("),
    (r'#include "[^"]*adv_api/[^"]*"', ""),
)


def find_library(root: Path) -> Path | None:
    """The folder that holds ``include/basic_api`` and ``impl/basic_api``, in or below ``root``."""
    for folder in (root, *(found for place in _PLACES for found in sorted(root.glob(place)))):
        if all((folder / part / "basic_api").is_dir() for part in ("include", "impl")):
            return folder
    return None


def build(library: Path, folder: Path, kernel: Path = KERNEL) -> Path:
    """A library like the host model's own, with op_kernel (``kernel``) on the real Ascend C.

    Raises:
        RuntimeError: clang or g++ refuse something; their text.
    """
    copy = _copy(library, folder / "asc")
    compiled = [_compile_kernel(copy, folder, kernel, name) for name in ENTRIES]
    entries = folder / "entries.cpp"
    entries.write_text("".join(_entry(name, (kernel / f"{name}.cpp").read_text()) for name in ENTRIES))
    others = [path for path in runner.SOURCES if path.parent != KERNEL]
    includes = (f"-I{runner.INCLUDES[0][2:]}/..", "-O2")
    return runner.build(folder, *includes, sources=[*others, HERE / "model.cpp", entries, *compiled], name="libreal.so")


def _entry(name: str, source: str) -> str:
    """The function that the host model calls."""
    parameters = re.search(rf"void {name}\((.*?)\)", source, re.DOTALL)
    assert parameters is not None
    names = [f"a{i}" for i in range(parameters.group(1).count("GM_ADDR"))]
    declared = ", ".join(f"unsigned char* {one}" for one in names)
    return (
        f'extern "C" void StartOnRealLibrary();\nextern "C" void real_{name}({declared});\n'
        f'extern "C" void {name}({declared}) {{\n  StartOnRealLibrary();\n  real_{name}({", ".join(names)});\n}}\n'
    )


def _copy(library: Path, copy: Path) -> Path:
    for part in _PARTS:
        if (library / part).is_dir():
            shutil.copytree(library / part, copy / part)
    shutil.copy(library / "include" / "kernel_operator.h", copy / "include")
    for path in copy.rglob("*.h"):
        path.chmod(0o644)
        text = path.read_text(errors="replace")
        edited = text
        for pattern, replacement in _EDITS:
            edited = re.sub(pattern, replacement, edited)
        if edited != text:
            path.write_text(edited)
    return copy


def _compile_kernel(copy: Path, folder: Path, sources: Path, name: str) -> Path:
    quantisations = {
        name
        for path in copy.rglob("*.h")
        for name in re.findall(r"QuantMode_t::(\w+)", path.read_text(errors="replace"))
    }
    generated, kernel = folder / f"{name}_generated.h", folder / f"{name}.o"
    includes = [
        f"-I{copy / part}" for part in (".", "include", "include/basic_api", "include/utils", "impl", "impl/basic_api")
    ]
    command = [
        "clang++", "-std=c++17", "-c", "-w", "-fPIC", "-O1", "-ferror-limit=0", *_910B,
        f"-D{name}=real_{name}", f"-Dg_tilingKey={name}_tiling_key",
        "-include", str(HERE / "builtins.h"), "-include", str(generated), *includes, f"-I{sources}",
        "-o", str(kernel), str(sources / f"{name}.cpp"),
    ]  # fmt: skip
    types: list[str] = []
    functions: list[str] = []
    for _ in range(_MOST_ROUNDS):
        _write_declarations(generated, sorted(quantisations), types, functions)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return kernel
        new_types = set(re.findall(r"unknown type name '(\w+)'", done.stderr)) - {*types, "T", "U"}
        new = set(re.findall(r"use of undeclared identifier '(\w+)'", done.stderr)) - {*functions, *new_types, "T", "U"}
        if not new and not new_types:
            break
        types += sorted(new_types)
        functions += sorted(new)
    raise RuntimeError(done.stderr)


def _write_declarations(path: Path, quantisations: Sequence[str], types: list[str], functions: list[str]) -> None:
    lines = [f"enum QuantMode_t {{ {', '.join(quantisations)} }};"]
    lines += [f"struct {name} {{}};" for name in types]
    lines += [
        f'template <typename... A> inline uint64_t {name}(A...) {{ unmodelled("{name}"); return 0; }}'
        for name in functions
    ]
    path.write_text("\n".join(lines) + "\n")
