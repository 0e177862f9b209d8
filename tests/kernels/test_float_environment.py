"""The NumPy reference keeps subnormal numbers where a library has turned flush-to-zero on in the calling thread."""

import ctypes
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from ms_scatter_pa import PagedKVCache, write_reference
from ms_scatter_pa.float_environment import _mathematics, ieee_floats
from ms_scatter_pa.paged_reference import dequantise, dynamic_scale, quantise
from ms_scatter_pa.reference import mean_row

# Where glibc's fenv_t has the register, and its bits for flush-to-zero (x86-64: denormals-are-zero too).
REGISTER = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
SMALLEST = np.float32(2.0**-149)


@contextmanager
def flush_to_zero() -> Iterator[None]:
    offset, bits = REGISTER[platform.machine()]
    before, changed = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    _mathematics().fegetenv(before)
    _mathematics().fegetenv(changed)
    (register,) = struct.unpack_from("I", changed, offset)
    struct.pack_into("I", changed, offset, register | bits)
    _mathematics().fesetenv(changed)
    try:
        yield
    finally:
        _mathematics().fesetenv(before)


def _bits(values: np.ndarray) -> list[int]:
    return values.view(np.uint32).tolist()


def test_the_test_turns_it_on() -> None:
    ones = np.full(4, SMALLEST)
    with flush_to_zero():
        flushed = ones + ones
    assert _bits(flushed) == [0] * 4
    assert _bits(ones + ones) == [2] * 4


def test_the_environment_is_left_as_it_was() -> None:
    ones = np.full(4, SMALLEST)
    with flush_to_zero():
        with ieee_floats():
            inside = ones + ones
        after = ones + ones
    assert (_bits(inside), _bits(after)) == ([2] * 4, [0] * 4)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_mean_of_subnormal_numbers(dtype: str) -> None:
    rows = np.full((3, 4), 1, np.uint32 if dtype == "float32" else np.uint16).view(dtype)
    with flush_to_zero():
        mean = mean_row(rows, dtype)
    assert mean.view(rows.view(f"u{rows.itemsize}").dtype).tolist() == [1] * 4


def test_write_reference() -> None:
    cache = np.zeros((1, 4, 1, 4), np.float32)
    with flush_to_zero():
        write_reference(
            np.full((1, 2, 1, 4), SMALLEST),
            None,
            cache,
            None,
            np.array([[0]]),
            layout="Norm",
            scatter_mode="Rope",
            compress_lens=np.array([[2]]),
            compress_seq_offsets=np.array([0]),
            seq_lens=np.array([2]),
        )
    assert _bits(cache[0, 0, 0]) == [1] * 4


def test_quantised_rows_and_scales_of_subnormal_numbers() -> None:
    """The definition of the quantising write and of its inverse."""
    row = np.array([[127.0, -63.5, 1.0, 0.0]], np.float32) * np.float32(2.0**-140)
    with flush_to_zero():
        scale = dynamic_scale(row, np.int8)
        codes = quantise(row, scale[:, None], None, np.int8, -127)
        back = dequantise(codes, scale[:, None], None, np.float32)
    assert _bits(scale) == [2**9]  # 2**-140
    assert codes.tolist() == [[127, -64, 1, 0]]
    assert _bits(back[0, :3]) == [127 * 2**9, 64 * 2**9 | 1 << 31, 2**9]


def test_static_scales_of_subnormal_numbers() -> None:
    tiny = np.array([[1e-45, 2e-40]])
    with flush_to_zero():
        cache = PagedKVCache(
            num_layers=1, num_blocks=2, block_size=4, num_kv_heads=2, head_size=16, dtype="int8", scales=(tiny, tiny)
        )
        cache.allocate("a", 1)
        _, scales = cache.read("a", 0, raw=True)
    assert all(_bits(scale) == _bits(tiny[0].astype(np.float32)) for scale in scales)
