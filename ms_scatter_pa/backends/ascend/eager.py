"""PyNative on Ascend.

A kernel there cannot raise. Every call records, whatever ``on_error`` is: bad rows are skipped, the others are written
and the status tells. Reading the status waits for the device, so it is left to the caller.
"""

from functools import cache, lru_cache
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ...rules.options import arguments_of_tensors, check_modes
from ..device import soc_version
from . import cann_operator
from .launch import Launch, launch_of
from .operator import make_operator


def eager_call(*call: Any) -> Any:
    """Runs one PyNative call; the arguments are those of ``options.options_of_call``."""
    *tensors, cache_mode, scatter_mode, on_error, check_duplicates, last_status = call
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    arguments = arguments_of_tensors(tensors, cache_mode, scatter_mode)
    launch = launch_of(arguments, check_duplicates, soc_version())
    if launch.empty:
        return ms.mint.zeros(4, dtype=ms.int64)
    if cann_operator.chosen():
        cann_operator.write(tensors, cann_operator.modes_of(arguments, soc_version()))
        return ms.mint.zeros(4, dtype=ms.int64)
    return eager_operator()(*_inputs(tensors, launch, last_status))


@lru_cache(maxsize=1)
def eager_operator() -> Any:
    """The operator, made at the first call; a graph uses the same one."""
    return make_operator()


def _inputs(tensors: list[Any], launch: Launch, last_status: Any) -> list[Any]:
    """The ten tensors of the operator. Caches go as they are: a copy of one would swallow the write."""
    key, value, key_cache, value_cache, slot_mapping, *lengths = tensors
    rows = _placeholder(key.dtype)
    index = _placeholder(slot_mapping.dtype)
    key_shape, value_shape = launch.rows_shapes
    return [
        _rows(key, key_shape),
        rows if value is None else _rows(value, value_shape),
        key_cache,
        rows if value_cache is None else value_cache,
        slot_mapping.contiguous(),
        *(index if tensor is None else tensor.contiguous() for tensor in lengths),
        _mode(launch.mode_shape),
        _placeholder(ms.int64) if last_status is None else last_status,
    ]


def _rows(tensor: Any, shape: Any) -> Any:
    tensor = tensor.contiguous()
    return tensor if shape is None else tensor.reshape(shape)


@cache
def _placeholder(dtype: Any) -> Tensor:
    return Tensor(np.zeros(1, np.int8), dtype)


@cache
def _mode(shape: tuple[int, int, int, int]) -> Tensor:
    return Tensor(np.zeros(shape, np.uint8))
