"""The built-in operators: through plain C on every instruction set, and through MindSpore in both modes."""

import ctypes
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from .library import Builtins

LIBRARY = Path(find_spec("ms_scatter_pa").origin).parent / "_lib" / "libms_scatter_pa_cpu.so"
ONEDNN = Path(find_spec("mindspore").origin).parent / "lib" / "libdnnl.so.3"
SETS = ("avx512", "avx2", "neon", "portable")


def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(str(LIBRARY))


def available_sets() -> list[str]:
    library = _loaded()
    found = [name for name in SETS if library.MsspSetCpuFeatures(name.encode())]
    library.MsspSetCpuFeatures(None)
    return found


def sgemm_of_onednn() -> ctypes.c_void_p:
    return ctypes.cast(ctypes.CDLL(str(ONEDNN)).dnnl_sgemm, ctypes.c_void_p)


@pytest.fixture(params=available_sets())
def instruction_set(request) -> Iterator[str]:
    library = _loaded()
    assert library.MsspSetCpuFeatures(request.param.encode())
    yield request.param
    library.MsspSetCpuFeatures(None)


@pytest.fixture(params=["sgemm", "own"])
def product(request) -> Iterator[str]:
    """Blocks of scores by oneDNN's matrix product, or by the kernels here."""
    library = _loaded()
    library.MsspBuiltinSetSgemm(sgemm_of_onednn() if request.param == "sgemm" else None)
    yield request.param
    library.MsspBuiltinSetSgemm(sgemm_of_onednn())


@pytest.fixture(params=["cached", "streamed"])
def stores(request, builtins) -> str:
    """Large results go past the caches: here small ones too, where their rows are multiples of 16 bytes."""
    _loaded().MsspSetThresholds(ctypes.c_int64(1 if request.param == "streamed" else -1), ctypes.c_int64(1))
    return request.param


@pytest.fixture
def builtins() -> Iterator[Builtins]:
    library = _loaded()
    library.MsspSetNumThreads(2)
    library.MsspSetThresholds(ctypes.c_int64(-1), ctypes.c_int64(1))  # small calls share their work out too
    yield Builtins(library)
    library.MsspSetNumThreads(0)
    library.MsspSetThresholds(ctypes.c_int64(-1), ctypes.c_int64(-1))
