"""Builds the package: shared libraries in ``ms_scatter_pa/_lib``, and a copy of the Ascend C sources.

``libms_scatter_pa_cpu.so`` is the operator without MindSpore or Python; ``_eager`` is MindSpore's pyboost extension and
``_builtins`` CPU kernels for its built-in operators that have none, both compiled against the installed MindSpore;
``libms_scatter_pa_infer.so`` tells MindSpore's host side the Ascend operator's output shape. All are made at install
time, never later. The Ascend sources are copied to ``ms_scatter_pa/aicore_kernels``: ``python -m ms_scatter_pa
build-ascend`` compiles them where CANN is.
"""

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What tools/wheels.py says: the folder of the MindSpore to compile against, another machine than this one, and that the
# result is to be given to others.
FOR_MINDSPORE = os.environ.get("MS_SCATTER_PA_BUILD_MINDSPORE")
FOR_MACHINE = os.environ.get("MS_SCATTER_PA_BUILD_MACHINE")
FOR_OTHERS = os.environ.get("MS_SCATTER_PA_BUILD_WHEEL") == "1"
OLDEST_GCC = 9
# Extension -> its source. They need nothing of each other.
EXTENSIONS = {"_eager": "entries/eager_entry.cc", "_builtins": "entries/builtin_entry.cc"}
# Those of them that the installed release has: 2.7 keeps the runner of extensions in mindspore_extension.
MINDSPORE_LIBRARIES = (
    "mindspore_core",
    "mindspore_common",
    "mindspore_ms_backend",
    "mindspore_ops",
    "mindspore_pynative",
    "mindspore_pyboost",
    "mindspore_runtime_pipeline",
    "mindspore_hardware_abstract",
    "mindspore_extension",
)
# Where the installed MindSpore is, seen from ms_scatter_pa/_lib in the same site-packages; an install on the machine
# that compiles adds the folder it was built against, which an editable one needs.
MINDSPORE_FROM_LIB = "$ORIGIN/../../mindspore/lib"


def _library_folders(mindspore: Path) -> tuple[str, ...]:
    own = ("$ORIGIN", MINDSPORE_FROM_LIB)
    return own if FOR_OTHERS else (*own, str(mindspore / "lib"))


def _module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build_config = _module_at(ROOT / "cpu_kernels" / "build_config.py")
LIBRARY_STEM = Path(build_config.LIBRARY_NAME).stem
INFER_STEM = "libms_scatter_pa_infer"
# What build-ascend needs where CANN is: folder of aicore_kernels -> files.
ASCEND_SOURCES = {
    ".": ("aclnn_runner.h", "cann_operator.cc", "eager_entry.cc"),
    "op_host": ("*.cpp", "*.h"),
    "op_kernel": ("*.cpp", "*.h"),
}


def _mindspore_folder() -> Path:
    if FOR_MINDSPORE:
        return Path(FOR_MINDSPORE)
    spec = importlib.util.find_spec("mindspore")  # without importing it, which takes seconds
    if spec is None or spec.origin is None:
        raise SystemExit(
            "ms_scatter_pa: MindSpore is not installed in the environment that compiles. Run 'make install', or install "
            "mindspore first and then this package with 'pip install --no-build-isolation .'; without "
            "--no-build-isolation pip compiles in an empty environment."
        )
    return Path(spec.origin).parent


def _mindspore_release(mindspore: Path) -> str:
    """What ``mindspore.__version__`` will say."""
    return (mindspore / "version.py").read_text().split("'")[1]


def _mindspore_version(mindspore: Path) -> int:
    """The release as one number: 2.10.0 is 21000."""
    major, minor, patch = _mindspore_release(mindspore).split(".")[:3]
    return int(major) * 10000 + int(minor) * 100 + int(re.match(r"\d+", patch).group())  # type: ignore[union-attr]


def _compiler() -> list[str]:
    try:
        return build_config.find_compiler(os.environ.get("CXX"))
    except FileNotFoundError as error:
        raise SystemExit(
            f"ms_scatter_pa: the C++ compiler '{error}' was not found. Install g++ ({OLDEST_GCC} or newer), or set CXX to a C++17 "
            "compiler, and install again."
        ) from None


def _user_flags() -> list[str]:
    """CXXFLAGS, as everywhere; they come last, so that they win."""
    given = os.environ.get("CXXFLAGS", "")
    try:
        return shlex.split(given)
    except ValueError as error:
        raise SystemExit(
            f"ms_scatter_pa: CXXFLAGS is {given!r}, which is no list of flags ({error}). Correct its quotation marks, or "
            "unset it, and install again."
        ) from None


def _refuse_old(compiler: list[str]) -> None:
    """Asked after it failed: whatever an old compiler says then, its age is why."""
    command = [*compiler, "-dM", "-E", "-x", "c++", os.devnull]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    macros = dict(re.findall(r"^#define (\w+) (\d+)$", result.stdout, re.MULTILINE))
    if "__clang__" not in macros and int(macros.get("__GNUC__", OLDEST_GCC)) < OLDEST_GCC:
        raise SystemExit(
            f"ms_scatter_pa: the C++ compiler '{shlex.join(compiler)}' is g++ {macros['__GNUC__']}, which is too old: install "
            f"g++ {OLDEST_GCC} or newer, or set CXX to a newer C++17 compiler, and install again."
        )


def _refuse_folder(folder: Path) -> None:
    """Said before minutes of compiling: where the libraries stay, MindSpore and the loader have to find them."""
    found = re.search(r":|\$(?:ORIGIN|LIB|PLATFORM)(?!\w)|\$\{(?:ORIGIN|LIB|PLATFORM)\}", str(folder), re.ASCII)
    if found is not None:
        raise SystemExit(
            f"ms_scatter_pa: the folder {folder} has '{found.group()}' in its path, which MindSpore or the system's loader takes for "
            "something else: move it to another folder and install again."
        )


def _run(compiler: list[str], command: list[str], what: str) -> None:
    print(f"ms_scatter_pa: {what}", flush=True)
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode != 0:
        _refuse_old(compiler)
        raise SystemExit(f"ms_scatter_pa: {what} failed:\n{shlex.join(command)}\n{result.stderr[-8000:]}")


def _extension_commands(name: str, compiler: list[str], mindspore: Path, output: Path, work: Path) -> list[list[str]]:
    """Compiles, then links; run in ROOT, so that MindSpore's errors quote the source's path from there."""
    compiled = work / f"{name}.o"
    return [
        [
            *compiler,
            *("-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", *build_config.WARNINGS),
            *(f"-DMS_EXTENSION_NAME={name}", *build_config.mindspore_flags(mindspore)),
            f"-DMSSP_MINDSPORE={_mindspore_version(mindspore)}",
            f"-DMSSP_MINDSPORE_RELEASE={_mindspore_release(mindspore)}",
            "-Icpu_kernels",
            *("-isystem", sysconfig.get_path("include")),
            # MindSpore's headers put their own path into the messages of their checks.
            *([f"-fmacro-prefix-map={mindspore}=mindspore"] if FOR_OTHERS else []),
            *_user_flags(),
            *("-c", f"cpu_kernels/{EXTENSIONS[name]}", "-o", str(compiled)),
        ],
        [
            *compiler,
            *("-shared", str(compiled), "-o", str(output)),
            *(f"-L{output.parent}", "-l:" + build_config.LIBRARY_NAME, f"-L{mindspore / 'lib'}"),
            *(f"-l{name}" for name in MINDSPORE_LIBRARIES if (mindspore / "lib" / f"lib{name}.so").exists()),
            *build_config.run_path_flags(_library_folders(mindspore)),
            *("-Wl,-z,relro", "-Wl,-z,now", "-s", *_user_flags()),
        ],
    ]


def _infer_command(compiler: list[str], output: Path) -> list[str]:
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", *build_config.WARNINGS, "-s"]
    # std::vector crosses the border to MindSpore, which is built with the old C++ interface.
    source = ROOT / "aicore_kernels" / "shape_infer.cc"
    return [*compiler, *flags, *_user_flags(), "-D_GLIBCXX_USE_CXX11_ABI=0", str(source), "-o", str(output)]


class BuildLibraries(build_ext):  # type: ignore[misc]
    """Compiles each library with commands of its own: setuptools knows neither a library that is no Python module nor
    MindSpore's flags. Two at a time; an extension is linked when the CPU's library is there."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.core_is_done = threading.Event()

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or 2

    def get_ext_filename(self, fullname: str) -> str:
        *parents, name = fullname.split(".")
        if name in (LIBRARY_STEM, INFER_STEM):
            return os.path.join(*parents, f"{name}.so")
        file_name = str(super().get_ext_filename(fullname))
        return file_name.replace(platform.machine(), FOR_MACHINE) if FOR_MACHINE else file_name

    def run(self) -> None:
        _user_flags()  # setuptools reads them too, and ends in a traceback of its own
        if self.inplace or self.editable_mode:
            _refuse_folder(ROOT)
        super().run()

    def build_extension(self, ext: Any) -> None:
        output = Path(self.get_ext_fullpath(ext.name))
        output.parent.mkdir(parents=True, exist_ok=True)
        compiler, mindspore = _compiler(), _mindspore_folder()
        if output.name == build_config.LIBRARY_NAME:
            print("ms_scatter_pa: compiling the CPU operator", flush=True)
            try:
                library = build_config.build_library(Path(self.build_temp), compiler=compiler, extra=_user_flags())
                shutil.copy(library, output)
            except subprocess.CalledProcessError as error:
                _refuse_old(compiler)
                raise SystemExit(f"ms_scatter_pa: compiling the CPU operator failed: {shlex.join(error.cmd)}") from None
            finally:
                self.core_is_done.set()
            return
        if output.stem == INFER_STEM:
            _run(compiler, _infer_command(compiler, output), "compiling the Ascend operator's shape inference")
            return
        name = ext.name.rpartition(".")[2]
        if not Path(sysconfig.get_path("include"), "Python.h").is_file():
            raise SystemExit(
                f"ms_scatter_pa: Python.h is not in {sysconfig.get_path('include')}: install the headers of Python "
                f"{sys.version_info.major}.{sys.version_info.minor} (python3-dev, python3-devel) and install again."
            )
        work = Path(self.build_temp).resolve()
        work.mkdir(parents=True, exist_ok=True)
        compiling, linking = _extension_commands(name, compiler, mindspore, output.resolve(), work)
        _run(compiler, compiling, f"compiling {EXTENSIONS[name]} against MindSpore (up to half a minute)")
        self.core_is_done.wait()
        if (output.parent / build_config.LIBRARY_NAME).is_file():  # else its own error is the one to show
            _run(compiler, linking, f"linking {EXTENSIONS[name]}")

    def copy_extensions_to_source(self) -> None:
        (ROOT / "ms_scatter_pa" / "_lib").mkdir(exist_ok=True)  # an editable install into a fresh clone
        super().copy_extensions_to_source()


class BuildPython(build_py):  # type: ignore[misc]
    """Adds the Ascend C sources; an editable install finds them in the clone."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder, patterns in ASCEND_SOURCES.items():
            target = Path(self.build_lib) / "ms_scatter_pa" / "aicore_kernels" / folder
            target.mkdir(parents=True, exist_ok=True)
            for pattern in patterns:
                for source in sorted((ROOT / "aicore_kernels" / folder).glob(pattern)):
                    shutil.copy(source, target)


def _version() -> str:
    text = (ROOT / "ms_scatter_pa" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    # A library compiled against one MindSpore release is of no use beside another. 2.10.0 is written 2.10.
    return found.group(1) + (f"+ms{_mindspore_release(_mindspore_folder()).removesuffix('.0')}" if FOR_OTHERS else "")


setup(
    version=_version(),
    ext_modules=[
        Extension(f"ms_scatter_pa._lib.{LIBRARY_STEM}", sources=[]),
        Extension(f"ms_scatter_pa._lib.{INFER_STEM}", sources=[]),
        *(Extension(f"ms_scatter_pa._lib.{name}", sources=[]) for name in EXTENSIONS),
    ],
    cmdclass={"build_ext": BuildLibraries, "build_py": BuildPython},
    options={"bdist_wheel": {"plat_name": f"linux_{FOR_MACHINE}"}} if FOR_MACHINE else {},
    zip_safe=False,
)
