"""A graph on the CPU: ``ops.Custom`` with the CPU library's C interface."""

from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.primitive import _primexpr

from ...rules.options import check_modes, dtype_name, options_of
from ...rules.scenario import Arguments
from ...rules.table import SCATTER_PA
from ..graph_tools import mark_writes, numbers, placeholder
from ..reg_info import CPU_OP_NAME, cpu_input_names, cpu_reg_info
from .library import library_path

_WRITTEN = {*SCATTER_PA.written, "last_status"}

_rows: Any = None
_rows_recording: Any = None
_pairs: Any = None
_pairs_recording: Any = None


def prepare() -> None:
    """Makes the operators, once: without compression or with it, each with or without a Cell's last status."""
    global _rows, _rows_recording, _pairs, _pairs_recording
    if _rows is None:
        _rows, _rows_recording = _make(False, False), _make(False, True)
        _pairs, _pairs_recording = _make(True, False), _make(True, True)


def _make(compressed: bool, records: bool) -> Any:
    function = f"{library_path()}:{CPU_OP_NAME}"
    operator = ops.Custom(function, None, ms.int64, "aot", reg_info=cpu_reg_info(compressed, records))
    return mark_writes(operator, cpu_input_names(compressed, records), _WRITTEN)


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
    if value is None:
        # The kernel does not look at them. A constant would do, but not before MindSpore 2.9, since value_cache is written.
        value, value_cache = key, key_cache
    if compress_lens is None:
        if last_status is None:
            return _rows(key, value, key_cache, value_cache, slot_mapping, options)
        return _rows_recording(key, value, key_cache, value_cache, slot_mapping, last_status, options)
    if compress_seq_offsets is None:
        compress_seq_offsets = placeholder(slot_mapping.dtype)
    pairs = (compress_lens, compress_seq_offsets, seq_lens)
    if last_status is None:
        return _pairs(key, value, key_cache, value_cache, slot_mapping, *pairs, options)
    return _pairs_recording(key, value, key_cache, value_cache, slot_mapping, *pairs, last_status, options)
