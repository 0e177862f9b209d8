"""What the blocks hold: one key and one value cache per layer, copied a block at a time, in any layout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, mint

from ..backends import Blocks
from ..cache import Array, aligned_memory, from_numpy, from_nz, make_cache, numpy_dtype, to_numpy, to_nz
from ..interleaved import NUM_PARTS
from ..rules.options import dtype_name
from ..rules.table import CACHE_MODES
from .moving import blocks_of, copy_blocks, interleaved_blocks

Pair = tuple[int, int]
Rows = tuple[Array, Array | None]

_HUGE = 4 << 20  # bytes


@dataclass(frozen=True)
class CacheGeometry:
    """The sizes and dtypes of a model's caches, whatever their layout.

    Args:
        head_sizes: of K and V; V's is None for a key-only cache.
        dtypes: of K and V.
        keeps_scales: whether a scale of every token and head is kept beside the caches.
    """

    num_layers: int
    num_blocks: int
    block_size: int
    num_kv_heads: int
    head_sizes: tuple[int, int | None]
    dtypes: tuple[Any, Any]
    keeps_scales: bool = False

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

    def pools(self, layout: str, name: str) -> list[Any]:
        """New pools [2 * num_blocks, ...], one per layer: K's block b is block 2b of the pool, V's 2b + 1."""
        return [
            make_cache(
                layout,
                num_blocks=NUM_PARTS * self.num_blocks,
                block_size=self.block_size,
                num_head=self.num_kv_heads,
                head_size=self.head_sizes[0],
                dtype=self.dtypes[0],
                name=f"{name}.{layer}.kv_pool",
            )
            for layer in range(self.num_layers)
        ]

    def scale_caches(self, layout: str, name: str, side: int) -> list[Any]:
        """New scale caches, one per layer, of K (side 0) or V (side 1); None where no scales are kept."""
        if not self.keeps_scales or self.head_sizes[side] is None:
            return [None] * self.num_layers
        shape: tuple[int, ...] = (self.num_blocks, self.block_size, self.num_kv_heads)
        if layout == "NHSD":
            shape = (self.num_blocks, self.num_kv_heads, self.block_size, 1)
        names = [f"{name}.{layer}.{('key', 'value')[side]}_scale_cache" for layer in range(self.num_layers)]
        return [Parameter(Tensor(np.ones(shape, np.float32)), name=n, requires_grad=False) for n in names]


class CacheStorage:
    """The caches of all layers, and the room on the host for blocks that are swapped out.

    What a block holds travels as bytes, in the layout of the caches. Every method waits for what was queued before and
    returns when its copies are done; one that raises may have written to its targets, which nobody reads yet.

    Args:
        geometry: sizes and dtypes.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        name: prefix of the Parameters' names.
        num_host_blocks: room on the host.
        interleaved: K and V of a layer are the two halves of every block of one pool, and the caches views of it.
    """

    def __init__(
        self, geometry: CacheGeometry, layout: str, name: str, num_host_blocks: int = 0, interleaved: bool = False
    ):
        self.geometry = geometry
        self.layout = layout
        self.name = name
        self.num_host_blocks = num_host_blocks
        self.interleaved = interleaved
        self.kv_pools: list[Any] = [None] * geometry.num_layers
        if interleaved:
            self.kv_pools = geometry.pools(layout, name)
            self.key_caches, self.value_caches = (
                [_part_of(pool, part, f"{name}.{layer}.{kind}") for layer, pool in enumerate(self.kv_pools)]
                for part, kind in enumerate(("key_cache", "value_cache"))
            )
        else:
            self.key_caches = geometry.caches(layout, name, 0)
            self.value_caches = geometry.caches(layout, name, 1)
        self.key_scale_caches = geometry.scale_caches(layout, name, 0)
        self.value_scale_caches = geometry.scale_caches(layout, name, 1)
        # Of all caches, layer by layer, K before V, rows before scales.
        self._device: list[Blocks] = []
        for layer, pool in enumerate(self.kv_pools):
            rows = (self.key_caches[layer], self.value_caches[layer])
            scales = (self.key_scale_caches[layer], self.value_scale_caches[layer])
            self._device += _blocks(rows) if pool is None else interleaved_blocks(pool, NUM_PARTS)
            self._device += _blocks(scales)
        self._host: list[Blocks] | None = None

    def check_pool(self, layer: int) -> None:
        """Refuses a pool and caches of which MindSpore has moved one to other memory: what one holds the others lack.

        Raises:
            ValueError: it has. Nothing was read or written.
        """
        pool = self.kv_pools[layer]
        if pool is None:
            return
        begin, block_bytes = pool.data_ptr(), self._of_layer(layer, False)[0].block_bytes
        for part, name in enumerate(("key_caches", "value_caches")):
            if getattr(self, name)[layer].data_ptr() != begin + part * block_bytes:
                raise ValueError(
                    f"{name}[{layer}]: given memory apart from kv_pools[{layer}], expected its blocks: set_data, "
                    "load_param_into_net or a graph that holds a view moved one of them. Change a pool in place, and give "
                    "a graph kv_pools alone"
                )

    def copy(self, pairs: Sequence[Pair]) -> None:
        """Copies blocks, (source, target), in every layer."""
        self._move([(blocks, blocks) for blocks in self._device], pairs)

    def copy_out(self, pairs: Sequence[Pair]) -> None:
        """Copies blocks to the host, (block, host block), in every layer. MemoryError: there is no room for any."""
        self._move(list(zip(self._device, self._host_blocks(), strict=True)), pairs)

    def copy_in(self, pairs: Sequence[Pair]) -> None:
        """Copies blocks from the host, (host block, block), in every layer."""
        self._move(list(zip(self._host_blocks(), self._device, strict=True)), pairs)

    def read(self, layer: int, blocks: Sequence[int], *, on_host: bool = False) -> Rows:
        """What ``blocks`` hold of K and V, each [blocks, block_size, num_kv_heads, head_size]."""
        key, value = (None if p is None else _to_rows(p, self) for p in self._pages(layer, blocks, on_host))
        assert key is not None
        return key, value

    def from_host(self, layer: int, blocks: Sequence[int]) -> tuple[list[Any], dict[str, Any]]:
        """Copies of blocks on the host as caches of K and V, and their scale caches as the operators name them."""
        caches = (self.key_caches[layer], self.value_caches[layer])
        pages = zip(self._pages(layer, blocks, True), caches, strict=True)
        copies = [None if page is None else from_numpy(page, cache.dtype) for page, cache in pages]
        if not self.geometry.keeps_scales:
            return copies, {}
        names = ("key_scale_cache", "value_scale_cache")
        return copies, dict(zip(names, map(Tensor, self._scale_pages(layer, blocks, True)), strict=False))

    def write(self, layer: int, blocks: Sequence[int], rows: Rows, *, on_host: bool = False) -> None:
        """Writes what ``read`` gave, of a cache in any layout, to ``blocks``."""
        self.check_pool(layer)
        pages = [convert_layout(r, "Norm", self.layout, self.geometry.num_kv_heads) for r in rows if r is not None]
        if blocks:
            sources = [blocks_of(page) for page in pages]
            targets = self._of_layer(layer, on_host)[: len(sources)]
            copy_blocks(list(zip(sources, targets, strict=True)), None, blocks)

    def read_scales(self, layer: int, blocks: Sequence[int], *, on_host: bool = False) -> Rows:
        """The scales of ``blocks`` of K and V, each float32 [blocks, block_size, num_kv_heads]."""
        pages = self._scale_pages(layer, blocks, on_host)
        key, *value = (page[..., 0].transpose(0, 2, 1) if self.layout == "NHSD" else page for page in pages)
        return key, value[0] if value else None

    def write_scales(self, layer: int, blocks: Sequence[int], scales: Rows, *, on_host: bool = False) -> None:
        """Writes what ``read_scales`` gave, of a cache in any layout, to ``blocks``."""
        given = [scale for scale in scales if scale is not None]
        pages = [scale.transpose(0, 2, 1)[..., None] if self.layout == "NHSD" else scale for scale in given]
        if blocks:
            sources = [blocks_of(np.ascontiguousarray(page)) for page in pages]
            targets = self._of_layer(layer, on_host)[-len(pages) :]
            copy_blocks(list(zip(sources, targets, strict=True)), None, blocks)

    def __getstate__(self) -> dict[str, Any]:
        """Everything as names, numbers and bytes: MindSpore pickles no Tensor of 8-bit floats."""
        self._check_pools()
        key, value = (dtype_name(dtype) for dtype in self.geometry.dtypes)
        geometry = replace(self.geometry, dtypes=(key, value))
        device = [np.empty((blocks.num_blocks, blocks.block_bytes), np.uint8) for blocks in self._device]
        for blocks, content in zip(self._device, device, strict=True):
            copy_blocks([(blocks, blocks_of(content))], None, None)
        host = None if self._host is None else [np.array(blocks.memory) for blocks in self._host]
        made = (geometry, self.layout, self.name, self.num_host_blocks, self.interleaved)
        return {"made": made, "device": device, "host": host}

    def __setstate__(self, state: dict[str, Any]) -> None:
        CacheStorage.__init__(self, *state["made"])
        for blocks, content in zip(self._device, state["device"], strict=True):
            if len(content):
                copy_blocks([(blocks_of(content), blocks)], None, range(len(content)))
        if state["host"] is not None:
            for blocks, content in zip(self._host_blocks(), state["host"], strict=True):
                blocks.memory[...] = content

    def _pages(self, layer: int, blocks: Sequence[int], on_host: bool) -> list[Array | None]:
        """What ``blocks`` hold of K and V, each [blocks, ...] in the caches' layout."""
        self.check_pool(layer)
        caches = (self.key_caches[layer], self.value_caches[layer])
        pages = [None if c is None else _empty((len(blocks), *c.shape[1:]), numpy_dtype(c.dtype)) for c in caches]
        if blocks:
            targets = [blocks_of(page) for page in pages if page is not None]
            sources = self._of_layer(layer, on_host)[: len(targets)]
            copy_blocks(list(zip(sources, targets, strict=True)), blocks, None)
        return pages

    def _scale_pages(self, layer: int, blocks: Sequence[int], on_host: bool) -> list[Array]:
        """The same of the scale caches that there are."""
        caches = [c for c in (self.key_scale_caches[layer], self.value_scale_caches[layer]) if c is not None]
        pages = [np.empty((len(blocks), *cache.shape[1:]), np.float32) for cache in caches]
        if blocks:
            sources = self._of_layer(layer, on_host)[-len(pages) :]
            copy_blocks(list(zip(sources, map(blocks_of, pages), strict=True)), blocks, None)
        return pages

    def _check_pools(self) -> None:
        for layer in range(self.geometry.num_layers):
            self.check_pool(layer)

    def _of_layer(self, layer: int, on_host: bool) -> list[Blocks]:
        """K's blocks and V's, if there are any. IndexError: no such layer."""
        sides = len(self._device) // self.geometry.num_layers
        first = range(0, len(self._device), sides)[layer]
        return (self._host_blocks() if on_host else self._device)[first : first + sides]

    def _host_blocks(self) -> list[Blocks]:
        """One for each cache; made when first used. MemoryError: they do not fit."""
        if self._host is None:
            self._host = [_host_like(blocks, self.num_host_blocks) for blocks in self._device]
        return self._host

    def _move(self, memories: list[tuple[Blocks, Blocks]], pairs: Sequence[Pair]) -> None:
        if pairs:
            self._check_pools()
            sources, targets = zip(*pairs, strict=True)
            copy_blocks(memories, sources, targets)


def _blocks(caches: Sequence[Any]) -> list[Blocks]:
    return [blocks_of(cache) for cache in caches if cache is not None]


def _part_of(pool: Any, part: int, name: str) -> Any:
    """A cache that is every other block of a pool: a Parameter of a Parameter, a Tensor of a Tensor."""
    halves = pool.view(pool.shape[0] // NUM_PARTS, NUM_PARTS, *pool.shape[1:])
    view = mint.select(halves, 1, part)
    if not isinstance(pool, Parameter):
        return view
    # Parameter(view) would be a copy.
    parameter = Parameter(mint.zeros((1,), dtype=pool.dtype), name=name, requires_grad=False)
    parameter.set_data(view)
    return parameter


def _host_like(blocks: Blocks, num_blocks: int) -> Blocks:
    return blocks_of(aligned_memory(num_blocks * blocks.block_bytes).reshape(num_blocks, blocks.block_bytes))


def new_rows(shape: tuple[int, ...], dtype: str) -> Tensor:
    """A float Tensor to be filled, on memory that ``to_numpy`` gives without a copy where MindSpore can."""
    return Tensor.from_numpy(_empty(shape, numpy_dtype(dtype)))


def _empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory to be filled, on huge pages where that pays."""
    size = math.prod(shape) * dtype.itemsize
    return aligned_memory(size).view(dtype).reshape(shape) if size >= _HUGE else np.empty(shape, dtype)


def _to_rows(pages: Array, storage: CacheStorage) -> Array:
    """[blocks, ...] in the storage's layout -> [blocks, block_size, N, D]."""
    if storage.layout == "PA_NZ":
        return np.asarray(from_nz(pages, storage.geometry.num_kv_heads))
    return pages.transpose(0, 2, 1, 3) if storage.layout == "NHSD" else pages


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
