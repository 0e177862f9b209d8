"""The functions of ms_custom_ops that networks call on the CPU, under its signatures; ``register()`` makes this module
``ms_custom_ops`` where that package is not installed.

https://gitee.com/mindspore/ms_custom_ops documents them. A function that is missing here is an AttributeError that says
so, when it is looked up: networks that ask with ``hasattr`` take their other path.
"""

from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.primitive import _primexpr

from .custom_ops import reshape_and_cache
from .paged_load import paged_cache_load

__all__ = ["apply_rotary_pos_emb_atb", "paged_cache_load", "reshape_and_cache", "trans_data"]

_FRACTAL_NZ_TO_ND, _ND_TO_FRACTAL_NZ = 0, 1
# Of a 32-byte unit. By dtype: the itemsize of a view of another dtype is that of the memory below it.
_CHANNELS = {ms.float16: 16, ms.bfloat16: 16, ms.int8: 32, ms.uint8: 32}


@_primexpr
def _nz_shape(shape: Any, dtype: Any, transdata_type: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape to split into, and the shape that comes out after the two inner dimensions are swapped."""
    if transdata_type not in (_FRACTAL_NZ_TO_ND, _ND_TO_FRACTAL_NZ):
        raise ValueError(
            f"transdata_type: given {transdata_type}, expected 0 (FRACTAL_NZ to ND) or 1 (ND to FRACTAL_NZ)"
        )
    if dtype not in _CHANNELS:
        raise TypeError(f"input: given {dtype}, expected float16, bfloat16, int8 or uint8")
    unit = _CHANNELS[dtype]
    if transdata_type == _ND_TO_FRACTAL_NZ:
        if len(shape) < 2 or shape[-2] % 16 or shape[-1] % unit:
            raise ValueError(f"input: given {list(shape)}, expected [.., H, W] with H a multiple of 16 and W of {unit}")
        *lead, height, width = shape
        return (*lead, height, width // unit, unit), (*lead, width // unit, height, unit)
    if len(shape) < 3 or shape[-1] != unit:
        raise ValueError(f"input: given {list(shape)}, expected [.., W / {unit}, H, {unit}]")
    *lead, columns, height, _ = shape
    return tuple(shape), (*lead, height, columns * unit)


@_primexpr
def _rotation(head_size: Any, rotary_coeff: Any, cos_format: Any) -> int:
    if cos_format not in (0, 1):
        raise ValueError(f"cos_format: given {cos_format}, expected 0 or 1")
    if rotary_coeff == 2:
        return 2
    if rotary_coeff == head_size // 2:
        return 3
    raise ValueError(
        f"rotary_coeff: given {rotary_coeff}, expected 2 (halves) or {head_size // 2} (neighbours: head_size / 2)"
    )


def trans_data(input: Any, transdata_type: int = 0) -> Any:
    """Moves a tensor between ND and FRACTAL_NZ, as a copy: ``ms_custom_ops.trans_data``.

    Args:
        input: float16, bfloat16, int8 or uint8, [.., H, W] with H a multiple of 16 and W of LD = 16 (8 bits: 32), or
            [.., W/LD, H, LD].
        transdata_type: 0 from FRACTAL_NZ to ND, 1 from ND to FRACTAL_NZ.

    Returns:
        The other layout. A cache [NB, BS, N*D] becomes [NB, N*D/LD, BS, LD], which ``reshape_and_cache`` writes with
        ``cache_mode=1``.

    Raises:
        TypeError: another dtype.
        ValueError: another ``transdata_type``, or a shape that does not divide.
    """
    split, shape = _nz_shape(input.shape, input.dtype, transdata_type)
    rank = len(split)
    order = (*range(rank - 3), rank - 2, rank - 3, rank - 1)
    return ops.reshape(ops.transpose(ops.reshape(input, split), order), shape)


def apply_rotary_pos_emb_atb(
    query: Any, key: Any, cos: Any, sin: Any, seq_len: Any, rotary_coeff: int = 4, cos_format: int = 0
) -> Any:
    """Rotates query and key by a row of cos and sin for each token: ``ms_custom_ops.apply_rotary_pos_emb_atb``.

    Args:
        query, key: [T, N*D], float16 or bfloat16.
        cos, sin: [T, D], of query's dtype.
        seq_len: int32 [B]; not needed where every token has its row, and taken for the signature's sake.
        rotary_coeff: 2 rotates halves, D/2 neighbours; the 4 of other models is refused.
        cos_format: 0 or 1, without effect in inference.

    Returns:
        Tensors like query and key.

    Raises:
        ValueError: another ``rotary_coeff`` or ``cos_format``; the operator's own errors for shapes.
    """
    rotate = ops.ApplyRotaryPosEmb(_rotation(cos.shape[-1], rotary_coeff, cos_format))
    # Lengths of 0 do not add up to T: so the operator takes row t for token t, wherever sequences begin.
    return rotate(query, key, cos, sin, seq_len - seq_len)


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"ms_custom_ops has no {name} on the CPU: ms_scatter_pa.compat has only {', '.join(__all__)}. The functions that "
        "it lacks need the package ms_custom_ops and an NPU."
    )
