"""PyNative on the CPU: the pyboost extension where it loads, else the core through pointers after a sync."""

import atexit
import ctypes
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np

from ...rules.options import options_of_call
from ...rules.table import MAX_RANK, SCATTER_PA, STATUS_FIELDS
from ..graph_tools import address_of
from ..mindspore_release import check_installed, load_extension
from ..moved_names import pynative_executor
from . import library
from .bindings import Status

_MESSAGE_SIZE = 1024
_ERRORS: dict[str, type[Exception]] = {"IndexError": IndexError, "MemoryError": MemoryError}


class _Tensor(ctypes.Structure):
    """``MsspTensor`` of ``cpu_kernels/call_from_tensors.h``."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("ndim", ctypes.c_int64),
    ]


_ending_thread: list[int] = []


def _begin_end() -> None:
    _ending_thread.append(threading.get_ident())


def wait_for_queue() -> None:
    """Waits until everything that PyNative queued is done.

    Raises:
        RuntimeError: another thread ends the interpreter: MindSpore's queue is closed, and whoever waits for it never
            comes back.
    """
    if _ending_thread and threading.get_ident() not in _ending_thread:
        raise RuntimeError(
            "called by a thread that runs on while the interpreter ends, when MindSpore's queue is closed: end and join "
            "such threads before; nothing was written"
        )
    pynative_executor.sync()


def call_through_pointers(*call: Any) -> Any:
    """The slow way: waits for MindSpore's queue and hands the tensors' addresses to the core.

    Errors are raised at the call itself.
    """
    return run_through_pointers("MsspRun", options_of_call(*call), call[: len(SCATTER_PA.arguments)], call[-1])


def run_through_pointers(function: str, options: Any, tensors: Sequence[Any], last_status: Any) -> Any:
    """The same for any operator: ``function`` of the core's library, and the options of the call."""
    wait_for_queue()
    kept = address_of(last_status)
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


def load_eager() -> Callable[..., Any]:
    """The extension's function, or with a warning the one that goes through pointers."""
    check_installed()
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
        atexit.register(_begin_end)
        return call_through_pointers
    _eager.set_options_function_of_scatter_pa_kv_cache(options_of_call)
    atexit.register(_eager.begin_end)  # later than MindSpore's own, so it runs before
    function: Callable[..., Any] = _eager.scatter_pa_kv_cache
    return function
