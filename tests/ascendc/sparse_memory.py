"""Arrays of many GiB of which only the pages that are written exist."""

import mmap
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_NO_RESERVE = 0x4000
_CHUNK = 1 << 20


class SparseArray:
    """Zeros, shared with a file in memory, which knows the pages that were written.

    Attributes:
        array: the array itself.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any):
        self._bytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
        self._file = os.memfd_create("sparse")
        os.ftruncate(self._file, self._bytes)
        memory = mmap.mmap(self._file, self._bytes)
        self.array: Array = np.frombuffer(memory, dtype).reshape(shape)

    def __del__(self) -> None:
        os.close(self._file)

    def _extents(self) -> Iterator[tuple[int, int]]:
        end = 0
        while end < self._bytes:
            try:
                begin = os.lseek(self._file, end, os.SEEK_DATA)
            except OSError:  # no data behind `end`
                return
            end = os.lseek(self._file, begin, os.SEEK_HOLE)
            yield begin, end

    def pages(self) -> dict[int, bytes]:
        """Every page that holds anything but zeros, by its number."""
        found = {}
        for begin, end in self._extents():
            for start in range(begin, end, _CHUNK):
                chunk = os.pread(self._file, min(_CHUNK, end - start), start)
                for place in range(0, len(chunk), mmap.PAGESIZE):
                    page = chunk[place : place + mmap.PAGESIZE]
                    if page.strip(b"\0"):
                        found[(start + place) // mmap.PAGESIZE] = page
        return found


def sparse_rows(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros that cost nothing where they are read; what is written costs pages."""
    size = max(int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize, 1)
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    return np.frombuffer(memory, dtype)[: int(np.prod(shape, dtype=object))].reshape(shape)
