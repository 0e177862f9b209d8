"""``paged_cache_load`` with the signature of ms_custom_ops, for networks that call it."""

from typing import Any

import numpy as np
from mindspore import Tensor, mint, ops
from mindspore.ops.functional import isconstant
from mindspore.ops.primitive import _primexpr, constexpr

from ..backends import backend
from ..backends.graph import in_graph
from ..paged_functional import npu_gather_pa_kv_cache

_LAYOUTS = ("Norm", "PA_NZ")


@_primexpr
def _layout(kv_cache_cfg: Any, is_seq_lens_cumsum_type: Any, has_seq_starts: Any, starts_are_given: bool) -> str:
    if not isinstance(kv_cache_cfg, int) or isinstance(kv_cache_cfg, bool):
        raise TypeError(f"kv_cache_cfg: given {type(kv_cache_cfg).__name__}, expected int")
    if kv_cache_cfg not in (0, 1):
        raise ValueError(f"kv_cache_cfg: given {kv_cache_cfg}, expected 0 (ND) or 1 (NZ)")
    for name, given in (("is_seq_lens_cumsum_type", is_seq_lens_cumsum_type), ("has_seq_starts", has_seq_starts)):
        if not isinstance(given, bool):
            raise TypeError(f"{name}: given {type(given).__name__}, expected bool")
    if has_seq_starts and not starts_are_given:
        raise ValueError("seq_starts: given None with has_seq_starts, expected a Tensor")
    return _LAYOUTS[kv_cache_cfg]


def _rows(lengths: Any, sums: bool) -> int:
    numbers = lengths.asnumpy().astype(np.int64)
    if numbers.size == 0:
        return 0
    return max(int(numbers[-1] if sums else numbers.sum()), 0)


@constexpr
def _rows_of_constant(lengths: Any, sums: bool) -> int:
    return _rows(lengths, sums)


@_primexpr
def _refuse_unknown_lengths() -> None:
    raise ValueError(
        "seq_lens: given a tensor whose values are not known while the graph is compiled, expected a constant: the number "
        "of rows follows from it. Call npu_gather_pa_kv_cache with key and value of the right size instead"
    )


@_primexpr
def _rows_shape(rows: int, cache_shape: Any, layout: str) -> tuple[int, ...]:
    if len(cache_shape) not in (3, 4, 5):
        raise ValueError(f"key_cache: given {len(cache_shape)} dimensions, expected 3, 4 or 5")
    if layout == "Norm" and len(cache_shape) == 4:
        return (rows, cache_shape[2], cache_shape[3])
    if layout == "Norm":
        return (rows, cache_shape[2])
    block_axis = len(cache_shape) - 2
    channels = 1
    for axis, dim in enumerate(cache_shape):
        channels *= dim if axis not in (0, block_axis) else 1
    return (rows, channels)


def _empty(shape: Any, dtype: Any) -> Any:
    if in_graph():
        return mint.empty(shape, dtype=dtype)
    # MindSpore 2.7's own choice is an NPU, even where there is none.
    return mint.empty(shape, dtype=dtype, device=backend().name)


def paged_cache_load(
    key_cache: Any,
    value_cache: Any,
    block_tables: Any,
    seq_lens: Any,
    seq_starts: Any = None,
    kv_cache_cfg: int = 0,
    is_seq_lens_cumsum_type: bool = False,
    has_seq_starts: bool = False,
) -> tuple[Any, Any]:
    """Reads the rows of sequences back from paged caches: ``ms_custom_ops.paged_cache_load``, on
    ``npu_gather_pa_kv_cache``.

    For PyNative: it waits for the lengths, since the number of rows follows from them. In a graph ``seq_lens`` must be a
    constant.

    Args:
        key_cache: ND: [NB, BS, N, D] or [NB, BS, N*D]; NZ: [NB, N*D/LD, BS, LD] or [NB, N, D/LD, BS, LD].
        value_cache: as ``key_cache``, of its own dtype.
        block_tables: int32 or int64 [B, W].
        seq_lens: [B], or with ``is_seq_lens_cumsum_type`` their sums [B + 1].
        seq_starts: [B] with ``has_seq_starts``: rows to leave out, multiples of BS; else not looked at.
        kv_cache_cfg: 0 for ND, 1 for NZ.
        is_seq_lens_cumsum_type: whether ``seq_lens`` holds sums.
        has_seq_starts: whether ``seq_starts`` counts.

    Returns:
        key and value, new Tensors: [T, N, D] for a 4-D ND cache, else [T, N*D].

    Raises:
        TypeError, ValueError, IndexError: as ``npu_gather_pa_kv_cache``, whose name the sentences say (its ``on_error``
            is not among the arguments here); ValueError also for a ``kv_cache_cfg`` other
            than 0 and 1, and in a graph for lengths that are no constant.

    Example:
        >>> import numpy as np
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import paged_cache_load
        >>> cache = Tensor(np.arange(8, dtype=np.float16).reshape(4, 2, 1, 1))
        >>> key, value = paged_cache_load(cache, cache, Tensor([[2, 0]]), Tensor([3]))
        >>> key.asnumpy().reshape(-1).tolist()
        [4.0, 5.0, 0.0]
    """
    layout = _layout(kv_cache_cfg, is_seq_lens_cumsum_type, has_seq_starts, seq_starts is not None)
    starts = seq_starts if has_seq_starts else None
    if in_graph():
        if not isconstant(seq_lens):
            _refuse_unknown_lengths()
        rows = _rows_of_constant(seq_lens, is_seq_lens_cumsum_type)
    else:
        if not isinstance(seq_lens, Tensor):
            raise TypeError(f"seq_lens: given {type(seq_lens).__name__}, expected a Tensor")
        rows = _rows(seq_lens, is_seq_lens_cumsum_type)
    key = _empty(_rows_shape(rows, key_cache.shape, layout), key_cache.dtype)
    value = _empty(_rows_shape(rows, value_cache.shape, layout), value_cache.dtype)
    status = npu_gather_pa_kv_cache(
        key_cache,
        value_cache,
        block_tables,
        seq_lens,
        key,
        value,
        seq_offset=starts,
        is_seq_lens_cumsum=is_seq_lens_cumsum_type,
        cache_mode=layout,  # type: ignore[arg-type]
    )
    if in_graph():
        return ops.depend(key, status), ops.depend(value, status)
    return key, value
