"""What the ways into a graph share: telling that one is compiled, constants, and what is known while compiling."""

from collections.abc import Callable
from typing import Any

import numpy as np
from mindspore import Tensor
from mindspore.ops import signature as sig
from mindspore.ops.functional import isconstant
from mindspore.ops.primitive import PrimitiveWithInfer, constexpr

from ..rules.scenario import UNKNOWN
from ..rules.table import SCATTER_PA
from . import backend

try:
    from mindspore.graph.jit_context import jit_context, set_jit_context
except ImportError:  # before MindSpore 2.9
    from mindspore.common.jit_context import jit_context, set_jit_context


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
            set_jit_context(None)  # MindSpore would go on tracing after the error
            raise RuntimeError(_TRACE)
        return False


in_graph = _InGraph("in_graph", lambda: backend() is not None)  # its errors keep their type here


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


def parts_of(call: Any) -> Any:
    """Tensors, their shapes and dtypes, modes and last status of a call inside a graph."""
    tensors = call[:_NUM_TENSORS]
    shapes = tuple([known_shape(tensor) for tensor in tensors])
    dtypes = tuple([dtype_of(tensor) for tensor in tensors])
    return tensors, shapes, dtypes, call[_NUM_TENSORS:-1], call[-1]


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
