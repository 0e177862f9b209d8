"""What the ways into a graph share: telling that one is compiled, constants, and what is known while compiling."""

import sys
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from types import FrameType
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype
from mindspore.ops import signature as sig
from mindspore.ops.functional import isconstant
from mindspore.ops.primitive import PrimitiveWithInfer, _primexpr, constexpr

from ..rules.options import NO_PARAMETERS, dtype_name
from ..rules.scenario import UNKNOWN
from ..rules.table import GATHER_PA, QUANT_SCATTER_PA, SCATTER_PA, STATUS_FIELDS
from . import backend
from .bytecode_capture import keep_out
from .moved_names import jit_context, jit_trace, set_jit_context

keep_out()


class CompileTime(PrimitiveWithInfer):  # type: ignore[misc]
    """A question that the compiler answers by calling ``answer`` and folds, and that Python answers with False.

    Only the branch that the answer takes is parsed; globals in it are looked up after ``answer`` has run.
    """

    def __init__(self, name: str, answer: Callable[[], bool]) -> None:
        super().__init__(f"ms_scatter_pa_{name}")
        self.set_const_prim(True)
        self.add_prim_attr("constexpr_prim", True)
        self.answer = answer

    def infer_value(self) -> bool:
        return self.answer()

    def __call__(self) -> bool:
        return False


_TRACE = (
    "ms_scatter_pa: given mindspore.jit(capture_mode='trace'), expected capture_mode='ast' or 'bytecode': a "
    "trace runs Python once and repeats the operators that it recorded, and in-place writes, MindSpore's own included, "
    "are lost"
)


class _InGraph(CompileTime):
    """True while a graph is compiled and False when Python runs; a trace, which is neither, is refused."""

    def __call__(self) -> bool:
        if jit_context() is not None:
            _refuse_trace()
        return False


_TRACING = {"jit_trace_wrap", "nested_run"}  # MindSpore's functions that a traced one is called by


def _tracing_frame(frame: FrameType | None) -> FrameType | None:
    """The outermost frame of a trace that is under way in this stack; one that was refused and goes on is not."""
    found = None
    while frame is not None:
        code = frame.f_code
        if code.co_name in _TRACING and code.co_filename == jit_trace.__file__:
            found = frame if _place_of(frame) not in _refused else found
        frame = frame.f_back
    return found


def _place_of(frame: FrameType | None) -> tuple[int, int]:
    depth = 0
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return threading.get_ident(), depth


def _refuse_trace() -> None:
    """Refuses a call that is traced. MindSpore's context of a trace is one for all threads, and stays after an error."""
    here = threading.get_ident()
    frame = _tracing_frame(sys._getframe())
    others = [_tracing_frame(other) for thread, other in sys._current_frames().items() if thread != here]
    if any(others):
        if frame is not None:
            raise RuntimeError(_TRACE)
        return  # another thread's trace records MindSpore's operators; this call is none
    _end_trace()
    if frame is not None:
        _watch_end(frame)
        raise RuntimeError(_TRACE)


def _end_trace() -> None:
    """Ends the trace under way, which MindSpore would go on with after an error, and forgets what it recorded.

    Both sides of it end: Python's context and C++'s graph. What was recorded so far must not run as the whole function
    when that is called again.
    """
    trace = jit_trace._trace_jit_context
    try:
        if not trace.is_nested():
            jit_trace._compile_only = True
            tensors = [given for given in trace.args or () if isinstance(given, Tensor)]
            _mindspore_end(*(tensors[:1] or [Tensor(0)]))
    finally:
        jit_trace._compile_only = False
        jit_trace._trace_compile_cache.discard(trace.phase)
        jit_trace._using_trace = False
        set_jit_context(None)


_mindspore_begin, _mindspore_end = jit_trace._jit_trace_begin, jit_trace._jit_trace_end
_refused: set[tuple[int, int]] = set()  # thread and depth of what called a traced function whose trace was ended here


def _watch_end(frame: FrameType) -> None:
    """A traced function that catches the refusal comes to its end: MindSpore must not end the trace once more.

    A trace calls MindSpore's begin and then its end at one depth of the stack. So an end there without a begin
    before is the refused one's.
    """
    _refused.add(_place_of(frame))
    jit_trace._jit_trace_begin, jit_trace._jit_trace_end = _begin, _end


def _forget(places: set[tuple[int, int]]) -> None:
    _refused.difference_update(places)
    if not _refused:
        jit_trace._jit_trace_begin, jit_trace._jit_trace_end = _mindspore_begin, _mindspore_end


def _begin(*args: Any, **kwargs: Any) -> Any:
    here, depth = _place_of(sys._getframe(1))
    _forget({place for place in _refused if place[0] == here and place[1] >= depth})
    return _mindspore_begin(*args, **kwargs)


def _end(*args: Any, **kwargs: Any) -> Any:
    place = _place_of(sys._getframe(1))
    if place in _refused:
        _forget({place})
        raise RuntimeError(_TRACE)
    return _mindspore_end(*args, **kwargs)


def _prepare() -> bool:
    backend().prepare_graph()  # its errors keep their type here
    return True


in_graph = _InGraph("in_graph", _prepare)


@_primexpr
def _has_no_sum(dtype: Any) -> bool:
    return dtype_name(dtype) in NO_PARAMETERS


def _zeros(inputs: Any) -> Any:
    return tuple([numbers((0,)) if _has_no_sum(given.dtype) else ops.zeros_like(given) for given in inputs])


def _backward_of_6(a, b, c, d, e, f, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f))


def _backward_of_7(a, b, c, d, e, f, g, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g))


def _backward_of_8(a, b, c, d, e, f, g, h, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h))


def _backward_of_9(a, b, c, d, e, f, g, h, i, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i))


def _backward_of_10(a, b, c, d, e, f, g, h, i, j, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i, j))


def _backward_of_11(a, b, c, d, e, f, g, h, i, j, k, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i, j, k))


def _backward_of_12(a, b, c, d, e, f, g, h, i, j, k, m, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i, j, k, m))


def _backward_of_13(a, b, c, d, e, f, g, h, i, j, k, m, n, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i, j, k, m, n))


def _backward_of_14(a, b, c, d, e, f, g, h, i, j, k, m, n, p, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i, j, k, m, n, p))


def _backward_of_15(a, b, c, d, e, f, g, h, i, j, k, m, n, p, q, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g, h, i, j, k, m, n, p, q))


_BACKWARDS = {
    6: _backward_of_6,
    7: _backward_of_7,
    8: _backward_of_8,
    9: _backward_of_9,
    10: _backward_of_10,
    11: _backward_of_11,
    12: _backward_of_12,
    13: _backward_of_13,
    14: _backward_of_14,
    15: _backward_of_15,
}


def no_gradient(input_names: Sequence[str]) -> Any:
    """The backward of an operator with these inputs: zero for each, since the status is an integer and nothing flows
    through a cache. MindSpore counts a backward's parameters, hence one function for each number of inputs.

    MindSpore adds what flows back through a tensor that is used twice, and cannot add 8-bit floats: their zero is a number.
    """
    count = len(input_names)
    if count not in _BACKWARDS:
        # Not a KeyError: a graph turns it into "object has no attribute".
        raise RuntimeError(f"no backward for an operator of {count} inputs: write _backward_of_{count} in {__name__}")
    return _BACKWARDS[count]


def mark_writes(operator: Any, input_names: tuple[str, ...], written: set[str]) -> Any:
    """Tells MindSpore which inputs ``ops.Custom`` writes in place.

    Without the mark a graph deletes a write whose status nobody reads; with the signatures writes keep their order.
    """
    operator.add_prim_attr("side_effect_mem", True)
    write, read = sig.sig_rw.RW_WRITE, sig.sig_rw.RW_READ
    signatures = tuple(sig.make_sig(name, write if name in written else read) for name in input_names)
    operator.set_signatures(operator._fill_signature(signatures))
    return operator


@constexpr
def numbers(values: tuple[int, ...]) -> Tensor:
    return Tensor(np.array(values, np.int64))


@constexpr
def placeholder(dtype: Any) -> Tensor:
    return Tensor(np.zeros(1, np.float32), dtype)


@ms.jit_class
class _Absent:
    """Constants in the place of rows and a cache that are absent, which the kernel does not look at.

    A cache of the call once more would be copied whole in front of every write: MindSpore counts each name of a written
    tensor as a tensor. Attributes, since before 2.9 MindSpore does not fold a function's result that is written.
    """

    @cached_property
    def rows(self) -> Tensor:
        return Tensor(np.zeros(1, np.float16))

    @cached_property
    def codes(self) -> Tensor:
        return Tensor(np.zeros(1, np.int8))


absent = _Absent()

_SCATTER_TENSORS, GATHER_TENSORS, QUANT_TENSORS = (
    tuple(argument.name for argument in operator.arguments) for operator in (SCATTER_PA, GATHER_PA, QUANT_SCATTER_PA)
)


@_primexpr
def _refuse_others(names: Any, shapes: Any) -> None:
    for name, shape in zip(names, shapes, strict=True):
        if isinstance(shape, str):
            raise TypeError(f"{name}: given {shape}, expected a Tensor")


def parts_of(call: Any, names: Any = _SCATTER_TENSORS) -> Any:
    """The tensors of a call inside a graph, which ``names`` names, their shapes and dtypes, modes and last status.

    Raises:
        TypeError: one is neither a tensor nor None. MindSpore says of a number that it has no attribute ``shape``, and of an
            array that is a constant nothing before it ends the process.
    """
    count = len(names)
    tensors = call[:count]
    shapes = tuple([known_shape(tensor) for tensor in tensors])
    _refuse_others(names, shapes)
    dtypes = tuple([dtype_of(tensor) for tensor in tensors])
    return tensors, shapes, dtypes, call[count:-1], call[-1]


def check_last_status(shape: Any, dtype: Any, contiguous: bool = True) -> None:
    """Refuses what cannot hold a status: a status is written as four int64, whatever the Parameter is."""
    if dtype == mstype.int64 and tuple(shape) in ((len(STATUS_FIELDS),), (UNKNOWN,)) and contiguous:
        return
    name = str(dtype).rpartition(".")[2].lower()
    given = f"{name} {list(shape)}" + ("" if contiguous else " that is strided")
    kind = ValueError if dtype == mstype.int64 else TypeError
    raise kind(f"last_status: given {given}, expected int64 [{len(STATUS_FIELDS)}], contiguous")


@_primexpr
def _records(shape: Any, dtype: Any) -> bool:
    if shape is None:
        return False
    check_last_status(shape, dtype)
    return True


def records_into(last_status: Any) -> Any:
    """Whether a call inside a graph keeps its status, in a Parameter that can hold it."""
    return _records(known_shape(last_status), dtype_of(last_status))


def address_of(last_status: Any) -> int | None:
    """Where a call through pointers keeps its status."""
    if last_status is None:
        return None
    check_last_status(last_status.shape, last_status.dtype, last_status.is_contiguous())
    address: int = last_status.data_ptr()
    return address


def known_shape(tensor: Any) -> Any:
    """The shape with -1 for what a dynamic graph does not know while compiling; None for None, else what it is instead."""
    if isinstance(tensor, Tensor):
        known: tuple[int, ...] = ()
        for dim in tensor.shape:
            known = known + (dim if isconstant(dim) else UNKNOWN,)  # noqa: RUF005 - the graph parser has no starred tuples
        return known
    if tensor is None:
        return None
    return _kind_of(tensor)


_KINDS = (bool, int, float, str, list, tuple, dict, np.ndarray)


@_primexpr
def _kind(place: int) -> str:
    return _KINDS[place].__name__ if place < len(_KINDS) else "another type"


def _kind_of(given: Any) -> Any:
    """The name of a type; the compiler knows no ``type(given).__name__``."""
    place = 0
    while place < len(_KINDS) and not isinstance(given, _KINDS[place]):
        place = place + 1
    return _kind(place)


def dtype_of(tensor: Any) -> Any:
    if isinstance(tensor, Tensor):
        return tensor.dtype
    return None
