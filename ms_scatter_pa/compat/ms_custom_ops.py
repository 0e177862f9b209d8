"""The functions of ms_custom_ops that networks call on the CPU, under its signatures; ``register()`` makes this module
``ms_custom_ops`` where that package is not installed.

https://gitee.com/mindspore/ms_custom_ops documents them. A function that is missing here is an AttributeError that says
so, when it is looked up, and an ImportError when it is imported: networks that ask with ``hasattr`` or ``except ImportError``
take their other path.
"""

from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.primitive import _primexpr

from .custom_ops import reshape_and_cache
from .paged_load import paged_cache_load

__all__ = ["apply_rotary_pos_emb_atb", "paged_cache_load", "reshape_and_cache", "trans_data"]

__path__: list[str] = []  # a package without modules, as far as Python asks: so imports of absent names reach a finder

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
def _rotation(head_size: Any, rotary_coeff: Any, cos_format: Any) -> tuple[int, bool]:
    """The operator's cos_format, and whether it rotates the two halves of a head each on its own."""
    if cos_format not in (0, 1):
        raise ValueError(f"cos_format: given {cos_format}, expected 0 or 1")
    if rotary_coeff == 2:
        return 2, False
    if rotary_coeff == 4 and head_size % 4 == 0 and head_size != 8:  # of 8 it is head_size / 2 too
        return 2, True
    if rotary_coeff == head_size // 2 and head_size != 8:
        return 3, False
    raise ValueError(
        f"rotary_coeff: given {rotary_coeff}, expected 2 (halves), 4 (halves of each half, head_size a multiple of 4) or "
        f"{head_size // 2} (neighbours: head_size / 2); head_size is {head_size}, and 4 of 8 may be either"
    )


@_primexpr
def _check_rotary(query: Any, key: Any, cos: Any, sin: Any) -> None:
    """What of the shapes is known: a dynamic graph leaves dimensions open."""

    def differ(a: Any, b: Any) -> bool:
        return all(isinstance(dim, int) and dim >= 0 for dim in (a, b)) and a != b

    for name, shape in (("cos", cos), ("sin", sin)):
        if len(shape) != 2:
            raise ValueError(f"{name}: given {list(shape)}, expected [T, head_size]")
    if differ(sin[0], cos[0]) or differ(sin[1], cos[1]):
        raise ValueError(f"sin: given {list(sin)}, expected {list(cos)} as cos has")
    if len(query) == 2 and differ(cos[0], query[0]):
        raise ValueError(f"cos: given {list(cos)}, expected {query[0]} rows, one for each token of query")
    for name, shape in (("query", query), ("key", key)):
        if len(shape) != 2:
            continue  # the operator's to refuse, or to take as rows
        known = isinstance(shape[1], int) and isinstance(cos[1], int) and shape[1] >= 0 and cos[1] > 0
        if differ(shape[0], cos[0]) or (known and shape[1] % cos[1]):
            raise ValueError(
                f"{name}: given {list(shape)}, expected [{cos[0]}, a multiple of {cos[1]}], by the rows of query and cos"
            )


def _halves_to_rows(x: Any, half: int) -> Any:
    """[T, N * 2 * half] to [T * 2, N * half]."""
    heads = x.shape[-1] // (2 * half)
    return ops.reshape(ops.transpose(ops.reshape(x, (-1, heads, 2, half)), (0, 2, 1, 3)), (-1, heads * half))


def _rows_to_halves(x: Any, half: int) -> Any:
    heads = x.shape[-1] // half
    return ops.reshape(ops.transpose(ops.reshape(x, (-1, 2, heads, half)), (0, 2, 1, 3)), (-1, 2 * heads * half))


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
        rotary_coeff: 2 rotates halves, D/2 neighbours, 4 the halves of each half of a head (ChatGLM's two-dimensional
            positions), as the test data of CANN's Rope operator says it.
        cos_format: 0 or 1, without effect in inference.

    Returns:
        Tensors like query and key.

    Raises:
        ValueError: another ``rotary_coeff`` or ``cos_format``; a ``rotary_coeff`` of 4 where D is 8, which may mean either;
            shapes that do not fit. What a dynamic graph knows only at run time, and dtypes, ``ops.ApplyRotaryPosEmb``
            refuses in its own words.
    """
    _check_rotary(query.shape, key.shape, cos.shape, sin.shape)
    kind, each_half = _rotation(cos.shape[-1], rotary_coeff, cos_format)
    rotate = ops.ApplyRotaryPosEmb(kind)
    none = seq_len - seq_len  # lengths of 0 do not add up to T: so row t is token t's, wherever sequences begin
    if not each_half:
        return rotate(query, key, cos, sin, none)
    half = cos.shape[-1] // 2
    query, key = _halves_to_rows(query, half), _halves_to_rows(key, half)
    query, key = rotate(query, key, ops.reshape(cos, (-1, half)), ops.reshape(sin, (-1, half)), none)
    return _rows_to_halves(query, half), _rows_to_halves(key, half)


def sentence(name: str) -> str:
    """What is said of a name that is not here."""
    return (
        f"ms_custom_ops has no {name} on the CPU: ms_scatter_pa.compat has only {', '.join(__all__)}. The functions that "
        "it lacks need the package ms_custom_ops and an NPU."
    )


def __getattr__(name: str) -> Any:
    raise AttributeError(sentence(name))
