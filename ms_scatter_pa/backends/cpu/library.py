"""The shared library of the CPU backend: the package's own, from the package's own folder."""

import ctypes
from functools import lru_cache
from pathlib import Path

LIBRARY_FOLDER = Path(__file__).resolve().parents[2] / "_lib"
LIBRARY_PATH = LIBRARY_FOLDER / "libms_scatter_pa_cpu.so"
INFER_LIBRARY_PATH = LIBRARY_FOLDER / "libms_scatter_pa_infer.so"
"""The Ascend operator's shape inference, which MindSpore calls on the host in a dynamic graph."""

_MISSING = (
    "ms_scatter_pa: the CPU library is not built ({path} is missing). Install the package with "
    "'pip install --no-build-isolation .', which compiles it; a C++17 compiler (g++) is needed."
)


def library_path() -> Path:
    """The path of the built library.

    Raises:
        ImportError: the package was not built.
    """
    if not LIBRARY_PATH.is_file():
        raise ImportError(_MISSING.format(path=LIBRARY_PATH))
    return LIBRARY_PATH


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """The library, loaded once, for calls through ctypes."""
    return ctypes.CDLL(str(library_path()))
