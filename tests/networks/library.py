"""The built-in operators through their plain C interface, without MindSpore."""

import ctypes
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TYPES = {
    np.dtype(np.float32): 1,
    np.dtype(np.float16): 2,
    BFLOAT16: 3,
    np.dtype(np.float64): 4,
    np.dtype(np.bool_): 5,
    np.dtype(np.int8): 6,
    np.dtype(np.uint8): 7,
    np.dtype(np.int16): 8,
    np.dtype(np.uint16): 9,
    np.dtype(np.int32): 10,
    np.dtype(np.uint32): 11,
    np.dtype(np.int64): 12,
    np.dtype(np.uint64): 13,
    np.dtype(np.complex64): 14,
    np.dtype(np.complex128): 15,
}
ERRORS = {1: TypeError, 2: ValueError, 3: IndexError, 4: MemoryError}
POISON = 0xA5  # what outputs hold before the call


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int32),
        ("type", ctypes.c_int32),
    )


def _describe(arrays: Sequence[np.ndarray | None]) -> tuple[Any, list[Any]]:
    tensors, shapes = (_Tensor * max(1, len(arrays)))(), []
    for tensor, array in zip(tensors, arrays, strict=False):
        if array is None:
            continue
        shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        shapes.append(shape)
        tensor.data, tensor.shape, tensor.rank, tensor.type = array.ctypes.data, shape, array.ndim, TYPES[array.dtype]
    return tensors, shapes


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Empty, 16 bytes behind a multiple of 64, as MindSpore's large tensors are."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(nbytes + 80, np.uint8)
    begin = -memory.ctypes.data % 64 + 16
    return memory[begin : begin + nbytes].view(dtype).reshape(shape)


class Builtins:
    """The operators of one loaded library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._run = library.MsspBuiltinRun
        self._run.restype = ctypes.c_int32
        self._name = library.MsspBuiltinName
        self._name.restype = ctypes.c_char_p

    def names(self) -> tuple[str, ...]:
        names = []
        while (name := self._name(len(names))) is not None:
            names.append(name.decode())
        return tuple(names)

    def __call__(
        self, name: str, inputs: Sequence[Any], outputs: Sequence[tuple[tuple[int, ...], Any]]
    ) -> list[np.ndarray]:
        """Runs ``name``; ``outputs`` are shapes and dtypes. Numbers among the inputs are scalars, None is None.

        Raises:
            TypeError, ValueError, IndexError: the operator refused; nothing was written.
        """
        arrays = [None if x is None else np.ascontiguousarray(x).reshape(np.shape(x)) for x in inputs]
        results = []
        for shape, dtype in outputs:
            result = _aligned(shape, np.dtype(dtype))
            result.view(np.uint8).fill(POISON) if result.ndim else None
            results.append(result)
        given, keep = _describe(arrays)
        made, keep_too = _describe(results)
        message = ctypes.create_string_buffer(1024)
        code = self._run(name.encode(), given, len(arrays), made, len(results), message, ctypes.c_int64(1024))
        del keep, keep_too
        if code:
            for result in results:
                if result.size and result.ndim:
                    assert (result.view(np.uint8) == POISON).all(), "a refused call wrote"
            raise ERRORS[code](message.value.decode())
        return results
