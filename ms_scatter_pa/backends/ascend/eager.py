"""PyNative on Ascend.

A kernel there cannot raise. Every call records, whatever ``on_error`` is: bad rows are skipped, the others are written
and the status tells. Reading the status waits for the device, so it is left to the caller.

The extension that ``build-ascend`` compiles queues a call as one operator and asks ``plan`` once per combination of
shapes. Without it calls go through ``ops.Custom``.
"""

import os
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ...rules.options import arguments_of_tensors, check_modes
from ...rules.table import SCATTER_PA
from ..device import soc_version
from . import cann_operator
from .extension import load_extension
from .launch import FLATTENED, Launch, launch_of
from .operator import make_operator
from .operator_package import find_package
from .strides import block_stride, token_stride
from .views import refuse_view

Plan = tuple[bool, tuple[int, ...] | None, tuple[bool, ...], tuple[Tensor, ...]]

CACHES = SCATTER_PA.written

_NO_EXTENSION = (
    "without the extension that 'python -m ms_scatter_pa build-ascend' compiles, calls go through ops.Custom, which copies "
    "views"
)


def make_eager() -> Callable[..., Any]:
    """What runs a call: the extension where it is there, else ``ops.Custom``."""
    package = None if cann_operator.chosen() else find_package(os.environ)
    try:
        extension = package and load_extension(package)
    except ImportError as error:
        extension = None
        warnings.warn(
            f"ms_scatter_pa: the PyNative extension does not load ({error}); calls go through ops.Custom, which is "
            "slower and takes no views as caches. 'python -m ms_scatter_pa build-ascend' compiles it again.",
            RuntimeWarning,
            stacklevel=2,
        )
    return eager_call if extension is None else use_extension(extension)


def use_extension(extension: Any) -> Callable[..., Any]:
    """Gives the extension its rules and returns its entry, which takes a call as one row of positional arguments."""
    extension.set_plan(plan)
    entry: Callable[..., Any] = extension.scatter_pa_kv_cache
    return entry


def plan(*call: Any) -> Plan:
    """What the extension does with a call, and with all calls of the same shapes, dtypes, strides and modes.

    Returns:
        Whether there is nothing to write; how far apart key's and value's tokens and the caches' blocks lie, 0 for
        contiguous, or None where all four are; for each argument, whether it is made contiguous first; and for each
        input of the operator the tensor that stands for it where the call has none.

    Raises:
        TypeError, ValueError: as ``launch_of``; a cache that is strided in another axis than its first.
    """
    *tensors, cache_mode, scatter_mode, on_error, check_duplicates, _ = call
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    arguments = arguments_of_tensors(tensors, cache_mode, scatter_mode, strided_caches=True)
    launch = launch_of(arguments, check_duplicates, soc_version())
    flattened = launch.mode_shape[3] == FLATTENED
    rows = [_token_stride(tensor, flattened) for tensor in tensors[:2]]
    blocks = [_block_stride(*pair) for pair in zip(CACHES, tensors[2:4], strict=True)]
    strides = tuple(stride or 0 for stride in (*rows, *blocks))
    apart = [stride is None for stride in (*rows, *blocks)]
    apart += [tensor is not None and not tensor.is_contiguous() for tensor in tensors[4:]]
    return launch.empty, strides if any(strides) else None, tuple(apart), tuple(_constants(tensors, launch))


def _token_stride(tensor: Tensor | None, flattened: bool) -> int | None:
    """0 where rows are contiguous or absent, None where they must be made so."""
    if tensor is None or tensor.is_contiguous():
        return 0
    shape, strides = list(tensor.shape), list(tensor.stride())
    if flattened:
        shape.insert(-1, 1)
        strides.insert(-1, shape[-1])
    return token_stride(shape, strides)


def _block_stride(name: str, cache: Tensor | None) -> int:
    """0 where the cache is contiguous or absent."""
    if cache is None or cache.is_contiguous():
        return 0
    stride = block_stride(cache.shape, cache.stride())
    if stride is None:
        raise ValueError(
            f"{name}: given shape {list(cache.shape)} with strides {list(cache.stride())}, expected blocks that are "
            "contiguous: only the first axis may be strided, since the operator writes in place"
        )
    return stride


def eager_call(*call: Any) -> Any:
    """Runs one PyNative call without the extension; the arguments are those of ``options.options_of_call``."""
    *tensors, cache_mode, scatter_mode, on_error, check_duplicates, last_status = call
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    arguments = arguments_of_tensors(tensors, cache_mode, scatter_mode, strided_caches=not cann_operator.chosen())
    launch = launch_of(arguments, check_duplicates, soc_version())
    if launch.empty:
        return ms.mint.zeros(4, dtype=ms.int64)
    if cann_operator.chosen():
        cann_operator.write(tensors, cann_operator.modes_of(arguments, soc_version()))
        return ms.mint.zeros(4, dtype=ms.int64)
    for argument, tensor in zip(SCATTER_PA.arguments, tensors, strict=True):
        if argument.written and tensor is not None:
            refuse_view(argument.name, tensor, _NO_EXTENSION)
    given = [*tensors, None, last_status]
    constants = _constants(tensors, launch)
    inputs = [constant if tensor is None else tensor for tensor, constant in zip(given, constants, strict=True)]
    written = (*SCATTER_PA.written, *SCATTER_PA.ascend_written)
    names = SCATTER_PA.ascend_input_names
    dense = (t if n in written or t.is_contiguous() else t.contiguous() for n, t in zip(names, inputs, strict=True))
    return eager_operator()(*dense)


@lru_cache(maxsize=1)
def eager_operator() -> Any:
    """The operator, made at the first call; a graph uses the same one."""
    return make_operator()


def _constants(tensors: list[Any], launch: Launch) -> list[Tensor]:
    """For each input of the operator what stands for it where the call has no tensor; made once, kept on the device."""
    key, slot_mapping = tensors[0], tensors[4]
    rows, index = _placeholder(key.dtype), _placeholder(slot_mapping.dtype)
    return [rows] * 4 + [index] * 4 + [_mode(launch.mode_shape), _placeholder(ms.int64)]


@cache
def _placeholder(dtype: Any) -> Tensor:
    return Tensor(np.zeros(1, np.int8), dtype)


@cache
def _mode(shape: tuple[int, int, int, int]) -> Tensor:
    return Tensor(np.zeros(shape, np.uint8))
