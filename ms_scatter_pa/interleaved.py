"""K and V blocks in one pool, block by block, as serving stacks hold them: what a graph needs to write it.

In PyNative the caches are views of the pool, ``pool[:, 0]`` and ``pool[:, 1]``, and every entry writes them. MindSpore
refuses such views in a graph: there the pool goes in whole, as [2*num_blocks, ...], in two key-only writes with slots of its
own, the second one on ``ops.depend(pool, status)``.
"""

from typing import Any

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype
from mindspore.ops.primitive import _primexpr

from .rules.table import BAD_SLOT, DUPLICATE, STATUS_FIELDS

NUM_PARTS = 2
_MOST = 2**50  # no cache has so many slots; MindSpore divides int64 on the CPU by way of float64
_MOST_OF_A_BLOCK = 2**48  # slots of all its parts


@_primexpr
def _check(block_size: Any, part: Any, num_parts: Any) -> None:
    for name, number in (("block_size", block_size), ("part", part), ("num_parts", num_parts)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{name}: given {type(number).__name__}, expected int")
    if block_size < 1:
        raise ValueError(f"block_size: given {block_size}, expected >= 1")
    if num_parts < 1:
        raise ValueError(f"num_parts: given {num_parts}, expected >= 1")
    if block_size * num_parts > _MOST_OF_A_BLOCK:
        raise ValueError(
            f"block_size: given {block_size} with num_parts {num_parts}, expected block_size * num_parts <= {_MOST_OF_A_BLOCK}"
        )
    if not 0 <= part < num_parts:
        raise ValueError(f"part: given {part}, expected 0 <= part < {num_parts}, the number of parts")


@_primexpr
def _refuse_type(slot_mapping: Any) -> None:
    raise TypeError(f"slot_mapping: given {type(slot_mapping).__name__}, expected a Tensor")


@_primexpr
def _check_dtype(dtype: Any) -> None:
    if dtype not in (mstype.int32, mstype.int64):
        raise TypeError(f"slot_mapping: given {dtype}, expected int32 or int64")


def interleaved_slot_mapping(slot_mapping: Any, block_size: int, part: int, *, num_parts: int = NUM_PARTS) -> Any:
    """The slots of one part of an interleaved pool that is written whole, as [num_parts*num_blocks, block_size, ...].

    Slot s becomes (s // block_size * num_parts + part) * block_size + s % block_size, a negative one -1. It works in
    PyNative and in a graph. Only for one slot per token (Norm, PA_NZ, NHSD): the runs of Alibi, Rope and Omni would go on
    in the next part.

    Args:
        slot_mapping: int32 or int64 Tensor [T], as for a cache [num_blocks, block_size, ...].
        block_size: tokens in a block.
        part: 0 for K, 1 for V.
        num_parts: how many caches share the pool.

    Returns:
        int64 Tensor [T], so that a pool may have more slots than int32 counts.

    Raises:
        TypeError: a number that is no int, slots that are no Tensor of int32 or int64.
        ValueError: ``block_size`` or ``num_parts`` below 1 or beyond all memory, or no such ``part``.

    A slot at or past num_blocks * block_size stays one for the pool: the write refuses it and names the pool's number;
    ``interleaved_status`` gives the caller's. Slots above 2**50 / num_parts are reported as that.

    Example:
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import interleaved_slot_mapping
        >>> interleaved_slot_mapping(Tensor([0, 5, -1]), 4, 1).asnumpy().tolist()
        [4, 13, -1]
    """
    _check(block_size, part, num_parts)
    if not isinstance(slot_mapping, Tensor):
        _refuse_type(slot_mapping)
    _check_dtype(slot_mapping.dtype)
    slots = ops.minimum(ops.cast(slot_mapping, mstype.int64), Tensor(_MOST // num_parts, mstype.int64))
    moved = slots + (slots // block_size * (num_parts - 1) + part) * block_size
    return ops.select(slots < 0, ops.full_like(slots, -1), moved)


def interleaved_status(status: Any, block_size: int, *, num_parts: int = NUM_PARTS) -> Any:
    """The status of a write with ``interleaved_slot_mapping`` in the terms of the slots that were given to that.

    Args:
        status: int64 [4], as a Tensor, an array or a sequence.
        block_size, num_parts: as given to ``interleaved_slot_mapping``.

    Returns:
        int64 array [4]; a bad or duplicate slot and the limit are those of a cache [num_blocks, block_size, ...]. Give it to
        ``read_status``.

    Raises:
        TypeError: a status that is not of integers; a number that is no int.
        ValueError: a status of another length; numbers as ``interleaved_slot_mapping``.

    Example:
        >>> from ms_scatter_pa import interleaved_status, read_status
        >>> interleaved_status([1, 3, 70, 64], 4).tolist()  # 8 blocks of 4 slots, two parts
        [1, 3, 34, 32]
    """
    _check(block_size, 0, num_parts)
    numbers = np.array(status.asnumpy() if hasattr(status, "asnumpy") else status).reshape(-1)
    if len(numbers) != len(STATUS_FIELDS):
        raise ValueError(
            f"status: given {len(numbers)} numbers, expected {len(STATUS_FIELDS)}: {', '.join(STATUS_FIELDS)}"
        )
    if numbers.dtype.kind != "i":
        raise TypeError(f"status: given {numbers.dtype}, expected int64")
    numbers = numbers.astype(np.int64)
    if numbers[0] in (BAD_SLOT, DUPLICATE):
        slot = int(numbers[2])
        numbers[2] = slot // block_size // num_parts * block_size + slot % block_size
    if numbers[0] == BAD_SLOT:
        numbers[3] //= num_parts
    return numbers
