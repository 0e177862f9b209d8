"""Moves whole blocks between caches and arrays on the host, on any device."""

import math
from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ..backends import Blocks, backend
from ..functional import npu_scatter_pa_kv_cache


def blocks_of(memory: Any) -> Blocks:
    """A contiguous Tensor or array [num_blocks, ...] as blocks."""
    assert memory.flags.c_contiguous if isinstance(memory, np.ndarray) else memory.is_contiguous()
    block_bytes = math.prod(memory.shape[1:]) * memory.itemsize
    return Blocks(memory, memory.shape[0], block_bytes, block_bytes)


def interleaved_blocks(pool: Any, num_parts: int) -> list[Blocks]:
    """The blocks of each part of a pool [num_blocks * num_parts, ...]."""
    whole = blocks_of(pool)
    num_blocks, size = whole.num_blocks // num_parts, whole.block_bytes
    return [Blocks(pool, num_blocks, num_parts * size, size, part * size) for part in range(num_parts)]


def copy_blocks(
    pairs: Sequence[tuple[Blocks, Blocks]], sources: Sequence[int] | None, targets: Sequence[int] | None
) -> None:
    """Block ``targets[i]`` gets what block ``sources[i]`` holds, in each pair.

    Whatever was queued before is done first, and its errors are raised before anything is copied; the copies are done
    when the call returns. Time and memory are those of the blocks moved, whatever the caches' size.

    Args:
        pairs: (source, target), with blocks of one size.
        sources, targets: blocks, each target once and none a source of the same memory; None: 0, 1, 2, ...
    """
    copy = backend().copy_blocks or copy_with_operators
    copy(pairs, sources, targets)


def copy_with_operators(
    pairs: Sequence[tuple[Blocks, Blocks]], sources: Sequence[int] | None, targets: Sequence[int] | None
) -> None:
    """A block is gathered, and written by the operator, as one row of bytes, which is the same in every layout."""
    ms.runtime.synchronize()
    for source, target in pairs:
        rows = _gather(source, _numbers(source, sources))
        numbers = _numbers(target, targets)
        if isinstance(target.memory, np.ndarray):
            _as_rows(target)[numbers] = rows if isinstance(rows, np.ndarray) else rows.asnumpy()
            continue
        data = rows if isinstance(rows, Tensor) else Tensor(np.ascontiguousarray(rows))
        blocks = _as_rows(target).view(-1, 1, 1, target.block_bytes)
        slots = Tensor(numbers)
        npu_scatter_pa_kv_cache(data.view(len(numbers), 1, -1), None, blocks, None, slots, cache_mode="Norm")
    ms.runtime.synchronize()


def _numbers(blocks: Blocks, chosen: Sequence[int] | None) -> np.ndarray[Any, Any]:
    """Which rows of the whole memory the chosen blocks are."""
    numbers = np.array(range(blocks.num_blocks) if chosen is None else chosen, np.int64)
    return (blocks.offset + numbers * blocks.stride) // blocks.block_bytes


def _gather(blocks: Blocks, numbers: np.ndarray[Any, Any]) -> Any:
    """Rows of bytes, [numbers, bytes]: an array of an array, a Tensor of a Tensor."""
    rows = _as_rows(blocks)
    return rows[numbers] if isinstance(rows, np.ndarray) else ops.gather(rows, Tensor(numbers), 0)


def _as_rows(blocks: Blocks) -> Any:
    """The whole memory, a row for each block and for what lies between them."""
    if isinstance(blocks.memory, np.ndarray):
        return blocks.memory.view(np.uint8).reshape(-1, blocks.block_bytes)
    return blocks.memory.view(ms.uint8).view(-1, blocks.block_bytes)
