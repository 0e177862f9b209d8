"""Arrays and tensors of every dtype of the table, bit for bit: floats that NumPy lacks keep their bytes."""

import ctypes
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ms_scatter_pa import hifloat8
from ms_scatter_pa.rules.table import DTYPES, INDEX_DTYPES, dtype_named

Array = npt.NDArray[Any]

DTYPE_NAMES = tuple(dtype.name for dtype in DTYPES)
INDEX_NAMES = tuple(dtype.name for dtype in INDEX_DTYPES)
INTEGERS = tuple(dtype.name for dtype in DTYPES if dtype.kind == "int")
FLOATS = tuple(dtype.name for dtype in DTYPES if dtype.kind == "float")
FLOATS_OF_8_BITS = tuple(dtype.name for dtype in DTYPES if dtype.kind == "float" and dtype.itemsize == 1)
PARAMETER_DTYPES = tuple(dtype.name for dtype in DTYPES if dtype.reg_name is not None)
"""What MindSpore can hold in a Parameter on CPU."""


@lru_cache
def storage(name: str) -> np.dtype[Any]:
    """The NumPy dtype that holds the bits; hifloat8, which has none, is held as uint8."""
    numpy_name = "uint8" if name == "hifloat8" else name
    return np.dtype(getattr(ml_dtypes, numpy_name, None) or numpy_name)


def random_array(rng: np.random.Generator, shape: tuple[int, ...], name: str, *, any_bits: bool = True) -> Array:
    """Random bits (NaN payloads, infinities, -0.0 and subnormals among them), or floats of ordinary size."""
    dtype = storage(name)
    if any_bits or dtype_named(name).kind == "int":
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return rng.integers(0, 256, size, dtype=np.uint8).view(dtype).reshape(shape)
    values = rng.standard_normal(shape).astype(np.float32)
    return hifloat8.from_float32(values) if name == "hifloat8" else values.astype(dtype)


def as_bytes(array: Array) -> npt.NDArray[np.uint8]:
    """The array's bytes, elements in the last dimension."""
    contiguous = np.ascontiguousarray(array)
    return contiguous.view(np.uint8).reshape(*contiguous.shape, contiguous.itemsize)


def is_nan(array: Array, name: str) -> npt.NDArray[np.bool_]:
    if name == "hifloat8":
        return array == 0x80
    if dtype_named(name).kind == "int":
        return np.zeros(array.shape, bool)
    return np.isnan(array.astype(np.float32))


def to_tensor(array: Array, name: str) -> Any:
    """A Tensor with memory of its own."""
    import mindspore as ms

    if name == "int64" or dtype_named(name).reg_name is not None:
        return ms.Tensor(np.ascontiguousarray(array))
    tensor = ms.mint.empty(array.shape, dtype=getattr(ms, name), device="CPU")
    source = np.ascontiguousarray(array)
    ctypes.memmove(tensor.data_ptr(), source.ctypes.data, source.nbytes)
    return tensor


def index_tensor(array: Array) -> Any:
    import mindspore as ms

    return ms.Tensor(np.ascontiguousarray(array))


def to_array(tensor: Any, name: str) -> Array:
    """The tensor's content, in ``storage(name)``."""
    if name not in DTYPE_NAMES or dtype_named(name).reg_name is not None:
        return np.array(tensor.asnumpy()).view(storage(name))  # a bfloat16 of its own
    _synchronize()  # get_bytes does not promise to wait for MindSpore's queue
    return np.frombuffer(tensor.get_bytes(), storage(name)).reshape(tensor.shape).copy()


def _synchronize() -> None:
    import mindspore as ms

    ms.runtime.synchronize()
    ms.runtime.synchronize()  # on the CPU the first one of a process does not wait
