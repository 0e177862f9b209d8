"""What the blocks hold: one key and one value cache per layer, read and written a block at a time, in any layout."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ..cache import Array, from_numpy, from_nz, make_cache, numpy_dtype, to_numpy, to_nz
from ..functional import CacheMode, npu_scatter_pa_kv_cache
from ..rules.options import dtype_name
from ..rules.table import CACHE_MODES

Rows = tuple[Array, Array | None]


@dataclass(frozen=True)
class CacheGeometry:
    """The sizes and dtypes of a model's caches, whatever their layout.

    Args:
        head_sizes: of K and V; V's is None for a key-only cache.
        dtypes: of K and V.
    """

    num_layers: int
    num_blocks: int
    block_size: int
    num_kv_heads: int
    head_sizes: tuple[int, int | None]
    dtypes: tuple[Any, Any]

    def caches(self, layout: str, name: str, side: int) -> list[Any]:
        """New caches, one per layer, of K (side 0) or V (side 1); ValueError and TypeError as ``make_cache``."""
        head_size = self.head_sizes[side]
        if head_size is None:
            return [None] * self.num_layers
        return [
            make_cache(
                layout,
                num_blocks=self.num_blocks,
                block_size=self.block_size,
                num_head=self.num_kv_heads,
                head_size=head_size,
                dtype=self.dtypes[side],
                name=f"{name}.{layer}.{('key_cache', 'value_cache')[side]}",
            )
            for layer in range(self.num_layers)
        ]


class CacheStorage:
    """The caches of all layers.

    Blocks travel as rows, [blocks, block_size, num_kv_heads, head_size], whatever the layout is. They are read with a
    gather over the cache's bytes, which every dtype and both modes take, and written by the operator.

    Args:
        geometry: sizes and dtypes.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        name: prefix of the Parameters' names.
    """

    def __init__(self, geometry: CacheGeometry, layout: str, name: str):
        self.geometry = geometry
        self.layout = layout
        self.name = name
        self.key_caches = geometry.caches(layout, name, 0)
        self.value_caches = geometry.caches(layout, name, 1)

    def read_blocks(self, layer: int, blocks: Sequence[int]) -> Rows:
        """What ``blocks`` hold, K and V, in NumPy."""
        # A gather of nothing is refused.
        key, value = (
            None if cache is None else _as_array(rows, cache.dtype)[: len(blocks)]
            for cache, rows in self._gather(layer, blocks or [0])
        )
        assert key is not None
        return key, value

    def write_blocks(self, layer: int, blocks: Sequence[int], rows: Rows) -> None:
        """Writes what ``read_blocks`` gave to ``blocks``."""
        caches = (self.key_caches[layer], self.value_caches[layer])
        self._write(
            layer,
            blocks,
            [None if r is None else from_numpy(_joined(r), c.dtype) for r, c in zip(rows, caches, strict=True)],
        )

    def copy_blocks(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copies blocks, (source, target), in every layer; nothing leaves the device.

        All sources are read before a target is written. A block is written as one row of bytes, which is the same in
        every layout and dtype.
        """
        if not pairs:
            return
        sources, targets = (Tensor(np.array(blocks, np.int32)) for blocks in zip(*pairs, strict=True))
        for cache in (*self.key_caches, *self.value_caches):
            if cache is not None:
                blocks = cache.view(ms.uint8).view(cache.shape[0], 1, 1, -1)
                rows = ops.gather(blocks, sources, 0).view(len(pairs), 1, -1)
                npu_scatter_pa_kv_cache(rows, None, blocks, None, targets, cache_mode="Norm")

    def _gather(self, layer: int, blocks: Sequence[int]) -> Iterator[tuple[Any, Any]]:
        """For K and V: the cache, and a copy of its blocks as uint8 rows [blocks, block_size, heads, bytes]."""
        index = Tensor(np.asarray(blocks, np.int32))
        for cache in (self.key_caches[layer], self.value_caches[layer]):
            yield cache, None if cache is None else self._rows(ops.gather(cache.view(ms.uint8), index, 0))

    def _rows(self, pages: Any) -> Any:
        if self.layout == "PA_NZ":
            return from_nz(pages, self.geometry.num_kv_heads)
        return ops.transpose(pages, (0, 2, 1, 3)) if self.layout == "NHSD" else pages

    def _write(self, layer: int, blocks: Sequence[int], rows: list[Any]) -> None:
        block_size = self.geometry.block_size
        slots = np.asarray(blocks, np.int64)[:, None] * block_size + np.arange(block_size)
        npu_scatter_pa_kv_cache(
            rows[0],
            rows[1],
            self.key_caches[layer],
            self.value_caches[layer],
            Tensor(slots.reshape(-1)),
            cache_mode=cast(CacheMode, self.layout),
        )


def _as_array(rows: Any, dtype: Any) -> Array:
    return np.ascontiguousarray(rows.asnumpy()).view(numpy_dtype(dtype))


def _joined(rows: Any) -> Any:
    """[blocks, block_size, N, D] -> [blocks * block_size, N, D]."""
    return rows.reshape((math.prod(rows.shape[:2]), *rows.shape[2:]))


def convert_layout(cache: Any, source: str, target: str, num_head: int) -> Any:
    """A cache in another layout; the result is a copy.

    Args:
        cache: an array, or a Tensor or Parameter of any dtype of the operator: [NB, BS, N, D] (Norm), [NB, N*D/LD, BS,
            LD] or [NB, N, D/LD, BS, LD] (PA_NZ), [NB, N, BS, D] (NHSD).
        source, target: the layouts, ``Norm``, ``PA_NZ`` or ``NHSD``.
        num_head: N, which PA_NZ's shape does not tell.

    Returns:
        An array for an array, a Tensor for a Tensor; PA_NZ is 4-D.

    Raises:
        ValueError: an unknown layout, or channels that fill no whole 32 bytes (PA_NZ).

    Example:
        >>> import numpy as np
        >>> cache = np.arange(2 * 4 * 1 * 16, dtype=np.float16).reshape(2, 4, 1, 16)
        >>> convert_layout(cache, "Norm", "NHSD", num_head=1).shape
        (2, 1, 4, 16)
    """
    for layout in (source, target):
        if layout not in CACHE_MODES:
            raise ValueError(f"layout: given {layout!r}, expected one of {CACHE_MODES}")
    if isinstance(cache, Tensor):
        return from_numpy(convert_layout(to_numpy(cache), source, target, num_head), dtype_name(cache.dtype))
    rows = cache
    if source == "NHSD":
        rows = cache.transpose(0, 2, 1, 3)
    elif source == "PA_NZ":
        rows = from_nz(cache, num_head)
    if target == "PA_NZ":
        return to_nz(rows, cache.itemsize)
    return np.array(rows.transpose(0, 2, 1, 3) if target == "NHSD" else rows, order="C")
