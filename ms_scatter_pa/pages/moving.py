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
    for source, target in ((source.memory, target.memory) for source, target in pairs):
        rows = _gather(source, range(source.shape[0]) if sources is None else sources)
        numbers = range(target.shape[0]) if targets is None else targets
        if isinstance(target, np.ndarray):
            _as_bytes(target)[list(numbers)] = rows if isinstance(rows, np.ndarray) else rows.asnumpy()
            continue
        data = rows if isinstance(rows, Tensor) else Tensor(np.ascontiguousarray(rows))
        blocks = target.view(ms.uint8).view(target.shape[0], 1, 1, -1)
        slots = Tensor(np.array(numbers, np.int64))
        npu_scatter_pa_kv_cache(data.view(len(numbers), 1, -1), None, blocks, None, slots, cache_mode="Norm")
    ms.runtime.synchronize()


def _gather(memory: Any, blocks: Sequence[int]) -> Any:
    """The blocks' bytes, [blocks, bytes]: an array of an array, a Tensor of a Tensor."""
    if isinstance(memory, np.ndarray):
        return _as_bytes(memory)[list(blocks)]
    rows = memory.view(ms.uint8).view(memory.shape[0], -1)
    return ops.gather(rows, Tensor(np.array(blocks, np.int64)), 0)


def _as_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.view(np.uint8).reshape(array.shape[0], -1)
