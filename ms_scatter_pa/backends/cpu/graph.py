"""A graph on the CPU: ``ops.Custom`` with the CPU library's C interface."""

from functools import cached_property
from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.primitive import _primexpr

from ...rules.options import check_modes, dtype_name, options_of
from ...rules.scenario import Arguments, are_absent
from ...rules.table import SCATTER_PA
from ..graph_tools import absent, mark_writes, no_gradient, numbers, parts_of, placeholder, records_into
from ..library_file import custom_function
from ..reg_info import CPU_OP_NAME, cpu_input_names, cpu_reg_info
from .library import library_path

_WRITTEN = {*SCATTER_PA.written, "last_status"}


@ms.jit_class
class _Operators:
    """The operators by what a call takes: without compression or with it, each with or without a Cell's last status.

    MindSpore's compiler asks an object for its attributes, so each is made when the first graph needs it.
    """

    @cached_property
    def rows(self) -> Any:
        return _make(False, False)

    @cached_property
    def rows_recording(self) -> Any:
        return _make(False, True)

    @cached_property
    def pairs(self) -> Any:
        return _make(True, False)

    @cached_property
    def pairs_recording(self) -> Any:
        return _make(True, True)


_operators = _Operators()


def prepare() -> None:
    """Makes an operator before the compiler asks for one: it turns an error of an attribute into "has no attribute"."""
    getattr(_operators, "rows")  # noqa: B009


def _make(compressed: bool, records: bool) -> Any:
    function = custom_function(library_path(), CPU_OP_NAME)
    names = cpu_input_names(compressed, records)
    reg_info = cpu_reg_info(compressed, records)
    operator = ops.Custom(function, None, ms.int64, "aot", bprop=no_gradient(names), reg_info=reg_info)
    return mark_writes(operator, names, _WRITTEN)


@_primexpr
def _options(shapes: Any, dtypes: Any, modes: Any, keeps_last_status: bool) -> tuple[int, ...]:
    cache_mode, scatter_mode, on_error, check_duplicates = modes
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    names = tuple(None if dtype is None else dtype_name(dtype) for dtype in dtypes)
    arguments = Arguments(tuple(shapes), names, cache_mode, scatter_mode)
    return tuple(options_of(arguments, on_error, check_duplicates, keeps_last_status))


@_primexpr
def is_key_only(value: Any, value_cache: Any) -> bool:
    """Whether the shapes of value and value_cache, None for None, say that there is no V."""
    return are_absent(value, value_cache)


def graph_call(*call: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    tensors, shapes, dtypes, modes, last_status = parts_of(call)
    key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens = tensors
    options = numbers(_options(shapes, dtypes, modes, records_into(last_status)))
    if is_key_only(shapes[1], shapes[3]):
        value, value_cache = absent.rows, absent.rows
    if compress_lens is None:
        if last_status is None:
            return _operators.rows(key, value, key_cache, value_cache, slot_mapping, options)
        return _operators.rows_recording(key, value, key_cache, value_cache, slot_mapping, last_status, options)
    if compress_seq_offsets is None:
        compress_seq_offsets = placeholder(slot_mapping.dtype)
    pairs = (compress_lens, compress_seq_offsets, seq_lens)
    if last_status is None:
        return _operators.pairs(key, value, key_cache, value_cache, slot_mapping, *pairs, options)
    return _operators.pairs_recording(key, value, key_cache, value_cache, slot_mapping, *pairs, last_status, options)
