"""A graph on the CPU: ``ops.Custom`` with the CPU library's C interface."""

from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.primitive import _primexpr

from ..op_info import ARGUMENTS
from ..op_info.reg_info import CPU_OP_NAME, cpu_input_names, cpu_reg_info
from ..options import check_modes, dtype_name, options_of
from ..scenario import Arguments
from .graph_tools import mark_writes, numbers, placeholder
from .library import library_path

_WRITTEN = {argument.name for argument in ARGUMENTS if argument.written} | {"last_status"}

_operator: Any = None


def prepare() -> None:
    """Makes the operator, once."""
    global _operator
    if _operator is None:
        function = f"{library_path()}:{CPU_OP_NAME}"
        _operator = ops.Custom(function, None, ms.int64, "aot", reg_info=cpu_reg_info())
        mark_writes(_operator, cpu_input_names(), _WRITTEN)


@_primexpr
def _options(shapes: Any, dtypes: Any, modes: Any, keeps_last_status: bool) -> tuple[int, ...]:
    cache_mode, scatter_mode, on_error, check_duplicates = modes
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    names = tuple(None if dtype is None else dtype_name(dtype) for dtype in dtypes)
    arguments = Arguments(tuple(shapes), names, cache_mode, scatter_mode)
    return tuple(options_of(arguments, on_error, check_duplicates, keeps_last_status))


def call(tensors: Any, shapes: Any, dtypes: Any, modes: Any, last_status: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens = tensors
    options = numbers(_options(shapes, dtypes, modes, last_status is not None))
    rows_placeholder = placeholder(key.dtype)
    index_placeholder = placeholder(slot_mapping.dtype)
    return _operator(
        key,
        rows_placeholder if value is None else value,
        key_cache,
        rows_placeholder if value_cache is None else value_cache,
        slot_mapping,
        index_placeholder if compress_lens is None else compress_lens,
        index_placeholder if compress_seq_offsets is None else compress_seq_offsets,
        index_placeholder if seq_lens is None else seq_lens,
        numbers((0, 0, 0, 0)) if last_status is None else last_status,
        options,
    )
