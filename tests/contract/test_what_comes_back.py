"""The bound of docs/gather_and_quantise.md: how far a row that was quantised and read back may be from what it was."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from ms_scatter_pa.paged_reference import dequantise, quantise
from ms_scatter_pa.rules.table import CODES

COUNT = 200_000
MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23}
LEAST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126}
OFFSETS = (0.0, 0.3, -1.7, 77.7, -127.9, 500.0, 1000.3, -1e5)


def numpy_type(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def codes_of(code: str) -> np.ndarray:
    """All finite numbers of a dtype, once each, rising."""
    every = np.arange(256, dtype=np.uint8).view(numpy_type(code)).astype(np.float64)
    return np.unique(every[np.isfinite(every)])


def distances(code: str, offset: float, dtype: str, seed: int) -> np.ndarray:
    """|x' - x| without half an ulp, in half steps, of numbers beside those that lie half way between two codes."""
    rng = np.random.default_rng(seed)
    scale = np.exp2(rng.uniform(-3, 1, COUNT)).astype(np.float32)
    codes = codes_of(code)
    place = rng.integers(1, codes.size - 2, COUNT)
    half_way = (codes[place] + codes[place + 1]) / 2
    x = ((half_way - np.float64(np.float32(offset))) * scale).astype(np.float32)
    for _ in range(2):
        x = np.where(rng.random(COUNT) < 0.3, np.nextafter(x, np.float32(np.inf) * rng.choice([-1, 1])), x)
    # A scale for each number: as tokens of one head of one number.
    shift = np.float32(offset) if offset else None
    q = quantise(x, scale, shift, numpy_type(code), -128)
    back = dequantise(q, scale, shift, numpy_type(dtype)).astype(np.float64)
    found = np.searchsorted(codes, q.astype(np.float64))
    # Neither saturated nor too large for the output.
    inner = (found > 0) & (found < codes.size - 1) & np.isfinite(back)
    assert inner.mean() > 0.5
    step = np.maximum(codes[found[inner] + 1] - codes[found[inner]], codes[found[inner]] - codes[found[inner] - 1])
    ulp = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(back[inner]), LEAST_NORMAL[dtype]))) - MANTISSA[dtype])
    return (np.abs(back[inner] - x[inner]) - ulp / 2) / (step * scale[inner].astype(np.float64) / 2)


@pytest.mark.parametrize("dtype", MANTISSA)
@pytest.mark.parametrize("code", CODES)
def test_without_an_offset(code: str, dtype: str) -> None:
    assert max(distances(code, 0.0, dtype, seed).max() for seed in range(3)) <= 1 + 2.0**-15


@pytest.mark.parametrize("dtype", MANTISSA)
@pytest.mark.parametrize("offset", OFFSETS)
def test_with_an_offset(offset: float, dtype: str) -> None:
    assert distances("int8", offset, dtype, 0).max() <= 1 + 2.0**-13 + abs(offset) * 2.0**-21


def test_the_numbers_are_hard() -> None:
    """Half a step is needed, and with a large offset more than without."""
    assert distances("int8", 0.0, "float32", 0).max() > 1 - 2.0**-8
    assert distances("int8", 1000.3, "float32", 0).max() > 1 + 2.0**-15
