"""A graph on Ascend: ``ops.Custom`` on the operator, with constants made while compiling."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor
from mindspore.ops.primitive import _primexpr, constexpr

from ...rules.options import check_modes, dtype_name
from ...rules.scenario import Arguments
from ..device import soc_version
from ..graph_tools import numbers, parts_of, placeholder
from .cann_operator import refuse_graph
from .eager import eager_operator
from .launch import launch_of


@ms.jit_class
class _Operators:
    """The operator, once for both modes; MindSpore's compiler asks an object for its attributes."""

    @property
    def own(self) -> Any:
        return eager_operator()


_operators = _Operators()


@_primexpr
def _launch(shapes: Any, dtypes: Any, modes: Any) -> Any:
    refuse_graph()
    eager_operator()  # errors of an object's attribute lose their type
    cache_mode, scatter_mode, on_error, check_duplicates = modes
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    names = tuple(None if dtype is None else dtype_name(dtype) for dtype in dtypes)
    arguments = Arguments(tuple(shapes), names, cache_mode, scatter_mode)
    return tuple(launch_of(arguments, check_duplicates, soc_version()))


@constexpr
def _mode(shape: tuple[int, int, int, int]) -> Tensor:
    return Tensor(np.zeros(shape, np.uint8))


def graph_call(*call: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    tensors, shapes, dtypes, modes, last_status = parts_of(call)
    mode_shape, empty = _launch(shapes, dtypes, modes)
    if empty:
        return numbers((0, 0, 0, 0))
    key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens = tensors
    rows_placeholder = placeholder(key.dtype)
    index_placeholder = placeholder(slot_mapping.dtype)
    return _operators.own(
        key,
        rows_placeholder if value is None else value,
        key_cache,
        rows_placeholder if value_cache is None else value_cache,
        slot_mapping,
        index_placeholder if compress_lens is None else compress_lens,
        index_placeholder if compress_seq_offsets is None else compress_seq_offsets,
        index_placeholder if seq_lens is None else seq_lens,
        _mode(mode_shape),
        numbers((0,)) if last_status is None else last_status,
    )
