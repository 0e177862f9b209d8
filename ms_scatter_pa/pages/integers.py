"""Numbers that users give: any integer type in, one checked Python int or int64 array out."""

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

_INT64 = np.iinfo(np.int64)


def integer(value: Any, name: str) -> int:
    """``value`` as a Python int: no type wraps or rounds it.

    Raises:
        TypeError: no integer.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: given {value!r} of type {type(value).__name__}, expected an integer") from None


def int64_array(values: Iterable[Any], name: str) -> Int64Array:
    """One-dimensional ``values`` as int64.

    Raises:
        TypeError: something that is no integer. ValueError: one that int64 does not hold.
    """
    if isinstance(values, np.ndarray):
        if values.size and values.dtype.kind not in "iu":
            raise TypeError(f"{name}: given an array of {values.dtype}, expected integers")
        if values.size and values.dtype == np.uint64 and values.max() > _INT64.max:
            raise ValueError(f"{name}: given {values.max()}, which int64 does not hold")
        return np.asarray(values, np.int64).reshape(-1)
    try:
        return np.fromiter(map(operator.index, values), np.int64)
    except TypeError:
        raise TypeError(f"{name}: given something that is no integer, expected integers") from None
    except OverflowError:
        raise ValueError(f"{name}: given a number that int64 does not hold") from None


def narrowed(values: Int64Array, dtype: Any, name: str) -> npt.NDArray[Any]:
    """``values`` as int32 or int64.

    Args:
        dtype: ``numpy.int32``, ``numpy.int64``, or None: int32 where every number fits, else int64.

    Raises:
        TypeError: another dtype. ValueError: a number that does not fit in int32.
    """
    if dtype is not None and np.dtype(dtype) not in (np.dtype(np.int32), np.dtype(np.int64)):
        raise TypeError(f"dtype: given {np.dtype(dtype)}, expected int32 or int64")
    small = np.iinfo(np.int32)
    fits = not values.size or (values.min() >= small.min and values.max() <= small.max)
    if dtype is None:
        return values.astype(np.int32 if fits else np.int64)
    if np.dtype(dtype) == np.int32 and not fits:
        worst = values.max() if values.max() > small.max else values.min()
        raise ValueError(f"{name}: {worst} does not fit in int32; expected dtype int64")
    return values.astype(dtype)
