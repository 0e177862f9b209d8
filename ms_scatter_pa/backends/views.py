"""Tensors that are views of a larger memory, which MindSpore copies in places where a write must not go to a copy."""

from math import prod
from typing import Any

from ..rules.options import dtype_name
from ..rules.table import DTYPES

ITEM_SIZES = {dtype.name: dtype.itemsize for dtype in DTYPES}
"""Bytes of an item by its dtype's name. MindSpore's own ``itemsize`` of a view of another dtype is that of the memory below."""


def is_part(tensor: Any) -> bool:
    """Whether a tensor is strided, or a part of a larger memory. A view of a whole tensor cannot be told from it."""
    if not tensor.is_contiguous() or tensor.storage_offset():
        return True
    item_size = ITEM_SIZES.get(dtype_name(tensor.dtype), tensor.itemsize)
    return bool(tensor.untyped_storage().nbytes() != prod(tensor.shape) * item_size)
