"""Whole blocks of caches moved by the core, through pointers after a sync: nothing but the blocks is touched."""

import ctypes
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...rules.table import BAD_SLOT, NO_MEMORY
from .. import Blocks
from ..views import contiguous_bytes
from . import library
from .bindings import Status
from .queue import queue_done


def copy_blocks(
    pairs: Sequence[tuple[Blocks, Blocks]], sources: Sequence[int] | None, targets: Sequence[int] | None
) -> None:
    """Block ``targets[i]`` gets what block ``sources[i]`` holds, one after another, in each pair of memories.

    Whatever MindSpore has queued is done before; the copies are done when the call returns.

    Args:
        pairs: (source, target), which may be the same.
        sources, targets: blocks; None: 0, 1, 2, ...

    Raises:
        Exception: of an earlier call in MindSpore's queue; nothing was copied.
        RuntimeError: called by another thread than the one that ends the interpreter; nothing was copied.
        IndexError, ValueError: no such block, or blocks of two sizes; nothing was copied.
        MemoryError: some blocks may have been copied.
    """
    with queue_done():
        numbers = [None if blocks is None else np.array(blocks, np.int64) for blocks in (sources, targets)]
        count = next((n.size for n in numbers if n is not None), pairs[0][0].num_blocks if pairs else 0)
        if any(n is not None and n.size != count for n in numbers):
            raise ValueError(f"targets: given {len(targets or ())} blocks, expected {count}, as many as sources")
        if any(source.block_bytes != target.block_bytes for source, target in pairs):
            raise ValueError("pairs: given blocks of two sizes, expected one")
        from_blocks, to_blocks = (0 if n is None else n.ctypes.data for n in numbers)
        fields = array("q")  # of MsspBlockCopy, ten of eight bytes
        for source, target in pairs:
            begin = _address(source)
            to = begin if target is source else _address(target)
            fields.extend((begin, to, from_blocks, to_blocks, count, source.num_blocks, target.num_blocks))
            fields.extend((source.stride, target.stride, target.block_bytes))
        status: Status = _function()(fields.buffer_info()[0], len(pairs), 0)
    if status.code == NO_MEMORY:
        raise MemoryError("no memory to copy blocks")
    if status.code == BAD_SLOT:
        expected = f"0 <= block < {status.limit}" if status.limit else "no block, since there are none"
        raise IndexError(f"blocks[{status.position}] = {status.value}, expected {expected}")
    if status.code:
        raise ValueError(f"pairs[{status.position}]: blocks of {status.value} bytes cannot lie there")


def _address(blocks: Blocks) -> int:
    memory = blocks.memory
    if isinstance(memory, np.ndarray):
        return int(memory.ctypes.data) + blocks.offset
    # A Parameter's memory may be another one meanwhile than what was taken for blocks (``set_data``, ``resize_``).
    last = blocks.offset + (blocks.num_blocks - 1) * blocks.stride + blocks.block_bytes if blocks.num_blocks else 0
    if contiguous_bytes(memory) < last:
        name = getattr(memory, "name", None) or "a cache"
        raise ValueError(
            f"{name}: its memory was changed (set_data, resize_) to a strided or smaller one, expected {last} contiguous bytes as when "
            "its blocks were made; nothing was copied"
        )
    address: int = memory.data_ptr()
    return address + blocks.offset


@lru_cache(maxsize=1)
def _function() -> Any:
    function = library.load().MsspCopyBlocks
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32]
    function.restype = Status
    return function
