"""The cache layouts without compression: which shapes fit them, and how to say what does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from .table import UNIT_BYTES

Shape = tuple[int, ...]

UNKNOWN = -1

LAYOUTS: dict[str, str] = {
    "Norm": "[num_blocks, block_size, num_head, head_size] or [num_blocks, block_size, num_head*head_size]",
    "PA_NZ": "[num_blocks, num_head*head_size/LD, block_size, LD] or [num_blocks, num_head, head_size/LD, block_size, "
    "LD], LD = 32 bytes / itemsize",
    "NHSD": "[num_blocks, num_head, block_size, head_size]",
}


_ROWS = "[T, num_head, head_size], [T, N*D] or [B, S, N*D]"


@dataclass(frozen=True)
class Side:
    """K or V: the rows to write and the cache that takes them."""

    rows: str
    cache: str
    rows_shape: Shape
    cache_shape: Shape
    itemsize: int

    @property
    def last_dim(self) -> int:
        """LD: elements in 32 bytes."""
        return UNIT_BYTES // self.itemsize


def same(a: int, b: int) -> bool:
    return UNKNOWN in (a, b) or a == b


def product(*dims: int) -> int:
    result = 1
    for dim in dims:
        if dim == UNKNOWN:
            return UNKNOWN
        result *= dim
    return result


def shape_text(shape: Shape) -> str:
    return "[" + ", ".join("?" if dim == UNKNOWN else str(dim) for dim in shape) + "]"


def describe(sides: list[Side]) -> str:
    return ", ".join(f"{s.rows} {shape_text(s.rows_shape)} with {s.cache} {shape_text(s.cache_shape)}" for s in sides)


def misfit(layout: str, flattened: bool, side: Side) -> str | None:
    """Says why the rows do not fit the cache in this layout, or None where they do.

    Args:
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        flattened: read the rows as [T, N*D], [1, T, N*D] or [B, S, N*D] instead of [T, N, D].
        side: K or V.
    """
    if flattened:
        if len(side.rows_shape) not in (2, 3):
            return f"{side.rows}: given shape {shape_text(side.rows_shape)}, expected {_ROWS}"
        num_head, head_size, channels = UNKNOWN, UNKNOWN, side.rows_shape[-1]
    else:
        if len(side.rows_shape) != 3:
            return f"{side.rows}: given shape {shape_text(side.rows_shape)}, expected {_ROWS}"
        num_head, head_size = side.rows_shape[1:]
        channels = product(num_head, head_size)
    expected = _misfit_of_cache(layout, side, num_head, head_size, channels)
    if expected is None:
        return None
    return (
        f"{side.cache}: given shape {shape_text(side.cache_shape)}, expected {expected} for {layout} and {side.rows} "
        f"{shape_text(side.rows_shape)}"
    )


def _misfit_of_cache(layout: str, side: Side, num_head: int, head_size: int, channels: int) -> str | None:
    cache, last_dim = side.cache_shape, side.last_dim
    n, d, c = (_dim(num_head, "num_head"), _dim(head_size, "head_size"), _dim(channels, "num_head*head_size"))
    if layout == "Norm":
        if len(cache) == 4 and _heads_fit(cache[2], cache[3], num_head, head_size, channels):
            return None
        if len(cache) == 3 and same(cache[2], channels):
            return None
        return f"[num_blocks, block_size, {n}, {d}] or [num_blocks, block_size, {c}]"
    if layout == "NHSD":
        if len(cache) == 4 and _heads_fit(cache[1], cache[3], num_head, head_size, channels):
            return None
        return f"[num_blocks, {n}, block_size, {d}]"
    return _misfit_of_nz(side, num_head, head_size, channels, last_dim)


def _misfit_of_nz(side: Side, num_head: int, head_size: int, channels: int, last_dim: int) -> str | None:
    cache = side.cache_shape
    if len(cache) == 3 and same(cache[2], channels):
        return None
    head_size_of_cache = product(cache[2], last_dim)
    if (
        len(cache) == 5
        and same(cache[4], last_dim)
        and _heads_fit(cache[1], head_size_of_cache, num_head, head_size, channels)
    ):
        return None
    if len(cache) == 4 and same(cache[3], last_dim) and same(product(cache[1], last_dim), channels):
        return None
    if channels != UNKNOWN and channels % last_dim:
        return (
            f"num_head*head_size*itemsize to be a multiple of 32 bytes (it is {channels * side.itemsize}) and "
            f"[num_blocks, num_head*head_size/{last_dim}, block_size, {last_dim}]"
        )
    if len(cache) == 5 and head_size != UNKNOWN and head_size % last_dim:
        return (
            f"head_size*itemsize to be a multiple of 32 bytes (it is {head_size * side.itemsize}), as 5-D caches need"
        )
    groups = "num_head*head_size/" + str(last_dim) if channels == UNKNOWN else channels // last_dim
    per_head = f"[num_blocks, num_head, head_size/{last_dim}, block_size, {last_dim}]"
    return f"[num_blocks, {groups}, block_size, {last_dim}] or {per_head}"


def _heads_fit(cache_heads: int, cache_head_size: int, num_head: int, head_size: int, channels: int) -> bool:
    return (
        same(cache_heads, num_head)
        and same(cache_head_size, head_size)
        and same(product(cache_heads, cache_head_size), channels)
    )


def _dim(value: int, name: str) -> str:
    return name if value == UNKNOWN else str(value)


def check_strides(name: str, shape: Sequence[int], strides: Sequence[int]) -> None:
    """Refuses memory that is strided in another axis than the first, or whose blocks overlap.

    Raises:
        ValueError: it is; the text names the argument.
    """
    inner = 1
    for axis in range(len(shape) - 1, 0, -1):
        if shape[axis] > 1 and strides[axis] != inner:
            raise ValueError(
                f"{name}: given a view of shape {list(shape)} with strides {list(strides)}, expected one that is "
                "contiguous, or strided along axis 0 only"
            )
        inner *= shape[axis]
    if shape[0] > 1 and strides[0] < inner and product(*shape):
        raise ValueError(
            f"{name}: given a view of shape {list(shape)} with strides {list(strides)}, expected parts that do not overlap"
        )
