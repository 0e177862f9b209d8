"""ctypes bindings of ``libms_scatter_pa_cpu.so`` and the way from NumPy arrays to an ``MsspCall``."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ...rules.table import CACHE_MODES, INDEX_DTYPES, SCATTER_MODES, dtype_named

Array = npt.NDArray[Any]

i32, i64, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class Side(ctypes.Structure):
    """``MsspSide``."""

    _fields_ = [
        ("rows", pointer),
        ("cache", pointer),
        ("head_size", i64),
        ("batch_stride", i64),
        ("token_stride", i64),
        ("head_stride", i64),
        ("block_stride", i64),
        ("element_type", i32),
        ("reserved", i32),
    ]


class Call(ctypes.Structure):
    """``MsspCall``."""

    _fields_ = [
        ("key", Side),
        ("value", Side),
        ("layout", i32),
        ("scatter_mode", i32),
        ("packed", i32),
        ("index_type", i32),
        ("check_duplicates", i32),
        ("num_threads", i32),
        ("num_tokens", i64),
        ("batch", i64),
        ("seq_len", i64),
        ("num_head", i64),
        ("num_blocks", i64),
        ("block_size", i64),
        ("slot_mapping", pointer),
        ("compress_lens", pointer),
        ("compress_seq_offsets", pointer),
        ("seq_lens", pointer),
    ]


class BlockCopy(ctypes.Structure):
    """``MsspBlockCopy``."""

    _fields_ = [
        ("source", pointer),
        ("target", pointer),
        ("source_blocks", pointer),
        ("target_blocks", pointer),
        ("count", i64),
        ("source_num_blocks", i64),
        ("target_num_blocks", i64),
        ("source_stride", i64),
        ("target_stride", i64),
        ("block_bytes", i64),
    ]


class Status(ctypes.Structure):
    """``MsspStatus``."""

    _fields_ = [("code", i64), ("position", i64), ("value", i64), ("limit", i64)]

    def as_list(self) -> list[int]:
        return [self.code, self.position, self.value, self.limit]


class ScatteredLines(ctypes.Structure):
    """``MsspScatteredLines`` of ``cpu_kernels/core/streaming_copy.h``."""

    _fields_ = (
        ("to", pointer * 2),
        ("from_", pointer * 2),
        ("slots", pointer),
        ("num_tokens", i64),
        ("num_pieces", i64),
        ("piece_bytes", i64),
        ("block_size", i64),
        ("interleaved_tokens", i32),
        ("num_threads", i32),
    )


class CoreLibrary:
    """The loaded library; its functions are attributes with the C names."""

    def __init__(self, path: Path):
        self.path = path
        self.c = ctypes.CDLL(str(path))
        self.c.MsspScatterPaKvCache.argtypes = [ctypes.POINTER(Call)]
        self.c.MsspScatterPaKvCache.restype = Status
        self.c.MsspCopyBlocks.argtypes = [ctypes.POINTER(BlockCopy), i64, i32]
        self.c.MsspCopyBlocks.restype = Status
        self.c.MsspFormatStatus.argtypes = [ctypes.POINTER(Call), ctypes.POINTER(Status), ctypes.c_char_p, i64]
        self.c.MsspFormatStatus.restype = i64
        self.c.MsspAllocCache.argtypes = [i64]
        self.c.MsspAllocCache.restype = pointer
        self.c.MsspFreeCache.argtypes = [pointer, i64]
        self.c.MsspFreeCache.restype = None
        self.c.MsspVersion.restype = i32
        self.c.MsspCpuFeatures.restype = ctypes.c_char_p
        self.c.MsspSetCpuFeatures.argtypes = [ctypes.c_char_p]
        self.c.MsspSetCpuFeatures.restype = i32
        self.c.MsspSetNumThreads.argtypes = [i32]
        self.c.MsspSetNumThreads.restype = None
        self.c.MsspGetNumThreads.restype = i32
        self.c.MsspSetThresholds.argtypes = [i64, i64]
        self.c.MsspSetThresholds.restype = None
        self.c.MsspPartialStores.restype = i32
        self.c.MsspSetPartialStores.argtypes = [i32]
        self.c.MsspSetPartialStores.restype = None
        self.c.MsspMeasurePartialStores.argtypes = [ctypes.POINTER(ctypes.c_double)] * 2
        self.c.MsspMeasurePartialStores.restype = None
        self.c.MsspStreamingCopy.argtypes = [pointer, pointer, i64, i32, i32]
        self.c.MsspStreamingCopy.restype = None
        self.c.MsspTouchLines.argtypes = [ctypes.POINTER(ScatteredLines)]
        self.c.MsspTouchLines.restype = None
        self.c.MsspCopyContiguous.argtypes = [pointer, pointer, pointer, pointer, i64, i64, i32]
        self.c.MsspCopyContiguous.restype = None

    def scatter(self, call: Call) -> list[int]:
        status: Status = self.c.MsspScatterPaKvCache(ctypes.byref(call))
        return status.as_list()

    def message(self, call: Call | None, status: Sequence[int]) -> str:
        raw = Status(*status)
        size = self.c.MsspFormatStatus(ctypes.byref(call) if call else None, ctypes.byref(raw), None, 0)
        buffer = ctypes.create_string_buffer(size + 1)
        assert (
            self.c.MsspFormatStatus(ctypes.byref(call) if call else None, ctypes.byref(raw), buffer, size + 1) == size
        )
        return buffer.value.decode()


def make_side(rows: Array, cache: Array, dtype: str) -> Side:
    """One side; ``rows`` may be strided in every dimension but the last one."""
    itemsize = rows.itemsize
    assert cache.size == 0 or cache[0].flags.c_contiguous, "only blocks may lie apart"
    assert rows.size == 0 or rows.shape[-1] == 1 or rows.strides[-1] == itemsize, (
        "the innermost dimension must be contiguous"
    )
    side = Side()
    side.rows = rows.ctypes.data
    side.cache = cache.ctypes.data
    side.head_size = rows.shape[-1]
    side.batch_stride = rows.strides[0] // itemsize if rows.ndim == 4 else 0
    side.token_stride = rows.strides[-3] // itemsize
    side.head_stride = rows.strides[-2] // itemsize
    side.block_stride = 0 if cache.flags.c_contiguous else cache.strides[0] // itemsize
    side.element_type = dtype_named(dtype).code
    return side


def make_call(
    key: Array,
    value: Array | None,
    key_cache: Array,
    value_cache: Array | None,
    slot_mapping: Array,
    *,
    layout: str,
    scatter_mode: str = "None",
    compress_lens: Array | None = None,
    compress_seq_offsets: Array | None = None,
    seq_lens: Array | None = None,
    dtype: str | None = None,
    value_dtype: str | None = None,
    check_duplicates: bool = False,
    num_threads: int = 0,
) -> Call:
    """The call that says what ``reference.write_reference`` is told; it keeps the arrays alive."""
    dtype = dtype or key.dtype.name
    call = Call()
    call.key = make_side(key, key_cache, dtype)
    if value is not None and value_cache is not None:
        call.value = make_side(value, value_cache, value_dtype or dtype)
    call.layout = CACHE_MODES.index(layout)
    call.scatter_mode = SCATTER_MODES.index(scatter_mode)
    call.packed = int(scatter_mode != "None" and key.ndim == 3)
    call.index_type = next(d.code for d in INDEX_DTYPES if d.numpy_name == slot_mapping.dtype.name)
    call.check_duplicates = int(check_duplicates)
    call.num_threads = num_threads
    call.num_tokens = key.shape[0] if key.ndim == 3 else 0
    call.batch = seq_lens.size if seq_lens is not None else 0
    call.seq_len = key.shape[1] if key.ndim == 4 else 0
    call.num_head = key.shape[-2]
    call.num_blocks = key_cache.shape[0]
    call.block_size = {"Norm": key_cache.shape[1], "PA_NZ": key_cache.shape[-2], "NHSD": key_cache.shape[2]}[layout]
    for name in ("slot_mapping", "compress_lens", "compress_seq_offsets", "seq_lens"):
        array = locals()[name]
        if array is not None:
            assert array.flags.c_contiguous and array.dtype == slot_mapping.dtype
            setattr(call, name, array.ctypes.data)
    call.keep = (key, value, key_cache, value_cache, slot_mapping, compress_lens, compress_seq_offsets, seq_lens)
    return call
