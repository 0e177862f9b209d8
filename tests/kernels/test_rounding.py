"""Narrow floats round as NumPy, ml_dtypes and ms_scatter_pa.hifloat8 do; means keep subnormals in any mode."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ms_scatter_pa import hifloat8
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call
from ms_scatter_pa.reference import mean_row
from ms_scatter_pa.rules.table import dtype_named
from tests.kernels.generated import CPU_PATHS
from tests.support.arrays import DTYPE_NAMES, FLOATS, FLOATS_OF_8_BITS, INTEGERS, random_array, storage

Array = npt.NDArray[Any]
NARROW = tuple(name for name in FLOATS if dtype_named(name).itemsize < 4)


@pytest.fixture(scope="module")
def shim(shim_path: Path) -> ctypes.CDLL:
    shim = ctypes.CDLL(str(shim_path))
    shim.ShimRound.argtypes = [ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    shim.ShimWiden.argtypes = shim.ShimRound.argtypes
    shim.ShimGetControl.restype = ctypes.c_uint64
    shim.ShimSetControl.argtypes = [ctypes.c_uint64]
    shim.ShimSetControl.restype = None
    shim.ShimFlushBits.restype = ctypes.c_uint64
    return shim


def widen(codes: Array, name: str) -> npt.NDArray[np.float32]:
    return hifloat8.to_float32(codes) if name == "hifloat8" else codes.view(storage(name)).astype(np.float32)


def all_codes(name: str) -> Array:
    bits = 8 * dtype_named(name).itemsize
    return np.arange(1 << bits, dtype=np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("name", NARROW)
def test_every_code_widens_exactly(shim: ctypes.CDLL, name: str) -> None:
    codes = all_codes(name)
    wide = codes.astype(np.uint16)
    got = np.empty(codes.size, np.float32)
    shim.ShimWiden(dtype_named(name).code, wide.ctypes.data, got.ctypes.data, codes.size)
    want = widen(codes, name)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    numbers = ~np.isnan(want)
    assert np.array_equal(got[numbers].view(np.uint32), want[numbers].view(np.uint32))


@pytest.mark.parametrize("name", NARROW)
def test_rounds_to_the_right_neighbour(shim: ctypes.CDLL, name: str) -> None:
    """Every value, every midpoint of two, both with their neighbours in float32, every exponent, and random bits."""
    values = np.unique(widen(all_codes(name), name))
    values = values[np.isfinite(values)]
    midpoints = ((values[:-1].astype(np.float64) + values[1:]) / 2).astype(np.float32)
    exponents = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 1.25 * 2.0**15, 2.0**-23], np.float32)
    with np.errstate(over="ignore"):
        beyond = values[-1:] * np.array([1.03, 1.0625, 1.125, 1.25, 1.5, 2.0], np.float32)
        near = np.concatenate([values, midpoints, beyond, -beyond, exponents, -exponents, special])
        near = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    anything = np.random.default_rng(0).integers(0, 1 << 32, 1 << 20, dtype=np.uint32).view(np.float32)
    inputs = np.ascontiguousarray(np.concatenate([near, anything]).astype(np.float32))

    got = np.empty(inputs.size, np.uint16)
    shim.ShimRound(dtype_named(name).code, inputs.ctypes.data, got.ctypes.data, inputs.size)
    with np.errstate(all="ignore"):
        if name == "hifloat8":
            want = hifloat8.from_float32(inputs).astype(np.uint16)
        else:
            want = inputs.astype(storage(name)).view(f"u{dtype_named(name).itemsize}").astype(np.uint16)
        nan = np.isnan(widen(want.astype(all_codes(name).dtype), name))
        assert np.array_equal(nan, np.isnan(widen(got.astype(all_codes(name).dtype), name)))
    assert np.array_equal(got[~nan], want[~nan])


def core_mean(library: CoreLibrary, rows: Array, name: str, num_threads: int = 1) -> Array:
    """The mean row that Rope writes for [n, D] rows of one head."""
    cache = np.zeros((1, 1, 1, rows.shape[1]), rows.dtype)
    call = make_call(
        rows[None, :, None, :],
        None,
        cache,
        None,
        np.array([[0]]),
        layout="Norm",
        scatter_mode="Rope",
        compress_lens=np.array([[len(rows)]]),
        compress_seq_offsets=np.array([0]),
        seq_lens=np.array([len(rows)]),
        dtype=name,
        num_threads=num_threads,
    )
    assert library.scatter(call) == [0, 0, 0, 0]
    return cache.reshape(-1)


def assert_same_mean(got: Array, want: Array, name: str) -> None:
    if dtype_named(name).kind == "float":
        codes = [array.view(f"u{array.itemsize}") for array in (got, want)]
        nan = [np.isnan(widen(c, name)) if name != "float32" else np.isnan(c.view(np.float32)) for c in codes]
        assert np.array_equal(nan[0], nan[1])
        got, want = (c[~nan[0]] for c in codes)
    assert got.tobytes() == want.tobytes()


def supported(library: CoreLibrary) -> list[str]:
    return [path for path in CPU_PATHS if library.c.MsspSetCpuFeatures(path.encode())]


@pytest.mark.parametrize("name", FLOATS_OF_8_BITS)
def test_mean_of_every_pair_of_codes(library: CoreLibrary, name: str) -> None:
    codes = np.stack(np.meshgrid(all_codes(name), all_codes(name))).reshape(2, -1).view(storage(name))
    want = mean_row(codes, name)
    for path in supported(library):
        library.c.MsspSetCpuFeatures(path.encode())
        assert_same_mean(core_mean(library, codes, name), want, name)


@pytest.mark.parametrize("name", DTYPE_NAMES)
@pytest.mark.parametrize("any_bits", [True, False])
def test_mean_of_many_rows(library: CoreLibrary, name: str, any_bits: bool) -> None:
    """Rows in order, one rounding at the end: a tree of sums would differ."""
    rng = np.random.default_rng(3)
    for n, columns in ((1, 257), (2, 1000), (3, 4096), (7, 129), (100, 77), (1000, 136)):
        rows = random_array(rng, (n, columns), name, any_bits=any_bits)
        want = mean_row(rows, name)
        for path in supported(library):
            library.c.MsspSetCpuFeatures(path.encode())
            assert_same_mean(core_mean(library, rows, name), want, name)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_mean_truncates_towards_zero(library: CoreLibrary, name: str) -> None:
    info = np.iinfo(name)
    extremes = np.array([info.min, info.min + 1, 0, 1, info.max - 1, info.max], name)
    rows = np.stack(np.meshgrid(extremes, extremes, extremes)).reshape(3, -1)
    want = np.array([int(sum(map(int, c)) / 3) if abs(sum(map(int, c))) < 2**50 else 0 for c in rows.T]).astype(name)
    for path in supported(library):
        library.c.MsspSetCpuFeatures(path.encode())
        assert np.array_equal(core_mean(library, rows, name), want)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("threads", [1, 3])
def test_subnormals_survive_flush_to_zero(library: CoreLibrary, shim: ctypes.CDLL, name: str, threads: int) -> None:
    """Frameworks' graph threads run with flush-to-zero; workers inherit it from the thread that starts them."""
    library.c.MsspSetThresholds(-1, 1)
    itemsize = dtype_named(name).itemsize
    rng = np.random.default_rng(1)
    small = rng.integers(0, 4 if itemsize == 1 else 1 << (5 * itemsize), (2, 64)).astype(f"u{itemsize}")
    rows = small.view(storage(name))
    want = mean_row(rows, name)
    assert want.view(f"u{itemsize}").any()
    before = shim.ShimGetControl()
    for path in supported(library):
        library.c.MsspSetCpuFeatures(path.encode())
        shim.ShimSetControl(before | shim.ShimFlushBits())
        try:
            got = core_mean(library, rows, name, threads)
            after = shim.ShimGetControl()
        finally:
            shim.ShimSetControl(before)
        assert after & shim.ShimFlushBits() == shim.ShimFlushBits(), "the caller's mode is given back"
        assert_same_mean(got, want, name)
