"""The gather and the quantising write on the CPU: the pyboost extension, or pointers after a sync; ``ops.Custom`` in a
graph."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops.primitive import _primexpr

from ...rules.paged import gather_options, quant_options
from ...rules.paged_options import (
    arguments_of,
    check_gather_modes,
    check_quant_modes,
    gather_options_of_call,
    quant_options_of_call,
)
from ...rules.schema import Operator
from ...rules.table import GATHER_PA, QUANT_SCATTER_PA
from ..graph_tools import (
    GATHER_TENSORS,
    QUANT_TENSORS,
    absent,
    mark_writes,
    no_gradient,
    numbers,
    parts_of,
    placeholder,
    records_into,
)
from ..library_file import custom_function
from ..mindspore_release import load_extension
from ..paged_reg_info import cpu_inputs, cpu_reg_info
from . import eager, library
from .graph import is_key_only

_OPTIONS_OF_CALL: dict[str, Callable[..., Any]] = {
    GATHER_PA.name: gather_options_of_call,
    QUANT_SCATTER_PA.name: quant_options_of_call,
}
_RUNNERS = {GATHER_PA.name: "MsspRunGather", QUANT_SCATTER_PA.name: "MsspRunQuant"}


def call_through_pointers(operator: Operator, *call: Any) -> Any:
    """The slow way, as the write's."""
    options = _OPTIONS_OF_CALL[operator.name](*call)
    return eager.run_through_pointers(_RUNNERS[operator.name], operator, options, call)


def load_paged() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What runs a gather and a quantising write in PyNative."""
    try:
        extension = load_extension("_eager")
    except ImportError:  # the write has warned of it
        return partial(call_through_pointers, GATHER_PA), partial(call_through_pointers, QUANT_SCATTER_PA)
    extension.set_options_function_of_gather_pa_kv_cache(gather_options_of_call)
    extension.set_options_function_of_quant_scatter_pa_kv_cache(quant_options_of_call)
    return extension.gather_pa_kv_cache, extension.quant_scatter_pa_kv_cache


def _make(operator: Operator, scale_caches: bool, records: bool) -> Any:
    function = custom_function(library.library_path(), operator.registered_name)
    registration = cpu_reg_info(operator, scale_caches, records)
    names = cpu_inputs(operator, scale_caches, records)
    custom = ops.Custom(function, None, ms.int64, "aot", bprop=no_gradient(names), reg_info=registration)
    return mark_writes(custom, names, {*operator.written, "last_status"})


@ms.jit_class
class _Operators:
    """Made when the first graph needs them: MindSpore's compiler asks an object for its attributes."""

    @cached_property
    def gather(self) -> Any:
        return _make(GATHER_PA, True, False)

    @cached_property
    def gather_recording(self) -> Any:
        return _make(GATHER_PA, True, True)

    @cached_property
    def static(self) -> Any:
        return _make(QUANT_SCATTER_PA, False, False)

    @cached_property
    def static_recording(self) -> Any:
        return _make(QUANT_SCATTER_PA, False, True)

    @cached_property
    def dynamic(self) -> Any:
        return _make(QUANT_SCATTER_PA, True, False)

    @cached_property
    def dynamic_recording(self) -> Any:
        return _make(QUANT_SCATTER_PA, True, True)


_operators = _Operators()


@_primexpr
def _gather_options(shapes: Any, dtypes: Any, modes: Any, keeps_last_status: bool) -> tuple[int, ...]:
    is_seq_lens_cumsum, cache_mode, on_error = modes
    check_gather_modes(is_seq_lens_cumsum, cache_mode, on_error)
    arguments = arguments_of(GATHER_PA, shapes, dtypes, cache_mode)
    return tuple(gather_options(arguments, is_seq_lens_cumsum, on_error, keeps_last_status))


@_primexpr
def _quant_options(shapes: Any, dtypes: Any, modes: Any, keeps_last_status: bool) -> tuple[int, ...]:
    cache_mode, on_error, check_duplicates = modes
    check_quant_modes(cache_mode, on_error, check_duplicates)
    arguments = arguments_of(QUANT_SCATTER_PA, shapes, dtypes, cache_mode)
    return tuple(quant_options(arguments, on_error, check_duplicates, keeps_last_status))


def gather_graph(*call: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    tensors, shapes, dtypes, modes, last_status = parts_of(call, GATHER_TENSORS)
    key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset = tensors[:7]
    options = numbers(_gather_options(shapes, dtypes, modes, records_into(last_status)))
    if is_key_only(shapes[5], shapes[1]):
        value, value_cache = absent.rows, absent.rows
    if seq_offset is None:
        seq_offset = placeholder(block_tables.dtype)
    scales = [placeholder(ms.float32) if tensor is None else tensor for tensor in tensors[7:]]
    caches = (key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset)
    if last_status is None:
        return _operators.gather(*caches, *scales, options)
    return _operators.gather_recording(*caches, *scales, last_status, options)


def quant_graph(*call: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    tensors, shapes, dtypes, modes, last_status = parts_of(call, QUANT_TENSORS)
    key, value, key_cache, value_cache, slot_mapping = tensors[:5]
    key_scale_cache, value_scale_cache = tensors[9:]
    options = numbers(_quant_options(shapes, dtypes, modes, records_into(last_status)))
    if is_key_only(shapes[1], shapes[3]):
        value, value_cache = absent.rows, absent.codes
    scales = [placeholder(ms.float32) if tensor is None else tensor for tensor in tensors[5:9]]
    rows = (key, value, key_cache, value_cache, slot_mapping)
    if key_scale_cache is None and value_scale_cache is None:
        if last_status is None:
            return _operators.static(*rows, *scales, options)
        return _operators.static_recording(*rows, *scales, last_status, options)
    if key_scale_cache is None:
        key_scale_cache = value_scale_cache
    if value_scale_cache is None:
        value_scale_cache = key_scale_cache
    if last_status is None:
        return _operators.dynamic(*rows, *scales, key_scale_cache, value_scale_cache, options)
    return _operators.dynamic_recording(*rows, *scales, key_scale_cache, value_scale_cache, last_status, options)
