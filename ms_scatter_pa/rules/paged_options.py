"""From the Python arguments of a gather or a quantising write to what the C++ side is told."""

from collections.abc import Sequence
from typing import Any

import mindspore as ms

from .layouts import check_strides
from .options import check_modes, dtype_name
from .paged import PagedArguments, gather_options, quant_options
from .schema import Operator
from .table import GATHER_PA, QUANT_SCATTER_PA, GatherPaOptions, QuantScatterPaOptions


def check_gather_modes(is_seq_lens_cumsum: Any, cache_mode: Any, on_error: Any) -> None:
    """Refuses modes of the wrong type and an unknown ``on_error``."""
    if not isinstance(is_seq_lens_cumsum, bool):
        raise TypeError(f"is_seq_lens_cumsum: given {type(is_seq_lens_cumsum).__name__}, expected bool")
    check_modes(cache_mode, None, on_error, False)


def check_quant_modes(cache_mode: Any, on_error: Any, check_duplicates: Any) -> None:
    """The same for a quantising write."""
    check_modes(cache_mode, None, on_error, check_duplicates)


def arguments_of(operator: Operator, shapes: Sequence[Any], dtypes: Sequence[Any], cache_mode: Any) -> PagedArguments:
    """What the rules look at, from shapes and MindSpore dtypes; None where an argument is absent."""
    names = tuple(None if dtype is None else dtype_name(dtype) for dtype in dtypes)
    known = tuple(None if shape is None else tuple(shape) for shape in shapes)
    return PagedArguments(operator.name, known, names, cache_mode)


def read_arguments(operator: Operator, tensors: Sequence[Any], cache_mode: Any) -> PagedArguments:
    """What the rules look at, from the tensors of an eager call.

    Raises:
        TypeError, ValueError: no Tensor; memory that is strided where the operator takes none such.
    """
    for argument, tensor in zip(operator.arguments, tensors, strict=True):
        if tensor is None:
            continue
        if not isinstance(tensor, ms.Tensor):
            raise TypeError(f"{argument.name}: given {type(tensor).__name__}, expected a Tensor")
        if tensor.is_contiguous() or not (argument.written or argument.name.endswith("_cache")):
            continue
        check_strides(argument.name, tensor.shape, tensor.stride())
    shapes = [None if tensor is None else tensor.shape for tensor in tensors]
    dtypes = [None if tensor is None else tensor.dtype for tensor in tensors]
    return arguments_of(operator, shapes, dtypes, cache_mode)


def gather_options_of_call(*call: Any) -> GatherPaOptions:
    """The rules for one eager gather: the arguments, the modes, and a last-status tensor or None."""
    *tensors, is_seq_lens_cumsum, cache_mode, on_error, last_status = call
    check_gather_modes(is_seq_lens_cumsum, cache_mode, on_error)
    arguments = read_arguments(GATHER_PA, tensors, cache_mode)
    return gather_options(arguments, is_seq_lens_cumsum, on_error, last_status is not None)


def quant_options_of_call(*call: Any) -> QuantScatterPaOptions:
    """The rules for one eager quantising write."""
    *tensors, cache_mode, on_error, check_duplicates, last_status = call
    check_quant_modes(cache_mode, on_error, check_duplicates)
    arguments = read_arguments(QUANT_SCATTER_PA, tensors, cache_mode)
    return quant_options(arguments, on_error, check_duplicates, last_status is not None)
