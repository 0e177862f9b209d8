"""``reshape_and_cache`` with the signature of ms_custom_ops, for networks that call it.

The module is not named after the function: importing it would hide the function in the package.
"""

from typing import Any

from mindspore.ops.primitive import _primexpr

from ..functional import npu_scatter_pa_kv_cache

LAYOUTS = ("Norm", "PA_NZ")  # by the numbers of ms_custom_ops


@_primexpr
def _layout(cache_mode: Any, head_num: Any) -> str:
    for name, number in (("cache_mode", cache_mode), ("head_num", head_num)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{name}: given {type(number).__name__}, expected int")
    if cache_mode not in (0, 1):
        raise ValueError(f"cache_mode: given {cache_mode}, expected 0 (ND) or 1 (NZ)")
    if head_num < 0:
        raise ValueError(f"head_num: given {head_num}, expected >= 0")
    return LAYOUTS[cache_mode]


def reshape_and_cache(
    key: Any,
    value: Any = None,
    key_cache: Any = None,
    value_cache: Any = None,
    slot_mapping: Any = None,
    cache_mode: int = 0,
    head_num: int = 0,
) -> Any:
    """Writes key and value rows into paged caches, in place: ``ms_custom_ops.reshape_and_cache``, on this operator.

    For all dtypes of ``npu_scatter_pa_kv_cache``, in PyNative and in graph mode. T tokens, NB ``num_blocks``,
    BS ``block_size``, LD = 32 bytes / itemsize.

    Args:
        key: [T, N*D], [B, S, N*D] with B*S = T, or [T, N, D].
        value: as ``key``, of its dtype (NZ: any), or None with ``value_cache`` (key-only write).
        key_cache: ND: [NB, BS, N, D] or [NB, BS, N*D]. NZ: [NB, N*D/LD, BS, LD] or [NB, N, D/LD, BS, LD]; the 3-D NZ
            shape of the host, [NB, BS, N*D], means a format that Ascend devices alone know. In PyNative a view is written in
            place, one whose blocks lie apart (``pool[:, 0]``) too.
        value_cache: as ``key_cache``.
        slot_mapping: int32 or int64 [T]; slot s is row s % BS of block s // BS, a negative one is skipped.
        cache_mode: 0 for ND, 1 for NZ.
        head_num: taken for the signature's sake; the caches' shapes tell it.

    Returns:
        int64 Tensor [4], the status of ``npu_scatter_pa_kv_cache``; ``ops.depend`` on it orders a read after the write
        where caches are inputs of a graph.

    Raises:
        TypeError: as ``npu_scatter_pa_kv_cache``, and ``cache_mode`` or ``head_num`` that is no int.
        ValueError: as ``npu_scatter_pa_kv_cache``, and another ``cache_mode`` than 0 and 1.
        IndexError: a slot at or past NB * BS; nothing is written. It surfaces as ``npu_scatter_pa_kv_cache`` says, and the
            sentence has that name: the call does not wait for it.

    Example:
        >>> import numpy as np
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import reshape_and_cache
        >>> key = Tensor(np.ones((1, 2, 8), np.float16))  # [B, S, N*D]
        >>> key_cache = Tensor(np.zeros((3, 2, 2, 4), np.float16))
        >>> _ = reshape_and_cache(key, key_cache=key_cache, slot_mapping=Tensor([5, -1]))
        >>> float(key_cache.asnumpy().sum())
        8.0
    """
    layout = _layout(cache_mode, head_num)
    return npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode=layout)
