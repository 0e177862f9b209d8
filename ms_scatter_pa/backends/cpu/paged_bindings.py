"""ctypes bindings of the gather and of the quantising write, and the way from NumPy arrays to their calls."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...rules.table import CACHE_MODES, INDEX_DTYPES, SCALING_KINDS, dtype_named
from .bindings import CoreLibrary, Status, i32, i64, pointer

Array = npt.NDArray[Any]


class Scaling(ctypes.Structure):
    """``MsspScaling``."""

    _fields_ = [
        ("kind", i32),
        ("granularity", i32),
        ("scale", pointer),
        ("offset", pointer),
        ("scale_cache", pointer),
        ("scale_block_stride", i64),
    ]


class PagedSide(ctypes.Structure):
    """``MsspPagedSide``."""

    _fields_ = [
        ("rows", pointer),
        ("cache", pointer),
        ("head_size", i64),
        ("token_stride", i64),
        ("head_stride", i64),
        ("block_stride", i64),
        ("rows_type", i32),
        ("cache_type", i32),
        ("scaling", Scaling),
    ]


class GatherCall(ctypes.Structure):
    """``MsspGatherCall``."""

    _fields_ = [
        ("key", PagedSide),
        ("value", PagedSide),
        ("layout", i32),
        ("index_type", i32),
        ("is_seq_lens_cumsum", i32),
        ("num_threads", i32),
        ("num_tokens", i64),
        ("batch", i64),
        ("table_width", i64),
        ("num_head", i64),
        ("num_blocks", i64),
        ("block_size", i64),
        ("block_tables", pointer),
        ("seq_lens", pointer),
        ("seq_offset", pointer),
    ]


class QuantCall(ctypes.Structure):
    """``MsspQuantCall``."""

    _fields_ = [
        ("key", PagedSide),
        ("value", PagedSide),
        ("layout", i32),
        ("index_type", i32),
        ("check_duplicates", i32),
        ("num_threads", i32),
        ("num_tokens", i64),
        ("num_head", i64),
        ("num_blocks", i64),
        ("block_size", i64),
        ("slot_mapping", pointer),
    ]


_FUNCTIONS = {
    GatherCall: ("MsspGatherPaKvCache", "MsspFormatGatherStatus"),
    QuantCall: ("MsspQuantScatterPaKvCache", "MsspFormatQuantStatus"),
}


def run(library: CoreLibrary, call: GatherCall | QuantCall) -> tuple[list[int], str]:
    """The status of a call and the sentence for it."""
    run_it, say = (getattr(library.c, name) for name in _FUNCTIONS[type(call)])
    run_it.restype, say.restype = Status, i64
    status: Status = run_it(ctypes.byref(call))
    buffer = ctypes.create_string_buffer(1024)
    say(ctypes.byref(call), ctypes.byref(status), buffer, i64(1024))
    return status.as_list(), buffer.value.decode()


def _side(
    rows: Array,
    cache: Array,
    dtypes: tuple[str, str],
    scale: Array | None,
    offset: Array | None,
    scale_cache: Array | None,
    *,
    writes: bool,
) -> PagedSide:
    side = PagedSide()
    side.rows, side.cache = rows.ctypes.data, cache.ctypes.data
    side.head_size = rows.shape[-1]
    side.token_stride, side.head_stride = (stride // rows.itemsize for stride in rows.strides[:2])
    side.block_stride = _block_stride(cache)
    side.rows_type, side.cache_type = (dtype_named(name).code for name in dtypes)
    scaling = side.scaling
    kind = "copied"
    if scale_cache is not None:
        kind = "given" if scale is not None and writes else "dynamic"
        scaling.scale_cache = scale_cache.ctypes.data
        scaling.scale_block_stride = _block_stride(scale_cache)
    elif scale is not None:
        kind = "static"
        scaling.granularity = 2 if scale.ndim == 2 else int(scale.size > 1 or rows.shape[1] == 1)
    if scale is not None:
        scaling.scale = scale.ctypes.data
    if offset is not None:
        scaling.offset = offset.ctypes.data
    scaling.kind = SCALING_KINDS.index(kind)
    return side


def _block_stride(cache: Array) -> int:
    return int(cache.strides[0] // cache.itemsize) if cache.shape[0] > 1 else int(np.prod(cache.shape[1:]))


def _fill_shape(call: Any, key: Array, key_cache: Array, layout: str, index: Array, num_threads: int) -> None:
    call.layout = CACHE_MODES.index(layout)
    call.index_type = next(d.code for d in INDEX_DTYPES if d.numpy_name == index.dtype.name)
    call.num_threads = num_threads
    call.num_tokens, call.num_head = key.shape[:2]
    call.num_blocks = key_cache.shape[0]
    call.block_size = {"Norm": key_cache.shape[1], "PA_NZ": key_cache.shape[-2], "NHSD": key_cache.shape[2]}[layout]


def _names(dtypes: Sequence[str | None], *arrays: Array | None) -> list[str]:
    return [
        given or ("float32" if array is None else array.dtype.name) for given, array in zip(dtypes, arrays, strict=True)
    ]


def make_gather_call(
    key_cache: Array,
    value_cache: Array | None,
    block_tables: Array,
    seq_lens: Array,
    key: Array,
    value: Array | None,
    *,
    layout: str,
    seq_offset: Array | None = None,
    is_seq_lens_cumsum: bool = False,
    key_scale: Array | None = None,
    value_scale: Array | None = None,
    key_offset: Array | None = None,
    value_offset: Array | None = None,
    key_scale_cache: Array | None = None,
    value_scale_cache: Array | None = None,
    dtypes: Sequence[str | None] = (None, None, None, None),
    num_threads: int = 0,
) -> GatherCall:
    """The call that says what ``gather_reference`` is told; it keeps the arrays alive.

    Args:
        dtypes: of key, value, key_cache and value_cache where NumPy cannot tell them.
        num_threads: 0: chosen by the core.
        (others): as ``gather_reference``.
    """
    names = _names(dtypes, key, value, key_cache, value_cache)
    call = GatherCall()
    call.key = _side(key, key_cache, (names[0], names[2]), key_scale, key_offset, key_scale_cache, writes=False)
    if value is not None and value_cache is not None:
        pair = (names[1], names[3])
        call.value = _side(value, value_cache, pair, value_scale, value_offset, value_scale_cache, writes=False)
    _fill_shape(call, key, key_cache, layout, block_tables, num_threads)
    call.is_seq_lens_cumsum = int(is_seq_lens_cumsum)
    call.batch, call.table_width = block_tables.shape
    call.block_tables, call.seq_lens = block_tables.ctypes.data, seq_lens.ctypes.data
    call.seq_offset = None if seq_offset is None else seq_offset.ctypes.data
    call.keep = tuple(locals().values())
    return call


def make_quant_call(
    key: Array,
    value: Array | None,
    key_cache: Array,
    value_cache: Array | None,
    slot_mapping: Array,
    *,
    layout: str,
    key_scale: Array | None = None,
    value_scale: Array | None = None,
    key_offset: Array | None = None,
    value_offset: Array | None = None,
    key_scale_cache: Array | None = None,
    value_scale_cache: Array | None = None,
    check_duplicates: bool = False,
    dtypes: Sequence[str | None] = (None, None, None, None),
    num_threads: int = 0,
) -> QuantCall:
    """The call that says what ``quant_scatter_reference`` is told; it keeps the arrays alive."""
    names = _names(dtypes, key, value, key_cache, value_cache)
    call = QuantCall()
    call.key = _side(key, key_cache, (names[0], names[2]), key_scale, key_offset, key_scale_cache, writes=True)
    if value is not None and value_cache is not None:
        pair = (names[1], names[3])
        call.value = _side(value, value_cache, pair, value_scale, value_offset, value_scale_cache, writes=True)
    _fill_shape(call, key, key_cache, layout, slot_mapping, num_threads)
    call.check_duplicates = int(check_duplicates)
    call.slot_mapping = slot_mapping.ctypes.data
    call.keep = tuple(locals().values())
    return call
