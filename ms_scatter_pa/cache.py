"""Caches: their shapes, making them for every dtype, ND <-> PA_NZ, and reading rows back.

MindSpore on CPU has no float8 or hifloat8 Parameters and no ``asnumpy`` for such Tensors; ``make_cache`` gives plain
Tensors for them, and ``to_numpy`` and ``from_numpy`` move their bits.

>>> cache = make_cache("Norm", num_blocks=2, block_size=4, num_head=1, head_size=8, dtype="float16")
>>> cache.shape
(2, 4, 1, 8)
>>> read_rows(cache, [5], "Norm").shape
(1, 1, 8)
"""

import ctypes
import math
import weakref
from typing import Any

import mindspore as ms
import ml_dtypes
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor, mint

from .backends.cpu.library import load
from .backends.mindspore_release import has_views_of_another_dtype
from .backends.moved_names import pynative_executor
from .rules.options import NO_PARAMETERS, dtype_name
from .rules.schema import DType
from .rules.table import CACHE_MODES, UNIT_BYTES, dtype_named

Array = npt.NDArray[Any]


def cache_shape(
    layout: str,
    *,
    num_blocks: int,
    block_size: int,
    num_head: int,
    head_size: int,
    dtype: Any,
    per_head: bool = False,
) -> tuple[int, ...]:
    """The shape of a cache.

    Args:
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``; Alibi, Rope and Omni use Norm with ``num_head=1``.
        num_blocks, block_size, num_head, head_size: counts, each >= 1.
        dtype: a dtype of MindSpore, NumPy or ml_dtypes, or its name, such as ``"float16"``.
        per_head: PA_NZ only: 5-D, [num_blocks, num_head, head_size/LD, block_size, LD].

    Raises:
        ValueError: an unknown layout, a count below 1, or channels that do not fill 32 bytes.
        TypeError: a dtype that the operator does not take.
    """
    counts = {"num_blocks": num_blocks, "block_size": block_size, "num_head": num_head, "head_size": head_size}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: given {count}, expected >= 1")
    if layout not in CACHE_MODES:
        raise ValueError(f"layout: given {layout!r}, expected one of {CACHE_MODES}")
    last_dim = _table_row(dtype).elements_per_32_bytes
    if layout == "Norm":
        return (num_blocks, block_size, num_head, head_size)
    if layout == "NHSD":
        return (num_blocks, num_head, block_size, head_size)
    channels = head_size if per_head else num_head * head_size
    if channels % last_dim:
        what = "head_size" if per_head else "num_head * head_size"
        raise ValueError(f"{what}: given {channels}, expected a multiple of {last_dim}, which is 32 bytes, for PA_NZ")
    if per_head:
        return (num_blocks, num_head, head_size // last_dim, block_size, last_dim)
    return (num_blocks, channels // last_dim, block_size, last_dim)


def make_cache(
    layout: str,
    *,
    num_blocks: int,
    block_size: int,
    num_head: int,
    head_size: int,
    dtype: Any,
    per_head: bool = False,
    name: str = "cache",
) -> Any:
    """A cache of zeros on its own memory: whole pages, from 2 MiB on huge ones where the system gives them.

    It takes the bytes asked for and at most a page more. It is given back when nothing holds the cache any more, never
    at the end of the process, where queued work and threads may still use it.

    Returns:
        A Parameter named ``name``; a plain Tensor for hifloat8, float8_e5m2 and float8_e4m3fn, which MindSpore cannot
        hold in a Parameter on CPU: pass it to ``npu_scatter_pa_kv_cache`` as an argument.

    Raises:
        ValueError, TypeError: as ``cache_shape``. MemoryError: the system has not that much memory.

    Example:
        >>> from ms_scatter_pa import make_cache
        >>> sizes = {"num_blocks": 8, "block_size": 16, "num_head": 2, "head_size": 64}
        >>> make_cache("PA_NZ", **sizes, dtype="float16", name="key_cache").shape
        (8, 8, 16, 16)
    """
    shape = cache_shape(
        layout,
        num_blocks=num_blocks,
        block_size=block_size,
        num_head=num_head,
        head_size=head_size,
        dtype=dtype,
        per_head=per_head,
    )
    row = _table_row(dtype)
    memory = aligned_memory(math.prod(shape) * row.itemsize)
    if row.name in NO_PARAMETERS:
        return _bits_as_tensor(memory.reshape(shape), row)
    return parameter_on(memory.view(numpy_dtype(row)).reshape(shape), getattr(ms, row.name), name)


def parameter_on(array: Array, dtype: Any, name: str) -> Parameter:
    """A Parameter of a MindSpore dtype on the memory of an array with the same bits, which it keeps."""
    # Not mint.zeros, which knows no bfloat16 before MindSpore 2.8.
    parameter = Parameter(Tensor([0], dtype=dtype), name=name, requires_grad=False)
    parameter.set_data(Tensor.from_numpy(array))
    return parameter


def aligned_memory(size: int) -> npt.NDArray[np.uint8]:
    """``size`` zero bytes on whole pages, from 2 MiB on huge ones where the system gives them; freed with the array.

    Raises:
        MemoryError: the system has not that much memory.
    """
    library = load()
    library.MsspAllocCache.restype = ctypes.c_void_p
    address = library.MsspAllocCache(ctypes.c_int64(size))
    if not address:
        raise MemoryError(f"no {size} bytes for a cache")
    buffer = (ctypes.c_uint8 * size).from_address(address)
    release = weakref.finalize(buffer, library.MsspFreeCache, ctypes.c_void_p(address), ctypes.c_int64(size))
    release.atexit = False  # the interpreter ends before MindSpore's queue, threads and Parameters do
    return np.ctypeslib.as_array(buffer)


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype with the same bits: ml_dtypes' for bfloat16 and float8, uint8 for hifloat8."""
    name = _table_row(dtype).numpy_name or "uint8"
    return np.dtype(getattr(ml_dtypes, name, name))


def to_numpy(tensor: Any) -> Array:
    """A Tensor's elements as a NumPy array, for every dtype of the operator; hifloat8 as uint8 codes.

    Raises:
        TypeError: a dtype that the operator does not take.
    """
    if dtype_name(tensor.dtype) not in NO_PARAMETERS:
        array = np.asarray(tensor.asnumpy())
        # MindSpore's own NumPy bfloat16 is another dtype than ml_dtypes', though both have that name.
        return array.view(numpy_dtype("bfloat16")) if tensor.dtype == ms.bfloat16 else array
    tensor = tensor.contiguous()
    if has_views_of_another_dtype():
        codes = np.asarray(tensor.view(ms.uint8).asnumpy())
    else:
        pynative_executor.sync()
        codes = np.array(_codes_of(tensor))
    return codes.view(numpy_dtype(tensor.dtype))


def from_numpy(array: Array, dtype: Any) -> Tensor:
    """A Tensor with the bits of ``array``, for every dtype of the operator.

    Args:
        array: of ``numpy_dtype(dtype)``.
        dtype: as ``cache_shape``.

    Raises:
        TypeError: an array whose dtype is another one.
    """
    row = _table_row(dtype)
    if array.dtype != numpy_dtype(row):
        raise TypeError(f"array: given dtype {array.dtype}, expected {numpy_dtype(row)} for {row.name}")
    if row.name not in NO_PARAMETERS:
        return Tensor(np.ascontiguousarray(array))
    return _bits_as_tensor(np.array(array.view(np.uint8)), row)


def _bits_as_tensor(codes: npt.NDArray[np.uint8], row: DType) -> Tensor:
    """A Tensor that holds uint8 codes of a one-byte dtype, in their own memory where MindSpore can."""
    dtype = getattr(ms, row.name)
    if has_views_of_another_dtype():
        return Tensor.from_numpy(codes).view(dtype)
    tensor = mint.empty(codes.shape, dtype=dtype, device="CPU")
    pynative_executor.sync()
    _codes_of(tensor)[...] = codes
    return tensor


def _codes_of(tensor: Any) -> npt.NDArray[np.uint8]:
    """The bytes of a Tensor of one-byte elements, on the CPU and contiguous; good while the Tensor lives."""
    size = math.prod(tensor.shape)
    if size == 0:
        return np.empty(tensor.shape, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(tensor.data_ptr())).reshape(tensor.shape)


def to_nz(cache: Any, itemsize: int) -> Any:
    """[NB, BS, N, D] or [NB, BS, C] -> PA_NZ [NB, C/LD, BS, LD], for arrays and Tensors; the result is a copy.

    Raises:
        ValueError: channels that are no multiple of 32 bytes.
    """
    last_dim = UNIT_BYTES // itemsize
    num_blocks, block_size = cache.shape[:2]
    channels = math.prod(cache.shape[2:])
    if channels % last_dim:
        raise ValueError(f"cache: given {channels} channels, expected a multiple of {last_dim}, which is 32 bytes")
    groups = cache.reshape((num_blocks, block_size, channels // last_dim, last_dim)).transpose((0, 2, 1, 3))
    return np.ascontiguousarray(groups) if isinstance(groups, np.ndarray) else groups.contiguous()


def from_nz(cache: Any, num_head: int) -> Any:
    """PA_NZ [NB, C/LD, BS, LD] or [NB, N, D/LD, BS, LD] -> [NB, BS, N, D], for arrays and Tensors; a copy.

    Raises:
        ValueError: channels that ``num_head`` does not divide.
    """
    num_blocks, block_size, last_dim = cache.shape[0], cache.shape[-2], cache.shape[-1]
    groups = math.prod(cache.shape[1:-2])
    if (groups * last_dim) % num_head:
        raise ValueError(f"num_head: given {num_head}, expected a divisor of {groups * last_dim} channels")
    rows = cache.reshape((num_blocks, groups, block_size, last_dim)).transpose((0, 2, 1, 3))
    return rows.reshape((num_blocks, block_size, num_head, groups * last_dim // num_head))


def read_rows(cache: Any, slots: Any, layout: str, num_head: int = 1) -> Array:
    """The rows at ``slots``, as [len(slots), N, D] in NumPy; slow, for tests and debugging.

    Args:
        cache: a Tensor or an array in ``layout``.
        slots: integers, 0 <= slot < num_blocks * block_size.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        num_head: what the shapes of PA_NZ do not tell.

    Raises:
        ValueError: an unknown layout. IndexError: a slot outside the cache.
    """
    array = to_numpy(cache) if isinstance(cache, Tensor) else np.asarray(cache)
    if layout == "PA_NZ":
        array = from_nz(array, num_head)
    elif layout == "NHSD":
        array = array.transpose(0, 2, 1, 3)
    elif layout != "Norm":
        raise ValueError(f"layout: given {layout!r}, expected one of {CACHE_MODES}")
    num_blocks, block_size = array.shape[:2]
    picked = np.asarray(slots.asnumpy() if isinstance(slots, Tensor) else slots, np.int64)
    for position, slot in enumerate(picked.tolist()):
        if not 0 <= slot < num_blocks * block_size:
            limit = num_blocks * block_size
            expected = f"0 <= slot < {limit}" if limit else "no slot, since the cache has no blocks"
            raise IndexError(f"slots[{position}] = {slot}, expected {expected}")
    return array[picked // block_size, picked % block_size]


def _table_row(dtype: Any) -> DType:
    if isinstance(dtype, DType):
        return dtype
    name = dtype_name(dtype)
    try:
        return dtype_named(name)
    except KeyError:
        raise TypeError(f"dtype: given {name}, which the operator does not take") from None
