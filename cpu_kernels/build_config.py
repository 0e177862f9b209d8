"""What to compile and how, for everything that builds the CPU library: setup.py, the tests and the benchmarks.

No dependencies: load it by path, e.g. with ``importlib.util.spec_from_file_location``.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent
LIBRARY_NAME = "libms_scatter_pa_cpu.so"

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
COMPILE_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-ffp-contract=off",
]
LINK_FLAGS = ["-shared", "-pthread", "-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now"]


def core_sources() -> list[Path]:
    """The operator over raw pointers, without any entry."""
    return sorted((ROOT / "core").glob("*.cc"))


def library_sources() -> list[Path]:
    """Everything that goes into ``libms_scatter_pa_cpu.so``."""
    return [*core_sources(), *(ROOT / name for name in ("call.cc", "plain_entry.cc", "aot_entry.cc"))]


def compile_command(output: Path, *, compiler: str = "g++", extra: list[str] | None = None) -> list[str]:
    """One command that builds the library; ``extra`` flags come last."""
    sources = [str(source) for source in library_sources()]
    return [compiler, *COMPILE_FLAGS, *WARNINGS, *sources, *LINK_FLAGS, "-o", str(output), *(extra or [])]
