"""The PyNative extension: compiled by ``build-ascend`` into the installed operator package, loaded at the first call."""

import hashlib
import importlib.util
import shutil
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

import mindspore as ms

from .compile_callback import cann_environment
from .operator_package import HEADER
from .sources import AICORE_KERNELS, EAGER_ENTRY

NAME = "ms_scatter_pa_ascend"

SOURCES = (EAGER_ENTRY, AICORE_KERNELS / "aclnn_runner.h", AICORE_KERNELS / "op_kernel" / "ms_scatter_pa_op_info.h")
"""All that is compiled of this package: another table of arguments asks for another library."""


def extension_path(package: Path) -> Path:
    """Where it is for this MindSpore, this Python, this package's sources and the installed operator."""
    header = (package / "op_api" / "include" / HEADER).read_bytes()
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    sources = b"".join(source.read_bytes() for source in SOURCES)
    stamp = hashlib.sha256(ms.__version__.encode() + header + sources).hexdigest()[:16]
    return package / "ms_scatter_pa" / stamp / f"{NAME}{suffix}"


def compile_extension(package: Path, cann: Path) -> Path:
    """Compiles it against MindSpore's and CANN's headers and returns the library.

    Raises:
        RuntimeError: the compiler refuses it.
    """
    target = extension_path(package)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ms_scatter_pa_") as folder, cann_environment(package, cann):
        built = build_extension(Path(folder), backend="Ascend")
        shutil.copyfile(built, target)
    return target


def build_extension(
    folder: Path,
    *,
    name: str = NAME,
    source: Path = EAGER_ENTRY,
    backend: str = "Ascend",
    headers: tuple[Path, ...] = (),
    objects: tuple[Path, ...] = (),
    cflags: str = "",
) -> Path:
    """MindSpore's custom op builder on the entry; ``headers`` are searched first, ``objects`` linked too.

    Raises:
        RuntimeError: the compiler refuses it.
    """
    from mindspore.ops import CustomOpBuilder

    builder = CustomOpBuilder(
        name,
        [str(source)],
        backend=backend,
        include_paths=[*map(str, headers), str(AICORE_KERNELS)],
        cflags=cflags or None,
        # The builder's own line gives this library as the argument of the option before it.
        ldflags=" ".join(["-lmindspore_core", *map(str, objects)]),
        build_dir=str(folder),
    )
    try:
        return Path(str(builder.build()))
    except Exception as error:
        raise RuntimeError(f"MindSpore's custom op builder refuses {source.name}: {str(error)[-2000:]}") from error


def load_extension(package: Path) -> ModuleType | None:
    """The extension of an installed package; None where it was not compiled for this MindSpore and this Python.

    Raises:
        ImportError: it is there and does not load.
    """
    path = extension_path(package)
    return load_library(path) if path.is_file() else None


def load_library(path: Path, name: str = NAME) -> ModuleType:
    """A library as the Python module that it is."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
