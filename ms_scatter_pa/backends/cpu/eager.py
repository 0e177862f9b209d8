"""PyNative on the CPU: the pyboost extension where it loads, else the core through pointers after a sync."""

import atexit
import ctypes
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np

from ...rules.options import options_of_call
from ...rules.schema import Operator
from ...rules.table import BAD_SHAPES, MAX_RANK, SCATTER_PA, STATUS_FIELDS
from ..graph_tools import address_of
from ..mindspore_release import check_installed, load_extension
from ..views import missing_bytes
from . import library
from .bindings import Status
from .queue import begin_end, queue_done

_MESSAGE_SIZE = 1024
_ERRORS: dict[str, type[Exception]] = {"IndexError": IndexError, "MemoryError": MemoryError}


class _Tensor(ctypes.Structure):
    """``MsspTensor`` of ``cpu_kernels/entries/call_from_tensors.h``."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("ndim", ctypes.c_int64),
    ]


def call_through_pointers(*call: Any) -> Any:
    """The slow way: waits for MindSpore's queue and hands the tensors' addresses to the core.

    Errors are raised at the call itself.
    """
    return run_through_pointers("MsspRun", SCATTER_PA, options_of_call(*call), call)


def run_through_pointers(function: str, operator: Operator, options: Any, call: Sequence[Any]) -> Any:
    """The same for any operator: ``function`` of the core's library, and the options of the call."""
    tensors, last_status = call[: len(operator.arguments)], call[-1]
    with queue_done():
        kept = address_of(last_status)
        refused = _check_memory(operator, tensors, options, kept)
        if refused is not None:
            return refused
        structs = (_Tensor * len(tensors))()
        for struct, tensor in zip(structs, tensors, strict=True):
            if tensor is None:
                continue
            struct.data = tensor.data_ptr()
            struct.shape = (ctypes.c_int64 * MAX_RANK)(*tensor.shape)
            struct.ndim = len(tensor.shape)
            if not tensor.is_contiguous():
                struct.strides = (ctypes.c_int64 * MAX_RANK)(*tensor.stride())
        status = np.zeros(len(STATUS_FIELDS), np.int64)
        message = ctypes.create_string_buffer(_MESSAGE_SIZE)
        run = getattr(library.load(), function)
        run.restype = Status
        code = run(
            structs,
            (ctypes.c_int64 * len(options))(*options),
            status.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_void_p(kept),
            message,
            ctypes.c_int64(_MESSAGE_SIZE),
        ).code
    if code and not options.record:
        kind, _, text = message.value.decode().partition(": ")
        raise _ERRORS.get(kind, ValueError)(text)
    return ms.Tensor(status)


def _check_memory(operator: Operator, tensors: Sequence[Any], options: Any, kept: int | None) -> Any:
    """Refuses a tensor that ends behind its memory, as the extension does; returns the status where the call records.

    One without memory is left to the core.
    """
    for position, tensor in enumerate(tensors):
        missing = None if tensor is None or tensor.data_ptr() == 0 else missing_bytes(tensor)
        if missing is None:
            continue
        status = np.array([BAD_SHAPES, position, *missing], np.int64)
        if kept is not None:
            ctypes.memmove(kept, status.ctypes.data, status.nbytes)
        if not options.record:
            given, expected = missing
            name = operator.arguments[position].name
            raise ValueError(
                f"{name}: given a storage of {given} bytes, expected {expected} for its shape; {operator.name} wrote nothing"
            )
        return ms.Tensor(status)
    return None


def load_eager() -> Callable[..., Any]:
    """The extension's function, or with a warning the one that goes through pointers."""
    check_installed()
    atexit.register(begin_end)  # later than MindSpore's own, so it runs before
    try:
        _eager = load_extension("_eager")
    except ImportError as error:
        library.library_path()  # without any library nothing works, and that is said at once
        warnings.warn(
            f"ms_scatter_pa: the PyNative extension does not load ({error}); calls go through pointers after a sync, "
            "which is slower. 'python -m ms_scatter_pa doctor' tells more.",
            RuntimeWarning,
            stacklevel=2,
        )
        return call_through_pointers
    _eager.set_options_function_of_scatter_pa_kv_cache(options_of_call)
    atexit.register(_eager.begin_end)
    function: Callable[..., Any] = _eager.scatter_pa_kv_cache
    return function
