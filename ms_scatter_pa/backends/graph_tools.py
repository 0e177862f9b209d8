"""What the ways into a graph share: telling that one is compiled, constants, and what is known while compiling."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype
from mindspore.ops import signature as sig
from mindspore.ops.functional import isconstant
from mindspore.ops.primitive import PrimitiveWithInfer, _primexpr, constexpr

from ..rules.scenario import UNKNOWN
from ..rules.table import SCATTER_PA, STATUS_FIELDS
from . import backend
from .moved_names import jit_context, jit_trace, set_jit_context


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
    "npu_scatter_pa_kv_cache: given mindspore.jit(capture_mode='trace'), expected capture_mode='ast' or 'bytecode': a "
    "trace runs Python once and repeats the operators that it recorded, and in-place writes, MindSpore's own included, "
    "are lost"
)


class _InGraph(CompileTime):
    """True while a graph is compiled and False when Python runs; a trace, which is neither, is refused."""

    def __call__(self) -> bool:
        if jit_context() is not None:
            _end_trace()
            raise RuntimeError(_TRACE)
        return False


def _end_trace() -> None:
    """Ends the trace under way, which MindSpore would go on with after an error, and forgets what it recorded.

    Both sides of it end: Python's context and C++'s graph. What was recorded so far must not run as the whole function
    when that is called again.
    """
    trace = jit_trace._trace_jit_context
    try:
        if not trace.is_nested():
            jit_trace._compile_only = True
            tensors = [given for given in trace.args if isinstance(given, Tensor)]
            jit_trace._jit_trace_end(*(tensors[:1] or [Tensor(0)]))
    finally:
        jit_trace._compile_only = False
        jit_trace._trace_compile_cache.discard(trace.phase)
        jit_trace._using_trace = False
        set_jit_context(None)


def _prepare() -> bool:
    backend().prepare_graph()  # its errors keep their type here
    return True


in_graph = _InGraph("in_graph", _prepare)


def _zeros(inputs: Any) -> Any:
    return tuple([ops.zeros_like(given) for given in inputs])


def _backward_of_6(a, b, c, d, e, f, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f))


def _backward_of_7(a, b, c, d, e, f, g, out, dout):  # type: ignore[no-untyped-def]
    return _zeros((a, b, c, d, e, f, g))


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
    through a cache. MindSpore counts a backward's parameters, hence one function for each number of inputs."""
    return _BACKWARDS[len(input_names)]


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


_NUM_TENSORS = len(SCATTER_PA.arguments)


def parts_of(call: Any, count: Any = _NUM_TENSORS) -> Any:
    """The first ``count`` of a call inside a graph, which are tensors, their shapes and dtypes, modes and last status."""
    tensors = call[:count]
    shapes = tuple([known_shape(tensor) for tensor in tensors])
    dtypes = tuple([dtype_of(tensor) for tensor in tensors])
    return tensors, shapes, dtypes, call[count:-1], call[-1]


def check_last_status(shape: Any, dtype: Any, contiguous: bool = True) -> None:
    """Refuses what cannot hold a status: whoever writes one takes the Parameter for four int64."""
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
    """The shape with -1 for what a dynamic graph does not know while compiling; None for None."""
    if tensor is None:
        return None
    known: tuple[int, ...] = ()
    for dim in tensor.shape:
        known = known + (dim if isconstant(dim) else UNKNOWN,)  # noqa: RUF005 - the graph parser has no starred tuples
    return known


def dtype_of(tensor: Any) -> Any:
    if tensor is None:
        return None
    return tensor.dtype
