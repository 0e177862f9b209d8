"""The shared library of the CPU backend: the package's own, from the package's own folder."""

import ctypes
import sys
from functools import lru_cache
from pathlib import Path

from ..library_file import damage

LIBRARY_FOLDER = Path(__file__).resolve().parents[2] / "_lib"
LIBRARY_PATH = LIBRARY_FOLDER / "libms_scatter_pa_cpu.so"
INFER_LIBRARY_PATH = LIBRARY_FOLDER / "libms_scatter_pa_infer.so"
"""The Ascend operator's shape inference, which MindSpore calls on the host in a dynamic graph."""

REINSTALL = "install the package again: pip install --no-build-isolation . (needs g++)"


def advice() -> str:
    """What to do where a library is missing or does not load: this may be a clone, and the built package elsewhere."""
    root = LIBRARY_FOLDER.parents[1]
    if LIBRARY_FOLDER.is_dir() or not (root / "setup.py").is_file():
        return REINSTALL
    built = _built_elsewhere()
    where = f"the built package lies in {built}" if built else "the package is not built"
    todo = "start Python in another folder, or install it editable here" if built else "install it"
    command = "pip install --no-build-isolation " + ("-e ." if built else ".")
    return f"{root} is the source folder, which Python looks into first, and {where}: {todo}: {command}"


def _built_elsewhere() -> Path | None:
    """An installed package that this one hides, as the working folder comes first."""
    for entry in sys.path:
        package = Path(entry or ".").resolve() / LIBRARY_FOLDER.parent.name
        if package != LIBRARY_FOLDER.parent and (package / LIBRARY_FOLDER.name / LIBRARY_PATH.name).is_file():
            return package
    return None


def require_built() -> None:
    """Raises ImportError where the package has no libraries at all: this is a clone, or an archive's unpacked files."""
    if not LIBRARY_FOLDER.is_dir():
        library_path()


def library_path() -> Path:
    """The path of the built library.

    Raises:
        ImportError: the package was not built, or the file is damaged.
    """
    if not LIBRARY_PATH.is_file():
        raise ImportError(f"ms_scatter_pa: the CPU library is not built ({LIBRARY_PATH} is missing): {advice()}")
    found = damage(LIBRARY_PATH)
    if found is not None:
        raise ImportError(f"ms_scatter_pa: the CPU library does not load ({found}): {advice()}")
    return LIBRARY_PATH


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """The library, loaded once, for calls through ctypes."""
    return ctypes.CDLL(str(library_path()))
