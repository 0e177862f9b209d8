"""The paged KV cache of a model: block tables, and the caches of its layers that they point into."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ..cache import Array, to_numpy
from ..functional import npu_scatter_pa_kv_cache
from ..paged_functional import npu_gather_pa_kv_cache, quant_scatter_pa_kv_cache
from ..rules.options import dtype_name
from ..rules.table import SCALED_ROWS, CacheMode, OnError
from .block_manager import BlockManager, SeqId
from .block_table import Entry, slot_array
from .integers import Int64Array, integer, narrowed
from .journal import Actions, Journal
from .occupancy import Occupancy, Pages
from .padding import PADDING_SLOT, joined, pad_rows
from .scales import check_rows, check_scales, static_scales
from .storage import CacheGeometry, CacheStorage, Rows, new_rows

_INT32_LIMIT = 2**31  # slots that int32 counts


class PagedKVCache(BlockManager):
    """A paged KV cache: layers, blocks and block tables.

    The bookkeeping is ``BlockManager``'s (allocate, append, fork, free, swap); this class makes the caches, moves what
    the blocks hold, and makes a step's tensors. All writes go through ``npu_scatter_pa_kv_cache``, with ``scales``
    through ``quant_scatter_pa_kv_cache``. Give the network the Parameters ``key_caches[layer]`` and ``value_caches[layer]``,
    and the scale caches where there are any, in that operator's Cell or as inputs (caches of 8-bit floats are Tensors, so
    inputs); it works in PyNative and in graph mode. The methods here are for Python outside of graphs.

    Cost: ``fork`` copies nothing. An ``append`` to a sequence whose last block is shared and not full copies that one
    block in every layer, ``block_size * num_kv_heads * (head_size + v_head_size) * itemsize`` bytes per layer, and 8 more
    for each of its tokens and heads with ``scales="dynamic"``; it happens once per fork, and whole blocks stay shared. A
    swap copies every distinct block of the sequences between device and host. Neither depends on the size of the caches.
    Both wait for what MindSpore has queued, and return when the bytes are where they belong.

    Atomic: ``append``, ``swap_out`` and ``swap_in`` move the bytes first and change the books last. Where one raises,
    an earlier call's error that surfaces in it included, nothing has changed, and it can be repeated. Threads may share
    a cache as they may a ``BlockManager``; a thread that writes, reads, swaps or frees a sequence must be the only one
    that does so with this sequence.

    Args:
        num_layers, num_blocks, block_size, num_kv_heads, head_size: counts, each >= 1.
        v_head_size: of V; by default that of K.
        dtype: of the caches, any of the operator's: a dtype of MindSpore, NumPy or ml_dtypes, or its name.
        value_dtype: of V; by default that of K. Another one is for PA_NZ, and with ``scales`` for every layout.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        key_only: no value caches, as MLA models need.
        num_host_blocks: room for swapped-out sequences, in ordinary memory, reserved by the first ``swap_out``; pages
            of it are taken when first used, and kept.
        name: prefix of the Parameters' names, ``{name}.{layer}.key_cache``.
        interleaved: K and V of a layer lie in one pool, block by block, as vLLM and FlashInfer hold them: block 2b of
            ``kv_pools[layer]``, [2 * num_blocks, ...], is K's block b, block 2b + 1 V's. ``key_caches`` and ``value_caches``
            are views of it, which PyNative writes and reads in place. A graph takes no views: give it the pool and
            ``interleaved_slot_mapping``; with ``scales="dynamic"`` there is no such way, as the scale caches are not
            interleaved. What moves one of them to other memory (``set_data``, ``load_param_into_net``, a
            graph whose network holds a view) takes it out of the pool: the next call that moves bytes is a ValueError.
            K and V must have one head size and one dtype.
        scales: None: the caches hold what is written, as it is. Else ``dtype`` is int8, float8_e4m3fn or float8_e5m2,
            float rows are quantised when they are written, and ``read`` gives floats (``quant_scatter_pa_kv_cache``).
            ``"dynamic"``: a scale for each token and head, computed and kept in ``key_scale_caches``. A pair
            (key_scale, value_scale): static float32 arrays [num_layers, 1], [num_layers, num_kv_heads] or [num_layers,
            num_kv_heads, head_size]; value_scale is None for a key-only cache. The attribute ``scales`` gives a copy of it.

    Raises:
        ValueError: a count below 1, an unknown layout, channels that fill no whole 32 bytes (PA_NZ), an interleaved
            cache that is key-only or whose K and V differ, a dtype that ``scales`` do not go with, or scales of another
            shape, or not positive and finite.
        TypeError: a dtype that the operator does not take, or ``scales`` that are neither None, text nor a pair.

    Source: the vocabulary is that of vLLM's block manager and MindFormers' block tables.

    Example:
        >>> import numpy as np
        >>> from mindspore import Tensor
        >>> from ms_scatter_pa import PagedKVCache
        >>> sizes = {"num_layers": 1, "num_blocks": 8, "block_size": 4, "num_kv_heads": 1, "head_size": 16}
        >>> cache = PagedKVCache(**sizes, dtype="float16")
        >>> slots = cache.allocate("prompt", 6)
        >>> key = Tensor(np.ones((6, 1, 16), np.float16))
        >>> status = cache.write(0, key, key, cache.slot_mapping(["prompt"], [6]))
        >>> cache.read("prompt", 0)[0].shape
        (6, 1, 16)
        >>> cache.block_tables(["prompt"], max_blocks=4).asnumpy().tolist()
        [[0, 1, -1, -1]]
    """

    def __init__(
        self,
        *,
        num_layers: int,
        num_blocks: int,
        block_size: int,
        num_kv_heads: int,
        head_size: int,
        dtype: Any,
        v_head_size: int | None = None,
        value_dtype: Any = None,
        layout: str = "Norm",
        key_only: bool = False,
        num_host_blocks: int = 0,
        name: str = "kv_cache",
        scales: Any = None,
        interleaved: bool = False,
    ):
        super().__init__(num_blocks, block_size, num_host_blocks)
        value_dtype = dtype if value_dtype is None else value_dtype
        if layout != "PA_NZ" and scales is None and dtype_name(value_dtype) != dtype_name(dtype):
            raise ValueError(
                f"value_dtype: given {dtype_name(value_dtype)} with dtype {dtype_name(dtype)}; only PA_NZ takes two dtypes"
            )
        if interleaved:
            _check_interleaved(head_size, v_head_size, dtype, value_dtype, key_only)
        num_layers = integer(num_layers, "num_layers")
        if num_layers < 1:
            raise ValueError(f"num_layers: given {num_layers}, expected >= 1")
        geometry = CacheGeometry(
            num_layers,
            self.num_blocks,
            self.block_size,
            num_kv_heads,
            head_sizes=(head_size, None if key_only else head_size if v_head_size is None else v_head_size),
            dtypes=(dtype, value_dtype),
            keeps_scales=check_scales(scales, (dtype_name(dtype), dtype_name(value_dtype))),
        )
        self._static_scales = None if scales is None or geometry.keeps_scales else static_scales(scales, geometry)
        self._storage = CacheStorage(geometry, layout, name, self.num_host_blocks, interleaved)

    @property
    def layout(self) -> str:
        """``Norm``, ``PA_NZ`` or ``NHSD``."""
        return self._storage.layout

    @property
    def num_layers(self) -> int:
        """How many layers."""
        return len(self._storage.key_caches)

    @property
    def key_caches(self) -> list[Any]:
        """The key cache of each layer: Parameters (Tensors for float8 and hifloat8), the same objects as long as the cache exists."""
        return self._storage.key_caches

    @property
    def value_caches(self) -> list[Any]:
        """The value cache of each layer, or None each where the cache is key-only."""
        return self._storage.value_caches

    @property
    def kv_pools(self) -> list[Any]:
        """The pool of each layer, [2 * num_blocks, ...] in the layout, or None each where K and V lie apart."""
        return self._storage.kv_pools

    @property
    def is_quantised(self) -> bool:
        """Whether float rows are quantised when they are written."""
        return self._static_scales is not None or self._storage.geometry.keeps_scales

    @property
    def scales(self) -> Any:
        """How rows are scaled, as the constructor takes it: None, ``"dynamic"``, or the static pair (key_scale, value_scale).

        The pair's arrays are float32 and begin with the layer; value_scale is None for a key-only cache. They are copies:
        who changes them changes nothing here.

        Example:
            >>> import numpy as np
            >>> from mindspore import Tensor
            >>> from ms_scatter_pa import PagedKVCache
            >>> sizes = {"num_layers": 2, "num_blocks": 8, "block_size": 4, "num_kv_heads": 1, "head_size": 16}
            >>> cache = PagedKVCache(**sizes, dtype="int8", scales=([[0.5], [0.25]], [[1.0], [1.0]]))
            >>> key_scale, value_scale = cache.scales
            >>> key_scale.tolist()
            [[0.5], [0.25]]
            >>> Tensor(key_scale[1]).shape  # what the operators take for layer 1, as key_scale
            (1,)
        """
        if self._static_scales is not None:
            key, value = self._static_scales
            return key.copy(), None if value is None else value.copy()
        return "dynamic" if self._storage.geometry.keeps_scales else None

    @property
    def key_scale_caches(self) -> list[Any]:
        """The scale cache of each layer's keys, float32 Parameters; None each where scales are static (``scales``) or there
        are none."""
        return self._storage.key_scale_caches

    @property
    def value_scale_caches(self) -> list[Any]:
        """The same of the values."""
        return self._storage.value_scale_caches

    def write(
        self,
        layer: int,
        key: Any,
        value: Any,
        slot_mapping: Any,
        *,
        on_error: OnError = "raise",
        check_duplicates: bool = False,
    ) -> Any:
        """Writes a step's K and V rows into one layer's caches: ``npu_scatter_pa_kv_cache``, or where the cache is quantised
        ``quant_scatter_pa_kv_cache``. Called by Python, not inside of a graph.

        Args:
            layer: the layer, 0 <= layer < num_layers.
            key, value: [T, num_kv_heads, head_size] Tensors of the caches' dtypes, float ones where the cache is
                quantised; value None for a key-only cache.
            slot_mapping: int32 or int64 [T], as ``slot_mapping()`` gives it.
            on_error: ``raise`` or ``record``.
            check_duplicates: whether a slot given twice is refused.

        Returns:
            The status, int64 Tensor [4].

        Raises:
            IndexError: no such layer. TypeError: rows that are codes already where the cache is quantised, or float rows where
            it holds codes as they are. TypeError, ValueError, IndexError: as the operator.
        """
        layer = self._checked(layer)
        caches = (self.key_caches[layer], self.value_caches[layer])
        self._storage.check_pool(layer)
        call = (key, value, caches[0], caches[1], slot_mapping)
        mode = cast(CacheMode, self.layout)
        operator = quant_scatter_pa_kv_cache if self.is_quantised else npu_scatter_pa_kv_cache
        scales = self._scales(layer) if self.is_quantised else {}
        for name, rows, cache in (("key", key, caches[0]), ("value", value, caches[1])):
            check_rows(name, rows, cache, self.is_quantised)
        return operator(*call, cache_mode=mode, on_error=on_error, check_duplicates=check_duplicates, **scales)

    def read(self, seq_id: SeqId, layer: int, *, dtype: Any = None, raw: bool = False) -> Any:
        """A sequence's K and V, in the order of its tokens and in no layout: each [tokens, num_kv_heads, head_size].

        NumPy arrays with the caches' bits (hifloat8 as uint8); V is None for a key-only cache. Swapped-out sequences
        are read from the host. It waits for what was queued before, and copies the sequence's blocks and nothing else.

        Args:
            seq_id: the sequence.
            layer: the layer.
            dtype: of the rows of a quantised cache: float32 by default, float16 or bfloat16; given as that of the caches.
            raw: the codes of a quantised cache as they are, and their scales: ((key, value), (key_scale, value_scale)).
                Computed scales are [tokens, num_kv_heads], static ones what the layer was given.

        Raises:
            TypeError: another ``dtype``. ValueError: ``dtype`` or ``raw`` for a cache that is not quantised, or both of them.
            KeyError: no such sequence. IndexError: no such layer.
        """
        layer = self._checked(layer)
        if not self.is_quantised:
            if dtype is not None or raw:
                raise ValueError("dtype, raw: given for a cache without scales, which holds rows as they were written")
            return self._journal.look(self._read, seq_id, layer)
        if raw and dtype is not None:
            raise ValueError("dtype: given with raw, which gives the codes as they are, expected None")
        if raw:
            return self._journal.look(self._read_codes, seq_id, layer)
        name = "float32" if dtype is None else dtype_name(dtype)
        if name not in SCALED_ROWS:
            raise TypeError(f"dtype: given {name}, expected one of {', '.join(SCALED_ROWS)}")
        return self._journal.look(self._read_numbers, seq_id, layer, name)

    def slot_mapping(
        self,
        seq_ids: Sequence[SeqId],
        query_lens: Sequence[int],
        *,
        width: int | None = None,
        pad_to: int | None = None,
        dtype: Any = None,
    ) -> Tensor:
        """The slots of the newest tokens of a batch of sequences: where the step's K and V rows go.

        Args:
            seq_ids: the batch's rows; None is a row of padding.
            query_lens: how many of each sequence's last tokens the step computes: the prompt's length, or a piece of
                it, for prefill, 1 for decoding; call ``allocate`` or ``append`` first.
            width: pads every row to that many slots with -1; by default rows are packed without padding.
            pad_to: pads the whole to that many slots with -1, for a graph of fixed shape.
            dtype: int32 or int64; by default int32 where every slot of the cache fits, else int64.

        Returns:
            Tensor [len(seq_ids) * width], or [sum(query_lens)] packed, or [pad_to].

        Raises:
            KeyError: no such sequence in the cache.
            ValueError: lengths that disagree, a query_len that the sequence has not, padding that is too short, or a
                slot that does not fit in dtype.
        """
        slots = self._journal.look(self._newest_slots, seq_ids, query_lens, width)
        if pad_to is not None:
            slots = pad_rows([slots], pad_to, PADDING_SLOT, "slots")[0]
        if dtype is None:
            dtype = ms.int32 if self.num_blocks * self.block_size <= _INT32_LIMIT else ms.int64
        return _tensor(slots, dtype, "slot_mapping")

    def block_tables(
        self, seq_ids: Sequence[SeqId], *, max_blocks: int | None = None, padding: int = -1, dtype: Any = ms.int32
    ) -> Tensor:
        """The block tables of a batch of sequences, for paged attention.

        Args:
            seq_ids: the batch's rows; None is a row of padding.
            max_blocks: the table's width; by default that of the longest row, 1 at least.
            padding: -1, as paged attention kernels take it; 0 for tables that are read with a gather.
            dtype: int32 or int64.

        Returns:
            Tensor [len(seq_ids), max_blocks].

        Raises:
            KeyError: no such sequence in the cache. ValueError: a sequence has more than ``max_blocks`` blocks.
        """
        rows = [entry.blocks for entry in self._journal.look(self._entries, seq_ids)]
        width = max([1, *map(len, rows)]) if max_blocks is None else max_blocks
        return _tensor(pad_rows(rows, width, padding, "blocks"), dtype, "block_tables")

    def seq_lens(self, seq_ids: Sequence[SeqId], *, dtype: Any = ms.int32) -> Tensor:
        """How many tokens each sequence of a batch has in the cache, 0 for None: Tensor [len(seq_ids)]."""
        lengths = [entry.num_tokens for entry in self._journal.look(self._entries, seq_ids)]
        return _tensor(np.array(lengths, np.int64), dtype, "seq_lens")

    def to_layout(self, layout: str, name: str | None = None) -> "PagedKVCache":
        """A second cache with the same sequences, blocks and contents in another layout; this one stays as it is.

        Args:
            layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
            name: prefix of the new Parameters' names; by default this cache's and the layout.

        Raises:
            ValueError: an unknown layout, or channels that fill no whole 32 bytes (PA_NZ).
            MemoryError: both caches do not fit.
        """
        return self._journal.look(self._in_layout, layout, name)

    def occupancy(self, slot_mapping: Any = None) -> Occupancy:
        """A snapshot of who has which blocks, to draw, to check or to save; ``slot_mapping`` adds a step's slots."""
        slots = None if slot_mapping is None else np.asarray(getattr(slot_mapping, "asnumpy", lambda: slot_mapping)())
        sequences, swapped = self._journal.look(self._pages)
        return Occupancy(
            num_blocks=self.num_blocks,
            block_size=self.block_size,
            sequences=sequences,
            swapped=swapped,
            slot_mapping=None if slots is None else tuple(int(slot) for slot in slots.reshape(-1)),
            description=f"{self.num_layers} layers, {self.layout}",
        )

    def save_layout(self, path: str | Path, slot_mapping: Any = None) -> None:
        """Saves ``occupancy(slot_mapping)`` as JSON, which ``python -m ms_scatter_pa show`` draws. OSError: no file."""
        self.occupancy(slot_mapping).save(path)

    def _copy_on_write(self, source: int, target: int) -> Actions:
        self._storage.copy([(source, target)])
        return ()

    def _copy_out(self, pairs: list[tuple[int, int]]) -> None:
        self._storage.copy_out(pairs)

    def _copy_in(self, pairs: list[tuple[int, int]]) -> None:
        self._storage.copy_in(pairs)

    def _checked(self, layer: int) -> int:
        layer = integer(layer, "layer")
        if not 0 <= layer < self.num_layers:
            raise IndexError(f"layer: given {layer}, expected 0 <= layer < {self.num_layers}")
        return layer

    def _read(self, seq_id: SeqId, layer: int) -> Rows:
        entry = self._anywhere(seq_id)
        key, value = self._storage.read(layer, entry.blocks.tolist(), on_host=seq_id in self._swapped)
        return _flat(key)[: entry.num_tokens], None if value is None else _flat(value)[: entry.num_tokens]

    def _read_codes(self, seq_id: SeqId, layer: int) -> tuple[Rows, Rows]:
        rows = self._read(seq_id, layer)
        if self._static_scales is not None:
            key, value = self._static_scales
            return rows, (key[layer].copy(), None if value is None else value[layer].copy())
        entry = self._anywhere(seq_id)
        pages = self._storage.read_scales(layer, entry.blocks.tolist(), on_host=seq_id in self._swapped)
        key, value = pages
        return rows, (_flat(key)[: entry.num_tokens], None if value is None else _flat(value)[: entry.num_tokens])

    def _read_numbers(self, seq_id: SeqId, layer: int, dtype: str) -> Rows:
        entry = self._anywhere(seq_id)
        self._storage.check_pool(layer)
        caches = [self.key_caches[layer], self.value_caches[layer]]
        blocks, scales = entry.blocks, self._scales(layer)
        if seq_id in self._swapped:
            caches, scale_caches = self._storage.from_host(layer, blocks.tolist())
            scales |= scale_caches
            blocks = np.arange(len(blocks))
        sizes = self._storage.geometry.head_sizes
        heads = self._storage.geometry.num_kv_heads
        rows = [None if size is None else new_rows((entry.num_tokens, heads, size), dtype) for size in sizes]
        table, length = Tensor(blocks[None], ms.int64), Tensor([entry.num_tokens], ms.int64)
        mode = cast(CacheMode, self.layout)
        npu_gather_pa_kv_cache(caches[0], caches[1], table, length, rows[0], rows[1], cache_mode=mode, **scales)
        key, value = (None if tensor is None else to_numpy(tensor) for tensor in rows)
        assert key is not None
        return key, value

    def _scales(self, layer: int) -> dict[str, Any]:
        """What ``quant_scatter_pa_kv_cache`` and ``npu_gather_pa_kv_cache`` are told of a layer."""
        if self._static_scales is None:
            found = {
                "key_scale_cache": self.key_scale_caches[layer],
                "value_scale_cache": self.value_scale_caches[layer],
            }
            return {name: cache for name, cache in found.items() if cache is not None}
        key, value = self._static_scales
        scales = {"key_scale": key, "value_scale": value}
        return {name: Tensor(scale[layer]) for name, scale in scales.items() if scale is not None}

    def _entries(self, seq_ids: Sequence[SeqId]) -> list[Entry]:
        return [Entry() if seq_id is None else self._table(seq_id) for seq_id in seq_ids]

    def _newest_slots(self, seq_ids: Sequence[SeqId], query_lens: Sequence[int], width: int | None) -> Int64Array:
        if len(seq_ids) != len(query_lens):
            raise ValueError(f"query_lens: given {len(query_lens)}, expected {len(seq_ids)}, one per sequence")
        rows = [
            self._last_slots(seq_id, integer(count, "query_lens"))
            for seq_id, count in zip(seq_ids, query_lens, strict=True)
        ]
        return joined(rows, "slots") if width is None else pad_rows(rows, width, PADDING_SLOT, "slots").reshape(-1)

    def _last_slots(self, seq_id: SeqId, count: int) -> Sequence[int] | Int64Array:
        if seq_id is None:
            return ()
        entry = self._table(seq_id)
        if not 0 <= count <= entry.num_tokens:
            raise ValueError(f"query_lens: given {count} for sequence {seq_id!r}, which has {entry.num_tokens} tokens")
        if count == 1:  # a decode step
            block, offset = divmod(entry.num_tokens - 1, self.block_size)
            return (int(entry.blocks[block]) * self.block_size + offset,)
        return slot_array(entry, self.block_size, entry.num_tokens - count, entry.num_tokens)

    def _in_layout(self, layout: str, name: str | None) -> "PagedKVCache":
        storage = self._storage
        name = name or f"{storage.name}.{layout}"
        there = CacheStorage(storage.geometry, layout, name, self.num_host_blocks, storage.interleaved)
        for tables, on_host in ((self._tables, False), (self._swapped, True)):
            used = sorted({block for entry in tables.values() for block in entry.blocks.tolist()})
            for layer in range(self.num_layers if used else 0):
                there.write(layer, used, storage.read(layer, used, on_host=on_host), on_host=on_host)
                if storage.geometry.keeps_scales:
                    scales = storage.read_scales(layer, used, on_host=on_host)
                    there.write_scales(layer, used, scales, on_host=on_host)
        other = type(self).__new__(type(self))
        journal = Journal()
        books = {
            "_journal": journal,
            "_allocator": self._allocator.copied(journal),
            "_host_allocator": self._host_allocator and self._host_allocator.copied(journal),
            "_tables": dict(self._tables),
            "_swapped": dict(self._swapped),
        }
        vars(other).update(vars(self), **books, _storage=there)
        return other

    def _pages(self) -> tuple[tuple[Pages, ...], tuple[Pages, ...]]:
        sequences, swapped = (
            tuple(Pages(str(seq_id), tuple(e.blocks.tolist()), e.num_tokens) for seq_id, e in tables.items())
            for tables in (self._tables, self._swapped)
        )
        return sequences, swapped


def _check_interleaved(head_size: Any, v_head_size: Any, dtype: Any, value_dtype: Any, key_only: bool) -> None:
    if key_only:
        raise ValueError("interleaved: given True with key_only, expected False: there is no V to interleave")
    if v_head_size is not None and v_head_size != head_size:
        raise ValueError(
            f"v_head_size: given {v_head_size} with interleaved, expected {head_size} as head_size: K and V have one block size"
        )
    key_name, value_name = dtype_name(dtype), dtype_name(value_dtype)
    if value_name != key_name:
        raise ValueError(
            f"value_dtype: given {value_name} with interleaved, expected {key_name} as dtype: K and V share a pool"
        )


def _flat(rows: Array) -> Array:
    """[blocks, block_size, N, D] -> [blocks * block_size, N, D]."""
    return rows.reshape(-1, *rows.shape[2:])


def _tensor(numbers: Int64Array, dtype: Any, name: str) -> Tensor:
    """An int32 or int64 Tensor; ValueError: a number does not fit, TypeError: another dtype."""
    given = dtype_name(dtype)
    if given not in ("int32", "int64"):
        raise TypeError(f"dtype: given {given}, expected int32 or int64")
    return Tensor(narrowed(numbers, given, name))
