"""Strided rows become contiguous ones: transposed, every n-th channel, broadcast, reversed, of any size."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from tests.support.arrays import Array

SIZES = st.sampled_from((1, 1, 2, 3, 7, 8, 9, 16, 33, 64, 70))  # around halves and wholes of vectors and lines
GUARD = 64


@st.composite
def strided(draw: st.DrawFn) -> Array:
    rank = draw(st.integers(0, 5))
    shape: list[int] = []
    for _ in range(rank):
        size = draw(SIZES)
        shape.append(size if np.prod(shape) * size <= 50_000 else 1)
    if shape and draw(st.integers(0, 20)) == 0:
        shape[0] = 0
    steps = [draw(st.sampled_from((1, 1, 1, 2, 3, 4, 5, -1, -2))) for _ in shape]
    dtype = np.dtype(draw(st.sampled_from(("u1", "u2", "u4", "u8"))))
    held = [size * abs(step) for size, step in zip(shape, steps, strict=True)]
    count = int(np.prod(held))
    base = np.random.default_rng(count).integers(0, 256, max(count, 1) * dtype.itemsize, np.uint8).view(dtype)
    array = base[:count].reshape(held)[tuple(slice(None, None, step) for step in steps)]
    array = array.transpose(draw(st.permutations(range(rank))))
    if rank and draw(st.booleans()) and draw(st.booleans()):
        axis = draw(st.integers(0, rank - 1))
        array = np.broadcast_to(array.take([0], axis) if array.size else array, array.shape)
    return np.asarray(array)


def copy(library: CoreLibrary, array: Array, threads: int) -> Array:
    """The contiguous copy, made between guards that must not change."""
    out = np.full(array.size * array.itemsize + 2 * GUARD, 0xA5, np.uint8)
    shape = np.array(array.shape, np.int64)
    strides = np.array([stride // array.itemsize for stride in array.strides], np.int64)
    library.c.MsspCopyContiguous(
        out.ctypes.data + GUARD,
        array.ctypes.data,
        shape.ctypes.data,
        strides.ctypes.data,
        array.ndim,
        array.itemsize,
        threads,
    )
    assert (out[:GUARD] == 0xA5).all() and (out[-GUARD:] == 0xA5).all()
    return out[GUARD : out.size - GUARD].view(array.dtype).reshape(array.shape)


@settings(max_examples=600, deadline=None)
@given(array=strided(), threads=st.sampled_from((0, 1, 2, 3)))
def test_the_copy_is_numpys(_library: CoreLibrary, array: Array, threads: int) -> None:
    _library.c.MsspSetThresholds(-1, 1)  # threads from the first byte on
    np.testing.assert_array_equal(copy(_library, array, threads), array)
    _library.c.MsspSetThresholds(-1, -1)


@pytest.mark.parametrize("itemsize", [1, 2, 4])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        (
            "[num_head, head_size, T] transposed",
            lambda x: np.ascontiguousarray(x.transpose(1, 2, 0)).transpose(2, 0, 1),
        ),
        ("[T, head_size, num_head] transposed", lambda x: np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2)),
        ("every second channel", lambda x: np.repeat(x, 2, axis=-1)[..., ::2]),
    ],
)
def test_the_ways_in_which_models_hand_rows_over(library: CoreLibrary, itemsize: int, name: str, make: Any) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (300, 8, 128 * itemsize), np.uint8).view(f"u{itemsize}")
    array = make(rows)
    assert array.strides[-1] != itemsize
    np.testing.assert_array_equal(copy(library, array, 0), rows)


@pytest.mark.parametrize(
    "change",
    [
        {"ndim": -1},
        {"ndim": 9},
        {"itemsize": 0},
        {"itemsize": 3},
        {"itemsize": 16},
        {"shape": [2, -1]},
        {"shape": [2**40, 2**40]},
        {"strides": [2**62, 1]},
        {"from": 2**64 - 4},
    ],
)
def test_of_numbers_that_cannot_be_nothing_is_copied(library: CoreLibrary, change: dict[str, Any]) -> None:
    source, out = np.ones(16, np.uint32), np.zeros(16, np.uint32)
    shape, strides = (
        np.array((change.get(n, d) + [1] * 9)[:9], np.int64) for n, d in (("shape", [2, 2]), ("strides", [2, 1]))
    )
    numbers = {"ndim": 2, "itemsize": 4, "from": source.ctypes.data} | change
    library.c.MsspCopyContiguous(
        out.ctypes.data,
        numbers["from"],
        shape.ctypes.data,
        strides.ctypes.data,
        numbers["ndim"],
        numbers["itemsize"],
        1,
    )
    assert not out.any()
    library.c.MsspStreamingCopy(out.ctypes.data, source.ctypes.data, -1, 1, 0)
    library.c.MsspStreamingCopy(out.ctypes.data, source.ctypes.data, 2**63 - 1, 0, 1)
    assert not out.any()
