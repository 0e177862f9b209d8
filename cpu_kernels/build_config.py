"""What to compile and how, for everything that builds the CPU library: setup.py, the tests and the benchmarks.

No dependencies: import it by path.
"""

import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LIBRARY_NAME = "libms_scatter_pa_cpu.so"

WARNINGS = ["-Wall", "-Wextra"]
# For the project's own checks: another compiler's new warning must not stop a user's installation.
STRICT = [*WARNINGS, "-Werror"]
# No contraction: a mean is one rounding per addition. Instruction sets are chosen at run time, never by a flag.
COMPILE_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-ffp-contract=off",
]
# Sleeping worker threads outlive dlclose.
LINK_FLAGS = ["-shared", "-pthread", "-Wl,-z,defs", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,nodelete"]
# Templates of the standard library are exported whatever -fvisibility says.
LINK_FLAGS += ["-Xlinker", f"--version-script={ROOT / 'exports.map'}"]  # the compiler divides -Wl at every comma


def core_sources() -> list[Path]:
    """The operator over raw pointers, without any entry."""
    return sorted((ROOT / "core").rglob("*.cc"))


def compat_sources() -> list[Path]:
    """MindSpore's built-in operators over raw pointers."""
    return sorted((ROOT / "compat").rglob("*.cc"))


def flags_of(source: Path) -> list[str]:
    """The built-in operators' vectors may fuse a product and a sum: theirs are sums in no promised order."""
    fused = source.parent.name == "simd" and source.parent.parent.name == "compat"
    return [*COMPILE_FLAGS, *(["-ffp-contract=fast"] if fused else [])]


def library_sources() -> list[Path]:
    """Everything that goes into ``libms_scatter_pa_cpu.so``."""
    return [
        *core_sources(),
        *compat_sources(),
        *(
            ROOT / "entries" / name
            for name in ("call_from_tensors.cc", "paged_run.cc", "plain_entry.cc", "aot_entry.cc")
        ),
    ]


def find_compiler(given: str | None) -> list[str]:
    """``CXX`` as a command: a program, or one with arguments, such as ``ccache g++``; None or empty: ``g++``.

    Raises:
        FileNotFoundError: there is no such program; the text names it.
    """
    given = (given or "").strip() or "g++"
    if shutil.which(given) is not None:  # its path may have spaces
        return [given]
    try:
        command = shlex.split(given)
    except ValueError:  # a quotation mark too many
        command = [given]
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(command[0])
    return command


def build_library(
    directory: Path, *, compiler: Sequence[str] = ("g++",), extra: Sequence[str] = (), jobs: int = 2
) -> Path:
    """Compiles the library into ``directory`` and returns its path; ``extra`` flags go to compiler and linker."""
    directory.mkdir(parents=True, exist_ok=True)
    objects = [directory / (source.stem + ".o") for source in library_sources()]

    def compile_one(source: Path, target: Path) -> None:
        command = [*compiler, *flags_of(source), *WARNINGS, f"-I{ROOT}", *extra, "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(compile_one, library_sources(), objects))
    library = directory / LIBRARY_NAME
    subprocess.run([*compiler, *extra, *map(str, objects), *LINK_FLAGS, "-o", str(library)], check=True)
    return library


def run_path_flags(folders: Iterable[str]) -> list[str]:
    """What writes the folders into a library, for the loader to look for other libraries in.

    A colon divides the loader's list and cannot be written otherwise: a folder whose path has one is left out.
    """
    flags = ("-Xlinker", "-rpath", "-Xlinker")  # not -Wl: the compiler divides that at every comma
    return [word for folder in folders if ":" not in folder for word in (*flags, folder)]


def mindspore_flags(mindspore: Path) -> list[str]:
    """What code needs that includes MindSpore's headers; ``mindspore`` is the installed package's folder."""
    include = mindspore / "include"
    inner = (
        *("", "include", "core/include", "core/mindrt/include", "core/mindrt", "ops", "ops/include"),
        *("ops/kernel/include", "ccsrc", "ccsrc/include", "ccsrc/minddata/mindrecord/include"),
    )
    folders = [
        mindspore,
        include,
        *(include / "third_party" / name for name in ("", "robin_hood_hashing", "securec/include")),
        *(include / "mindspore" / name for name in inner),
    ]
    flags = ["-D_GLIBCXX_USE_CXX11_ABI=0", "-DENABLE_FAST_HASH_TABLE=1"]
    return [*flags, *(flag for folder in folders for flag in ("-isystem", str(folder)))]
