"""The way into a graph: what every backend needs to know while compiling, and the choice between them."""

from typing import Any

from .ascend import graph as ascend_graph
from .cpu import graph as cpu_graph
from .device import on_ascend
from .graph_tools import CompileTime, dtype_of, in_graph, known_shape

__all__ = ["graph_call", "in_graph"]


def _prepare() -> bool:
    """Makes the operator of the target, before the branch that uses it is parsed, and says whether it is Ascend."""
    (ascend_graph if on_ascend() else cpu_graph).prepare()
    return on_ascend()


_compiles_for_ascend = CompileTime("compiles_for_ascend", _prepare)


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
    tensors = (key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens)
    shapes = (
        known_shape(key),
        known_shape(value),
        known_shape(key_cache),
        known_shape(value_cache),
        known_shape(slot_mapping),
        known_shape(compress_lens),
        known_shape(compress_seq_offsets),
        known_shape(seq_lens),
    )
    dtypes = (
        dtype_of(key),
        dtype_of(value),
        dtype_of(key_cache),
        dtype_of(value_cache),
        dtype_of(slot_mapping),
        dtype_of(compress_lens),
        dtype_of(compress_seq_offsets),
        dtype_of(seq_lens),
    )
    modes = (cache_mode, scatter_mode, on_error, check_duplicates)
    if _compiles_for_ascend():
        return ascend_graph.call(tensors, shapes, dtypes, modes, last_status)
    return cpu_graph.call(tensors, shapes, dtypes, modes, last_status)
