"""Floating point as IEEE 754 has it, whatever a library has set in this thread.

``import mindspore`` on AArch64 turns flush-to-zero on in the thread that imports, and NumPy then computes with subnormal
numbers as zeros.
"""

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

_SIZE = 64  # more bytes than any fenv_t of the machines that MindSpore runs on
_DEFAULT = ctypes.c_void_p(-1)  # FE_DFL_ENV of glibc


@lru_cache(maxsize=1)
def _mathematics() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
    for name in ("fegetenv", "fesetenv"):
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_int
    return library


@contextmanager
def ieee_floats() -> Iterator[None]:
    """Subnormal numbers count and results round to nearest while it lasts; this thread only.

    Example:
        >>> import numpy as np
        >>> from ms_scatter_pa.float_environment import ieee_floats
        >>> with ieee_floats():
        ...     bool(np.float32(2**-140) / np.float32(2) > 0)
        True
    """
    library = _mathematics()
    before = ctypes.create_string_buffer(_SIZE)
    library.fegetenv(before)
    library.fesetenv(_DEFAULT)
    try:
        yield
    finally:
        library.fesetenv(before)
