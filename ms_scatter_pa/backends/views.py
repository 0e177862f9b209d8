"""Tensors that are views of a larger memory, which MindSpore copies in places where a write must not go to a copy."""

from functools import lru_cache
from math import prod
from types import ModuleType
from typing import Any

from ..rules.options import dtype_name
from ..rules.table import DTYPES
from .mindspore_release import load_extension

ITEM_SIZES = {dtype.name: dtype.itemsize for dtype in DTYPES}
"""Bytes of an item by its dtype's name. MindSpore's own ``itemsize`` of a view of another dtype is that of the memory below."""


def item_size_of(tensor: Any) -> int:
    """Bytes of an item of a tensor, of a view of another dtype too."""
    return int(ITEM_SIZES.get(dtype_name(tensor.dtype), tensor.itemsize))


def is_part(tensor: Any) -> bool:
    """Whether a tensor is strided, or a part of a larger memory. ``is_view`` tells views of a whole tensor too."""
    if not tensor.is_contiguous() or tensor.storage_offset():
        return True
    return bool(tensor.untyped_storage().nbytes() != prod(tensor.shape) * item_size_of(tensor))


def missing_bytes(tensor: Any) -> tuple[int, int] | None:
    """The bytes of a tensor's storage and those that its shape needs, where the storage was made smaller (``resize_``)."""
    if 0 in tensor.shape:
        return None
    last = tensor.storage_offset()
    if tensor.is_contiguous():
        last += prod(tensor.shape) - 1
    else:
        last += sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    expected = (last + 1) * item_size_of(tensor)
    given = tensor.untyped_storage().nbytes()
    return (given, expected) if given < expected else None


def contiguous_bytes(tensor: Any) -> int:
    """The bytes of a tensor in one piece that its storage holds; 0 of any other."""
    extension = _extension()
    if extension is not None:
        return int(extension.contiguous_bytes(tensor))
    if not tensor.is_contiguous() or missing_bytes(tensor):
        return 0
    return prod(tensor.shape) * item_size_of(tensor)


def is_view(tensor: Any) -> bool:
    """Whether a tensor looks into another one's memory, or at all of it (``view``, ``reshape``).

    The latter only C++ sees: where the extension for the CPU does not load, nobody tells.
    """
    extension = _extension()
    return is_part(tensor) if extension is None else bool(extension.is_view(tensor))


@lru_cache(maxsize=1)
def _extension() -> ModuleType | None:
    try:
        return load_extension("_eager")
    except ImportError:
        return None
