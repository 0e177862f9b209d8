"""The way into a graph: ``ops.Custom`` with the CPU library's C interface, and what has to be known while compiling."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore.ops import signature as sig
from mindspore.ops.functional import isconstant
from mindspore.ops.primitive import PrimitiveWithInfer, _primexpr, constexpr

from ..op_info import ARGUMENTS
from ..op_info.reg_info import CPU_OP_NAME, cpu_input_names, cpu_reg_info
from ..options import check_modes, dtype_name, options_of
from ..scenario import UNKNOWN, Arguments
from .library import library_path

_WRITTEN = {argument.name for argument in ARGUMENTS if argument.written} | {"last_status"}


class _InGraph(PrimitiveWithInfer):  # type: ignore[misc]
    """True while a graph is compiled and False when Python runs: a constant that the compiler folds."""

    def __init__(self) -> None:
        super().__init__("ms_scatter_pa_in_graph")
        self.set_const_prim(True)
        self.add_prim_attr("constexpr_prim", True)

    def infer_value(self) -> bool:
        return True

    def __call__(self) -> bool:
        return False


in_graph = _InGraph()


def _make_operator() -> Any:
    operator = ops.Custom(
        f"{library_path()}:{CPU_OP_NAME}", out_shape=None, out_dtype=ms.int64, func_type="aot", reg_info=cpu_reg_info()
    )
    # Without the mark a graph deletes a write whose status nobody reads; with the signatures writes keep their order.
    operator.add_prim_attr("side_effect_mem", True)
    write, read = sig.sig_rw.RW_WRITE, sig.sig_rw.RW_READ
    operator.set_signatures(
        operator._fill_signature(
            tuple(sig.make_sig(name, write if name in _WRITTEN else read) for name in cpu_input_names())
        )
    )
    return operator


_operator = _make_operator()


@_primexpr
def _options(shapes: Any, dtypes: Any, modes: Any, keeps_last_status: bool) -> tuple[int, ...]:
    cache_mode, scatter_mode, on_error, check_duplicates = modes
    check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
    names = tuple(None if dtype is None else dtype_name(dtype) for dtype in dtypes)
    arguments = Arguments(tuple(shapes), names, cache_mode, scatter_mode)
    return tuple(options_of(arguments, on_error, check_duplicates, keeps_last_status))


@constexpr
def _numbers(values: tuple[int, ...]) -> Tensor:
    return Tensor(np.array(values, np.int64))


@constexpr
def _placeholder(dtype: Any) -> Tensor:
    return Tensor(np.zeros(1, np.float32), dtype)


def _known_shape(tensor: Any) -> Any:
    """The shape with -1 for what a dynamic graph does not know while compiling; None for None."""
    if tensor is None:
        return None
    known: tuple[int, ...] = ()
    for dim in tensor.shape:
        known = known + (dim if isconstant(dim) else UNKNOWN,)  # noqa: RUF005 - the graph parser has no starred tuples
    return known


def _dtype(tensor: Any) -> Any:
    if tensor is None:
        return None
    return tensor.dtype


def graph_call(
    key: Any,
    value: Any,
    key_cache: Any,
    value_cache: Any,
    slot_mapping: Any,
    compress_lens: Any,
    compress_seq_offsets: Any,
    seq_lens: Any,
    cache_mode: Any,
    scatter_mode: Any,
    on_error: Any,
    check_duplicates: Any,
    last_status: Any,
) -> Any:
    """One call inside a graph; compiled by MindSpore, never run as Python."""
    shapes = (
        _known_shape(key),
        _known_shape(value),
        _known_shape(key_cache),
        _known_shape(value_cache),
        _known_shape(slot_mapping),
        _known_shape(compress_lens),
        _known_shape(compress_seq_offsets),
        _known_shape(seq_lens),
    )
    dtypes = (
        _dtype(key),
        _dtype(value),
        _dtype(key_cache),
        _dtype(value_cache),
        _dtype(slot_mapping),
        _dtype(compress_lens),
        _dtype(compress_seq_offsets),
        _dtype(seq_lens),
    )
    modes = (cache_mode, scatter_mode, on_error, check_duplicates)
    options = _numbers(_options(shapes, dtypes, modes, last_status is not None))
    rows_placeholder = _placeholder(key.dtype)
    index_placeholder = _placeholder(slot_mapping.dtype)
    return _operator(
        key,
        rows_placeholder if value is None else value,
        key_cache,
        rows_placeholder if value_cache is None else value_cache,
        slot_mapping,
        index_placeholder if compress_lens is None else compress_lens,
        index_placeholder if compress_seq_offsets is None else compress_seq_offsets,
        index_placeholder if seq_lens is None else seq_lens,
        _numbers((0, 0, 0, 0)) if last_status is None else last_status,
        options,
    )
