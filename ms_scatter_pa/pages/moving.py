"""Moves whole blocks between caches and arrays on the host, on any device."""

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ..backends import backend
from ..functional import npu_scatter_pa_kv_cache


def copy_blocks(
    memories: Sequence[tuple[Any, Any]], sources: Sequence[int] | None, targets: Sequence[int] | None
) -> None:
    """Block ``targets[i]`` gets what block ``sources[i]`` holds, in each pair of memories.

    Whatever was queued before is done first, and its errors are raised before anything is copied; the copies are done
    when the call returns. Time and memory are those of the blocks moved, whatever the caches' size.

    Args:
        memories: (source, target), each a contiguous Tensor or array [num_blocks, ...] with blocks of one size.
        sources, targets: blocks, each target once and none a source of the same memory; None: 0, 1, 2, ...
    """
    copy = backend().copy_blocks or copy_with_operators
    copy(memories, sources, targets)


def copy_with_operators(
    memories: Sequence[tuple[Any, Any]], sources: Sequence[int] | None, targets: Sequence[int] | None
) -> None:
    """A block is gathered, and written by the operator, as one row of bytes, which is the same in every layout."""
    ms.runtime.synchronize()
    for source, target in memories:
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
