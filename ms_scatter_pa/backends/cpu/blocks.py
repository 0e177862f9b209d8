"""Whole blocks of caches moved by the core, through pointers after a sync: nothing but the blocks is touched."""

import ctypes
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from mindspore.graph.api import _pynative_executor

from . import library
from .bindings import BlockCopy, Status

_NO_MEMORY, _BAD_BLOCK = -1, 1


def copy_blocks(
    memories: Sequence[tuple[Any, Any]], sources: Sequence[int] | None, targets: Sequence[int] | None
) -> None:
    """Block ``targets[i]`` gets what block ``sources[i]`` holds, one after another, in each pair of memories.

    Whatever MindSpore has queued is done before; the copies are done when the call returns.

    Args:
        memories: (source, target), each a contiguous Tensor or array [num_blocks, ...]; they may be the same.
        sources, targets: blocks; None: 0, 1, 2, ...

    Raises:
        Exception: of an earlier call in MindSpore's queue; nothing was copied.
        IndexError, ValueError: no such block, or blocks of two sizes; nothing was copied.
        MemoryError: some blocks may have been copied.
    """
    _pynative_executor.sync()
    numbers = [None if blocks is None else np.ascontiguousarray(blocks, np.int64) for blocks in (sources, targets)]
    count = next((n.size for n in numbers if n is not None), memories[0][0].shape[0] if memories else 0)
    if any(n is not None and n.size != count for n in numbers):
        raise ValueError(f"targets: given {len(targets or ())} blocks, expected {count}, as many as sources")
    copies = (BlockCopy * len(memories))()
    for copy, (source, target) in zip(copies, memories, strict=True):
        copy.source, copy.source_num_blocks, copy.source_stride = _locate(source)
        copy.target, copy.target_num_blocks, copy.target_stride = _locate(target)
        if copy.source_stride != copy.target_stride:
            raise ValueError(f"blocks: given {copy.source_stride} and {copy.target_stride} bytes, expected one size")
        copy.block_bytes = copy.source_stride
        copy.count = count
        copy.source_blocks, copy.target_blocks = (None if n is None else n.ctypes.data for n in numbers)
    status: Status = _function()(copies, len(copies), 0)
    if status.code == _NO_MEMORY:
        raise MemoryError("no memory to copy blocks")
    if status.code == _BAD_BLOCK:
        raise IndexError(f"blocks[{status.position}] = {status.value}, expected 0 <= block < {status.limit}")
    if status.code:
        raise ValueError(f"memories[{status.position}]: blocks of {status.value} bytes cannot lie there")


def _locate(memory: Any) -> tuple[int, int, int]:
    """Address, blocks, and bytes of a block."""
    if isinstance(memory, np.ndarray):
        assert memory.flags.c_contiguous
        return memory.ctypes.data, memory.shape[0], math.prod(memory.shape[1:]) * memory.itemsize
    assert memory.is_contiguous()
    return memory.data_ptr(), memory.shape[0], math.prod(memory.shape[1:]) * memory.itemsize


@lru_cache(maxsize=1)
def _function() -> Any:
    function = library.load().MsspCopyBlocks
    function.argtypes = [ctypes.POINTER(BlockCopy), ctypes.c_int64, ctypes.c_int32]
    function.restype = Status
    return function
