"""The kernel's integer float arithmetic and the host model's conversions, against NumPy and ml_dtypes."""

import ctypes

import ml_dtypes
import numpy as np
import pytest

from ms_scatter_pa import hifloat8
from ms_scatter_pa.rules.table import dtype_named
from tests.ascendc.host_model.runner import HostModel
from tests.support.arrays import FLOATS_OF_8_BITS


def _interesting_floats() -> np.ndarray:
    """Every exponent and sign with mantissas around every place where rounding may turn, and random bits."""
    tails = np.array([0, 1, 0x7FFFFF, 0x7FFFFE], np.uint32)
    bits = np.uint32(1) << np.arange(23, dtype=np.uint32)
    mantissas = np.unique(
        np.concatenate(
            [
                tails,
                bits,
                bits - 1,
                bits + 1,
                (bits * np.uint32(3)) & 0x7FFFFF,
                0x7FFFFF - bits,
                0x7FFFFF ^ (bits - np.uint32(1)),
            ]
        )
    )
    exponents = np.arange(512, dtype=np.uint32) << np.uint32(23)
    grid = (exponents[:, None] | (mantissas[None, :] & 0x7FFFFF)).reshape(-1)
    return np.concatenate([grid, np.random.default_rng(0).integers(0, 2**32, 300_000, dtype=np.uint32)])


FLOATS = _interesting_floats()


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _same(got: np.ndarray, want: np.ndarray, nan: np.ndarray) -> bool:
    return bool(np.all((got == want) | nan))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 10, 127, 128, 4097, 65535, 2**24 - 1, 2**24 + 1, 2**31 + 129, 10**12 + 7])
def test_division_is_ieee(host_model: HostModel, n: int) -> None:
    got = np.empty_like(FLOATS)
    host_model.library.HostModelDivide(_pointer(FLOATS), ctypes.c_int64(n), ctypes.c_int64(FLOATS.size), _pointer(got))
    with np.errstate(all="ignore"):
        want = FLOATS.view(np.float32) / np.float32(n)
    assert _same(got, want.view(np.uint32), np.isnan(want) & np.isnan(got.view(np.float32)))


@pytest.mark.parametrize("name", FLOATS_OF_8_BITS)
def test_8_bit_floats_are_decoded_as_the_reference_does(host_model: HostModel, name: str) -> None:
    got = np.empty(256, np.uint32)
    host_model.library.HostModelDecode(ctypes.c_int32(dtype_named(name).code), _pointer(got))
    codes = np.arange(256, dtype=np.uint8)
    want = hifloat8.DECODE if name == "hifloat8" else codes.view(getattr(ml_dtypes, name)).astype(np.float32)
    assert _same(got, want.view(np.uint32), np.isnan(want) & np.isnan(got.view(np.float32)))


@pytest.mark.parametrize("name", FLOATS_OF_8_BITS)
def test_8_bit_floats_are_rounded_as_the_reference_does(host_model: HostModel, name: str) -> None:
    got = np.empty(FLOATS.size, np.uint8)
    code = ctypes.c_int32(dtype_named(name).code)
    host_model.library.HostModelEncode(code, _pointer(FLOATS), ctypes.c_int64(FLOATS.size), _pointer(got))
    values = FLOATS.view(np.float32)
    with np.errstate(all="ignore"):
        if name == "hifloat8":
            want = hifloat8.from_float32(values)
            nan = np.zeros(want.shape, bool)
        else:
            rounded = values.astype(getattr(ml_dtypes, name))
            want = rounded.view(np.uint8)
            nan = np.isnan(rounded.astype(np.float32)) & np.isnan(got.view(rounded.dtype).astype(np.float32))
    assert _same(got, want, nan)


def test_the_host_models_16_bit_floats_are_numpys(host_model: HostModel) -> None:
    codes = np.arange(65536, dtype=np.uint16)
    wide = [np.empty(65536, np.uint32) for _ in range(2)]
    host_model.library.HostModelHalfToFloat(_pointer(codes), ctypes.c_int64(65536), *map(_pointer, wide))
    narrow = [np.empty(FLOATS.size, np.uint16) for _ in range(2)]
    host_model.library.HostModelFloatToHalf(_pointer(FLOATS), ctypes.c_int64(FLOATS.size), *map(_pointer, narrow))
    with np.errstate(all="ignore"):
        for dtype, widened, narrowed in zip((np.float16, ml_dtypes.bfloat16), wide, narrow, strict=True):
            want = codes.view(dtype).astype(np.float32)
            assert _same(widened, want.view(np.uint32), np.isnan(want) & np.isnan(widened.view(np.float32)))
            rounded = FLOATS.view(np.float32).astype(dtype)
            nan = np.isnan(rounded) & np.isnan(narrowed.view(dtype))
            assert _same(narrowed, rounded.view(np.uint16), nan)
