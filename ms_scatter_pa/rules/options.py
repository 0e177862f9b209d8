"""From a call's Python arguments to what the C++ side is told (``MsspOptions`` in ``cpu_kernels/core/op_info.h``)."""

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np

from .checks import checked_scenario
from .layouts import check_strides
from .scenario import Arguments, without_empty_value
from .schema import Operator
from .table import ARGUMENTS, CACHE_MODES, DTYPES, INDEX_DTYPES, ON_ERROR, SCATTER_MODES, ScatterPaOptions

_DTYPE_NAMES = {getattr(ms, name): name for name in {d.name for d in DTYPES + INDEX_DTYPES} if hasattr(ms, name)}
_DATA_CODES = {dtype.name: dtype.code for dtype in DTYPES}
_INDEX_CODES = {dtype.name: dtype.code for dtype in INDEX_DTYPES}
NO_PARAMETERS = tuple(dtype.name for dtype in DTYPES if dtype.reg_name is None)
"""Of which MindSpore on the CPU makes no Parameters, and knows no arithmetic."""


def dtype_name(dtype: Any) -> str:
    """The table's name of a dtype of MindSpore, NumPy or ml_dtypes; a name is itself. What the table lacks keeps its own name."""
    name = _DTYPE_NAMES.get(dtype)
    if name is not None:
        return name
    if isinstance(dtype, str):
        return dtype
    if isinstance(dtype, np.dtype) or (isinstance(dtype, type) and issubclass(dtype, np.generic)):
        return np.dtype(dtype).name
    return str(dtype).lower()


def check_modes(cache_mode: Any, scatter_mode: Any, on_error: Any, check_duplicates: Any) -> None:
    """Refuses modes of the wrong type; their values are ``scenario.decide``'s to judge, but for ``on_error``."""
    for name, mode in (("cache_mode", cache_mode), ("scatter_mode", scatter_mode)):
        if mode is not None and not isinstance(mode, str):
            raise TypeError(f"{name}: given {type(mode).__name__}, expected None or str")
    if not isinstance(on_error, str):
        raise TypeError(f"on_error: given {type(on_error).__name__}, expected str")
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error: given {on_error!r}, expected one of {ON_ERROR}")
    if not isinstance(check_duplicates, bool):
        raise TypeError(f"check_duplicates: given {type(check_duplicates).__name__}, expected bool")


def check_parameter(name: str, cache: Any, operator: Operator) -> None:
    """Refuses a cache that a Cell of the operator cannot hold.

    Raises:
        TypeError: it is no Parameter.
    """
    if isinstance(cache, ms.Parameter):
        return
    given, more = type(cache).__name__, ""
    dtype = dtype_name(cache.dtype) if isinstance(cache, ms.Tensor) else ""
    group = next(argument.dtype_group for argument in operator.arguments if argument.name == name)
    if dtype in NO_PARAMETERS and dtype in operator.dtype_groups[group]:
        given = f"a {given} of {dtype}"
        more = (
            f". MindSpore on the CPU has no Parameters of {dtype}: pass such a cache to {operator.name} as an argument"
        )
    raise TypeError(f"{name}: given {given}, expected a Parameter{more}")


def options_of(
    arguments: Arguments, on_error: str, check_duplicates: bool, keeps_last_status: bool
) -> ScatterPaOptions:
    """Checks shapes and dtypes, and says in numbers what to do.

    Raises:
        TypeError, ValueError: as ``checked_scenario``; ValueError also for a 3-D PA_NZ cache.
    """
    arguments = without_empty_value(arguments)
    scenario = checked_scenario(arguments)
    if scenario.device_format:
        raise ValueError(
            f"key_cache: given 3-D shape {list(arguments.shape('key_cache') or ())} with cache_mode 'PA_NZ', expected "
            "4-D or 5-D on CPU: what a 3-D cache of that mode holds (FRACTAL_NZ) is known to the device only"
        )
    key_dtype, value_dtype, index_dtype = (arguments.dtype(n) for n in ("key", "value", "slot_mapping"))
    assert key_dtype is not None and index_dtype is not None
    return ScatterPaOptions(
        layout=CACHE_MODES.index(scenario.layout),
        scatter_mode=SCATTER_MODES.index(scenario.scatter_mode),
        packed=int(scenario.packed),
        key_only=int(scenario.key_only),
        flattened=int(scenario.flattened),
        record=int(on_error == "record"),
        check_duplicates=int(check_duplicates),
        keeps_last_status=int(keeps_last_status),
        key_type=_DATA_CODES[key_dtype],
        value_type=_DATA_CODES[value_dtype or key_dtype],
        index_type=_INDEX_CODES[index_dtype],
    )


def arguments_of_tensors(
    tensors: Sequence[Any], cache_mode: str | None, scatter_mode: str | None, *, strided_caches: bool = False
) -> Arguments:
    """Reads shapes and dtypes off tensors in the order of the table's arguments.

    Args:
        tensors: one per argument, or None.
        cache_mode: as the call has it.
        scatter_mode: as the call has it.
        strided_caches: the caller looks at the caches' strides itself.

    Raises:
        TypeError: an argument that is neither a Tensor nor None.
        ValueError: a cache that is not contiguous.
    """
    for argument, tensor in zip(ARGUMENTS, tensors, strict=True):
        if tensor is not None and not isinstance(tensor, ms.Tensor):
            raise TypeError(f"{argument.name}: given {type(tensor).__name__}, expected a Tensor")
        if argument.written and not strided_caches and tensor is not None and not tensor.is_contiguous():
            raise ValueError(
                f"{argument.name}: given a strided view of shape {list(tensor.shape)}, expected a contiguous tensor, "
                "since the operator writes it in place"
            )
    shapes = tuple(None if tensor is None else tuple(tensor.shape) for tensor in tensors)
    dtypes = tuple(None if tensor is None else dtype_name(tensor.dtype) for tensor in tensors)
    return Arguments(shapes, dtypes, cache_mode, scatter_mode)


def options_of_call(*call: Any) -> ScatterPaOptions:
    """The rules for one eager call: eight tensors or None, the four modes, and a last-status tensor or None."""
    *tensors, cache_mode, scatter_mode, on_error, check_duplicates, last_status = call
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    arguments = arguments_of_tensors(tensors, cache_mode, scatter_mode, strided_caches=True)
    for argument, tensor in zip(ARGUMENTS, tensors, strict=True):
        if argument.written and tensor is not None and not tensor.is_contiguous():
            check_strides(argument.name, tensor.shape, tensor.stride())
    return options_of(arguments, on_error, check_duplicates, last_status is not None)
