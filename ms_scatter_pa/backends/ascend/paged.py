"""The gather and the quantising write on Ascend, in PyNative and in graphs: ``ops.Custom`` on the operators that
``build-ascend`` installs.

A kernel there cannot raise. Every call records, whatever ``on_error`` is, and the status tells.
"""

import os
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore.ops.primitive import _primexpr, constexpr

from ...rules.paged_options import arguments_of, check_gather_modes, check_quant_modes, read_arguments
from ...rules.schema import Operator
from ...rules.table import GATHER_PA, OPERATORS, QUANT_SCATTER_PA
from ..cpu.library import INFER_LIBRARY_PATH
from ..device import soc_version
from ..graph_tools import GATHER_TENSORS, QUANT_TENSORS, mark_writes, numbers, parts_of, placeholder
from ..library_file import custom_function
from ..paged_reg_info import ascend_reg_info
from .callback import callback_folder
from .operator_package import aclnn_header, find_package, has_operator, missing_package
from .paged_launch import PagedLaunch, gather_launch, quant_launch
from .views import refuse_view


def make_operator(operator: Operator) -> Any:
    """An operator of the table, for both modes.

    Raises:
        RuntimeError: it is not installed, or MindSpore does not see it.
    """
    package = find_package(os.environ)
    if package is None:
        raise RuntimeError(missing_package(os.environ))
    if not has_operator(package, operator):
        raise RuntimeError(
            f"ms_scatter_pa: the package in {package} is older and lacks {aclnn_header(operator)}: run 'python -m ms_scatter_pa "
            "build-ascend' again"
        )
    with callback_folder(package):
        return make_custom(operator, INFER_LIBRARY_PATH, ascend_reg_info(operator))


def make_custom(operator: Operator, library: Path, reg_info: dict[str, Any]) -> Any:
    """``ops.Custom`` of the Ascend interface; ``library`` exports the shape inference that dynamic graphs need."""
    names = operator.ascend_input_names
    function = custom_function(library, operator.registered_name)
    custom = ops.Custom(function, None, ms.int64, "aot", reg_info=reg_info)
    return mark_writes(custom, names, {*operator.written, *operator.ascend_written})


@cache
def made(name: str) -> Any:
    """The operator with that name, made at the first call of either mode."""
    return make_operator({operator.name: operator for operator in OPERATORS}[name])


@cache
def _ones(dtype: Any) -> Tensor:
    return Tensor(np.ones(1, np.int8), dtype)


@cache
def _mode(shape: tuple[int, ...]) -> Tensor:
    return Tensor(np.zeros(shape, np.uint8))


def _read(operator: Operator, tensors: list[Any], cache_mode: Any) -> Any:
    arguments = read_arguments(operator, tensors, cache_mode)
    for argument, tensor in zip(operator.arguments, tensors, strict=True):
        if tensor is None:
            continue
        if argument.written:
            refuse_view(argument.name, tensor, "calls on Ascend go through ops.Custom, which copies views")
        elif argument.name.endswith("_cache") and not tensor.is_contiguous():
            raise ValueError(
                f"{argument.name}: given a strided view of shape {list(tensor.shape)}, expected a contiguous tensor on "
                "Ascend"
            )
    return arguments


def gather_eager(*call: Any) -> Any:
    """Runs one PyNative call; the arguments are those of ``Operator.call``."""
    *tensors, is_seq_lens_cumsum, cache_mode, on_error, last_status = call
    check_gather_modes(is_seq_lens_cumsum, cache_mode, on_error)
    launch = gather_launch(_read(GATHER_PA, tensors, cache_mode), is_seq_lens_cumsum, soc_version())
    if launch.empty:
        return ms.mint.zeros(4, dtype=ms.int64)
    key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset = tensors[:7]
    key_scale, value_scale = _scales(tensors[7:], launch)
    return made(GATHER_PA.name)(
        key_cache,
        _ones(key_cache.dtype) if value_cache is None else value_cache,
        block_tables.contiguous(),
        seq_lens.contiguous(),
        key,
        _ones(key.dtype) if value is None else value,
        _ones(block_tables.dtype) if seq_offset is None else seq_offset.contiguous(),
        tensors[11] if launch.kept[0] else key_scale,
        tensors[12] if launch.kept[1] else value_scale,
        _mode(launch.mode_shape),
        _ones(ms.int64) if last_status is None else last_status,
    )


def quant_eager(*call: Any) -> Any:
    """The same for a quantising write."""
    *tensors, cache_mode, on_error, check_duplicates, last_status = call
    check_quant_modes(cache_mode, on_error, check_duplicates)
    launch = quant_launch(_read(QUANT_SCATTER_PA, tensors, cache_mode), check_duplicates, soc_version())
    if launch.empty:
        return ms.mint.zeros(4, dtype=ms.int64)
    key, value, key_cache, value_cache, slot_mapping = tensors[:5]
    key_scale, value_scale = _scales(tensors[5:], launch)
    return made(QUANT_SCATTER_PA.name)(
        _rows(key, launch.rows_shapes[0]),
        _ones(key.dtype) if value is None else _rows(value, launch.rows_shapes[1]),
        key_cache,
        _ones(key_cache.dtype) if value_cache is None else value_cache,
        slot_mapping.contiguous(),
        key_scale,
        value_scale,
        _ones(ms.float32) if tensors[9] is None else tensors[9],
        _ones(ms.float32) if tensors[10] is None else tensors[10],
        _mode(launch.mode_shape),
        _ones(ms.int64) if last_status is None else last_status,
    )


def _rows(tensor: Any, shape: Any) -> Any:
    tensor = tensor.contiguous()
    return tensor if shape is None else tensor.reshape(shape)


def _scales(given: list[Any], launch: PagedLaunch) -> list[Any]:
    """key_scale and value_scale, offsets behind them; ``given``: both scales, then both offsets."""
    scales: list[Any] = []
    for side in range(2):
        scale = _ones(ms.float32) if given[side] is None else given[side].contiguous()
        scales.append(ops.stack((scale, given[2 + side])) if launch.stacked[side] else scale)
    return scales


@ms.jit_class
class _Operators:
    """MindSpore's compiler asks an object for its attributes."""

    @cached_property
    def gather(self) -> Any:
        return made(GATHER_PA.name)

    @cached_property
    def quant(self) -> Any:
        return made(QUANT_SCATTER_PA.name)


_operators = _Operators()


@constexpr
def _mode_tensor(shape: Any) -> Any:
    return Tensor(np.zeros(shape, np.uint8))


@_primexpr
def _gather_launch(shapes: Any, dtypes: Any, modes: Any) -> Any:
    made(GATHER_PA.name)  # errors of an object's attribute lose their type
    is_seq_lens_cumsum, cache_mode, on_error = modes
    check_gather_modes(is_seq_lens_cumsum, cache_mode, on_error)
    return tuple(gather_launch(arguments_of(GATHER_PA, shapes, dtypes, cache_mode), is_seq_lens_cumsum, soc_version()))


@_primexpr
def _quant_launch(shapes: Any, dtypes: Any, modes: Any) -> Any:
    made(QUANT_SCATTER_PA.name)
    cache_mode, on_error, check_duplicates = modes
    check_quant_modes(cache_mode, on_error, check_duplicates)
    return tuple(
        quant_launch(arguments_of(QUANT_SCATTER_PA, shapes, dtypes, cache_mode), check_duplicates, soc_version())
    )


def gather_graph(*call: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    tensors, shapes, dtypes, modes, last_status = parts_of(call, GATHER_TENSORS)
    mode_shape, _, stacked, kept, empty = _gather_launch(shapes, dtypes, modes)
    if empty:
        return numbers((0, 0, 0, 0))
    key_cache, value_cache, block_tables, seq_lens, key, value, seq_offset = tensors[:7]
    return _operators.gather(
        key_cache,
        placeholder(key_cache.dtype) if value_cache is None else value_cache,
        block_tables,
        seq_lens,
        key,
        placeholder(key.dtype) if value is None else value,
        placeholder(block_tables.dtype) if seq_offset is None else seq_offset,
        tensors[11] if kept[0] else _scale(tensors[7], tensors[9], stacked[0]),
        tensors[12] if kept[1] else _scale(tensors[8], tensors[10], stacked[1]),
        _mode_tensor(mode_shape),
        numbers((0,)) if last_status is None else last_status,
    )


def quant_graph(*call: Any) -> Any:
    """Compiled by MindSpore, never run as Python."""
    tensors, shapes, dtypes, modes, last_status = parts_of(call, QUANT_TENSORS)
    mode_shape, rows_shapes, stacked, _, empty = _quant_launch(shapes, dtypes, modes)
    if empty:
        return numbers((0, 0, 0, 0))
    key, value, key_cache, value_cache, slot_mapping = tensors[:5]
    return _operators.quant(
        key if rows_shapes[0] is None else ops.reshape(key, rows_shapes[0]),
        _value(value, rows_shapes[1], key),
        key_cache,
        placeholder(key_cache.dtype) if value_cache is None else value_cache,
        slot_mapping,
        _scale(tensors[5], tensors[7], stacked[0]),
        _scale(tensors[6], tensors[8], stacked[1]),
        placeholder(ms.float32) if tensors[9] is None else tensors[9],
        placeholder(ms.float32) if tensors[10] is None else tensors[10],
        _mode_tensor(mode_shape),
        numbers((0,)) if last_status is None else last_status,
    )


def _value(value: Any, shape: Any, key: Any) -> Any:
    if value is None:
        return placeholder(key.dtype)
    return value if shape is None else ops.reshape(value, shape)


def _scale(scale: Any, offset: Any, stacked: Any) -> Any:
    if scale is None:
        return placeholder(ms.float32)
    return ops.stack((scale, offset)) if stacked else scale
