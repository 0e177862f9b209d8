"""``scatter_mode="Nct"``, as CANN calls rows that are not contiguous: a stride and an offset instead of a view."""

import operator
from collections.abc import Sequence
from typing import Any

from .backends.graph import in_graph
from .backends.views import ITEM_SIZES
from .rules.layouts import shape_text
from .rules.options import dtype_name

NCT = "Nct"


def nct_rows(key: Any, value: Any, strides: Any, offsets: Any, scatter_mode: Any, lengths: Sequence[Any]) -> Any:
    """Key and value as the views that strides and offsets say: row t begins ``offsets[i] + t * strides[i]`` elements after
    the tensor's first one, and is [num_head, head_size] as the tensor's last two dimensions.

    Args:
        key, value: [T, num_head, head_size]; value may be None. The rows may go beyond the tensor where its memory does: a
            view of a wider array.
        strides: two ints > 0, of key and of value.
        offsets: two ints >= 0, or None for none.
        scatter_mode: ``"Nct"``.
        lengths: the arguments of the compressed modes, each None.

    Raises:
        TypeError: what is no sequence of ints, or no Tensor.
        ValueError: another mode, a graph, numbers out of range, or rows that end outside the tensor's memory.
    """
    if scatter_mode != NCT:
        raise ValueError(f"strides, offsets: given with scatter_mode {scatter_mode!r}, expected 'Nct'")
    if in_graph():
        raise ValueError(
            "scatter_mode: given 'Nct' in a graph, expected PyNative: MindSpore has no views there. Slice key and value"
            " themselves, which a graph may copy"
        )
    if any(length is not None for length in lengths):
        raise ValueError(
            "scatter_mode: given 'Nct' with compress_lens, compress_seq_offsets or seq_lens, expected none of them"
        )
    if strides is None:
        raise ValueError("strides: given None with scatter_mode 'Nct', expected (stride of key, stride of value)")
    pair, starts = _pair("strides", strides, 1), _pair("offsets", (0, 0) if offsets is None else offsets, 0)
    rows = [_view(name, x, *at) for name, x, *at in zip(("key", "value"), (key, value), pair, starts, strict=True)]
    return rows[0], rows[1]


def _pair(name: str, numbers: Any, least: int) -> tuple[int, int]:
    wrong = f"{name}: given {numbers!r}, expected two ints, of key and of value"
    if not isinstance(numbers, Sequence) or any(isinstance(n, bool) for n in numbers):
        raise TypeError(wrong)
    try:
        ints = tuple(operator.index(n) for n in numbers)
    except TypeError as error:
        raise TypeError(wrong) from error
    if len(ints) != 2 or min(ints) < least:
        raise ValueError(f"{name}: given {ints}, expected two ints >= {least}, of key and of value")
    return ints


def _view(name: str, rows: Any, stride: int, offset: int) -> Any:
    from mindspore import Tensor
    from mindspore.ops.auto_generate import as_strided

    if rows is None:
        return None
    if not isinstance(rows, Tensor):
        raise TypeError(f"{name}: given {type(rows).__name__}, expected a Tensor")
    shape = tuple(rows.shape)
    if 0 in shape or dtype_name(rows.dtype) not in ITEM_SIZES:
        return rows  # nothing lies anywhere; what it means, or that it is refused, is the rules' to say
    if len(shape) != 3:
        raise ValueError(
            f"{name}: given shape {shape_text(shape)} with scatter_mode 'Nct', expected [T, num_head, head_size]"
        )
    tokens, heads, size = shape
    row = heads * size
    item_size = ITEM_SIZES[dtype_name(rows.dtype)]
    room = rows.untyped_storage().nbytes() // item_size - rows.storage_offset()
    last = offset + (tokens - 1) * stride + row
    if last > room:
        raise ValueError(
            f"strides, offsets: given {stride} and {offset} for {name} {shape_text(shape)}, which has {room} elements from its "
            f"first one on; expected rows that end there and not after {last}"
        )
    # The offset is that of the memory below the view. A single row has any stride, that of no int64 too.
    return as_strided(rows, shape, (stride if tokens > 1 else row, size, 1), rows.storage_offset() + offset)
