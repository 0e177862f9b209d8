"""The paged KV cache of a model: block tables, and the caches of its layers that they point into."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ..cache import Array
from ..functional import CacheMode, npu_scatter_pa_kv_cache
from ..rules.options import dtype_name
from .block_manager import BlockManager, SeqId
from .occupancy import Occupancy, Pages
from .padding import PADDING_SLOT, pad_rows
from .storage import CacheGeometry, CacheStorage, Rows


class PagedKVCache(BlockManager):
    """A paged KV cache: layers, blocks and block tables.

    The bookkeeping is ``BlockManager``'s (allocate, append, fork, free, swap); this class makes the caches, moves what
    the blocks hold, and makes a step's tensors. All writes go through ``npu_scatter_pa_kv_cache``. Give the network the
    Parameters ``key_caches[layer]`` and ``value_caches[layer]``, in a ``ScatterPaKvCache`` or as inputs; it works in
    PyNative and in graph mode.

    Cost: ``fork`` copies nothing. An ``append`` to a sequence whose last block is shared and not full copies that one
    block in every layer, ``block_size * num_kv_heads * (head_size + v_head_size) * itemsize`` bytes per layer, which
    are read into a buffer and written from it; it happens once per fork, and whole blocks are shared for good. A swap
    copies every distinct block of the sequences between device and host, and returns when that is done.

    Args:
        num_layers, num_blocks, block_size, num_kv_heads, head_size: counts, each >= 1.
        v_head_size: of V; by default that of K.
        dtype: of the caches, any of the operator's twelve, as a MindSpore dtype or its name.
        value_dtype: of V; by default that of K. Only PA_NZ takes another one.
        layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
        key_only: no value caches, as MLA models need.
        num_host_blocks: room for swapped-out sequences, in ordinary memory, taken when first used.
        name: prefix of the Parameters' names, ``{name}.{layer}.key_cache``.

    Raises:
        ValueError: a count below 1, an unknown layout, or channels that fill no whole 32 bytes (PA_NZ).
        TypeError: a dtype that the operator does not take.

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
    ):
        super().__init__(num_blocks, block_size, num_host_blocks)
        value_dtype = dtype if value_dtype is None else value_dtype
        if layout != "PA_NZ" and _name(value_dtype) != _name(dtype):
            raise ValueError(
                f"value_dtype: given {_name(value_dtype)} with dtype {_name(dtype)}; only PA_NZ takes two dtypes"
            )
        if num_layers < 1:
            raise ValueError(f"num_layers: given {num_layers}, expected >= 1")
        geometry = CacheGeometry(
            num_layers,
            num_blocks,
            block_size,
            num_kv_heads,
            head_sizes=(head_size, None if key_only else head_size if v_head_size is None else v_head_size),
            dtypes=(dtype, value_dtype),
        )
        self._storage = CacheStorage(geometry, layout, name)
        self._host: dict[int, list[Rows]] = {}  # host block -> what it holds, per layer

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
        """The key cache of each layer: Parameters (Tensors for float8 and hifloat8), the same objects for life."""
        return self._storage.key_caches

    @property
    def value_caches(self) -> list[Any]:
        """The value cache of each layer, or None each where the cache is key-only."""
        return self._storage.value_caches

    def append(self, seq_id: SeqId, num_tokens: int = 1) -> list[int]:
        """Makes room for ``num_tokens`` more tokens and returns their slots; a shared last block is copied first.

        Raises:
            KeyError: no such sequence in the cache. ValueError: num_tokens < 0.
            OutOfBlocksError: not enough free blocks; nothing has changed.
        """
        slots = super().append(seq_id, num_tokens)
        self._storage.copy_blocks(self._allocator.clear_copy_on_writes())
        return slots

    def free(self, seq_id: SeqId) -> None:
        """Ends a sequence, in the cache or swapped out; blocks that nobody else holds are free. KeyError: none such."""
        super().free(seq_id)
        self._forget_unused_host_blocks()

    def swap_out(self, seq_ids: SeqId | Sequence[SeqId]) -> list[tuple[int, int]]:
        """Copies sequences to the host and frees their blocks; as ``BlockManager.swap_out``."""
        pairs = super().swap_out(seq_ids)
        blocks = [block for block, _ in pairs]
        layers = [self._storage.read_blocks(layer, blocks) for layer in range(self.num_layers)]
        for index, (_, host_block) in enumerate(pairs):
            self._host[host_block] = [_block(rows, index) for rows in layers]
        return pairs

    def swap_in(self, seq_ids: SeqId | Sequence[SeqId]) -> list[tuple[int, int]]:
        """Copies sequences from the host to free blocks; as ``BlockManager.swap_in``."""
        pairs = super().swap_in(seq_ids)
        for layer in range(self.num_layers if pairs else 0):
            rows = _stack([self._host[host_block][layer] for host_block, _ in pairs])
            self._storage.write_blocks(layer, [block for _, block in pairs], rows)
        self._forget_unused_host_blocks()
        return pairs

    def write(self, layer: int, key: Any, value: Any, slot_mapping: Any, **options: Any) -> Any:
        """Writes a step's K and V rows into one layer's caches with ``npu_scatter_pa_kv_cache``.

        Args:
            key, value: [T, num_kv_heads, head_size] Tensors of the caches' dtypes; value None for a key-only cache.
            slot_mapping: int32 or int64 [T], as ``slot_mapping()`` gives it.
            options: ``on_error``, ``check_duplicates``.

        Returns:
            The status, int64 Tensor [4].

        Raises:
            TypeError, ValueError, IndexError: as the operator.
        """
        caches = (self.key_caches[layer], self.value_caches[layer])
        return npu_scatter_pa_kv_cache(
            key, value, *caches, slot_mapping, cache_mode=cast(CacheMode, self.layout), **options
        )

    def read(self, seq_id: SeqId, layer: int) -> Rows:
        """A sequence's K and V, in the order of its tokens and in no layout: each [tokens, num_kv_heads, head_size].

        NumPy arrays with the caches' bits (hifloat8 as uint8); V is None for a key-only cache. Swapped-out sequences
        are read from the host. For tests and debugging: it waits for the device and copies.

        Raises:
            KeyError: no such sequence. IndexError: no such layer.
        """
        table = self._swapped.get(seq_id) or self._table(seq_id)
        if seq_id in self._swapped and table.blocks:
            key, value = _stack([self._host[block][layer] for block in table.blocks])
        else:
            key, value = self._storage.read_blocks(layer, table.blocks)
        return _flat(key)[: table.num_tokens], None if value is None else _flat(value)[: table.num_tokens]

    def slot_mapping(
        self,
        seq_ids: Sequence[SeqId],
        query_lens: Sequence[int],
        *,
        width: int | None = None,
        pad_to: int | None = None,
        dtype: Any = ms.int32,
    ) -> Tensor:
        """The slots of the newest tokens of a batch of sequences: where the step's K and V rows go.

        Args:
            seq_ids: the batch's rows; None is a row of padding.
            query_lens: how many of each sequence's last tokens the step computes: the prompt's length, or a piece of
                it, for prefill, 1 for decoding; call ``allocate`` or ``append`` first.
            width: pads every row to that many slots with -1; by default rows are packed without padding.
            pad_to: pads the whole to that many slots with -1, for a graph of fixed shape.
            dtype: int32 or int64.

        Returns:
            Tensor [len(seq_ids) * width], or [sum(query_lens)] packed, or [pad_to].

        Raises:
            KeyError: no such sequence in the cache.
            ValueError: lengths that disagree, a query_len that the sequence has not, or padding that is too short.
        """
        if len(seq_ids) != len(query_lens):
            raise ValueError(f"query_lens: given {len(query_lens)}, expected {len(seq_ids)}, one per sequence")
        rows = [self._last_slots(seq_id, count) for seq_id, count in zip(seq_ids, query_lens, strict=True)]
        if width is not None:
            rows = pad_rows(rows, width, PADDING_SLOT, "slots").tolist()
        slots = [slot for row in rows for slot in row]
        if pad_to is not None:
            slots = pad_rows([slots], pad_to, PADDING_SLOT, "slots")[0].tolist()
        return Tensor(np.array(slots, np.int64), dtype)

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
        rows = [[] if seq_id is None else self.block_table(seq_id) for seq_id in seq_ids]
        width = max([1, *map(len, rows)]) if max_blocks is None else max_blocks
        return Tensor(pad_rows(rows, width, padding, "blocks"), dtype)

    def seq_lens(self, seq_ids: Sequence[SeqId], *, dtype: Any = ms.int32) -> Tensor:
        """How many tokens each sequence of a batch has in the cache, 0 for None: Tensor [len(seq_ids)]."""
        lengths = [0 if seq_id is None else self._table(seq_id).num_tokens for seq_id in seq_ids]
        return Tensor(np.array(lengths, np.int64), dtype)

    def to_layout(self, layout: str, name: str | None = None) -> "PagedKVCache":
        """A second cache with the same sequences, blocks and contents in another layout; this one stays as it is.

        Args:
            layout: ``Norm``, ``PA_NZ`` or ``NHSD``.
            name: prefix of the new Parameters' names; by default this cache's and the layout.

        Raises:
            ValueError: an unknown layout, or channels that fill no whole 32 bytes (PA_NZ).
            MemoryError: both caches do not fit.
        """
        other = copy.copy(self)
        state = (self._allocator, self._host_allocator, self._tables, self._swapped)
        other._allocator, other._host_allocator, other._tables, other._swapped = copy.deepcopy(state)
        other._host = dict(self._host)
        storage = self._storage
        other._storage = CacheStorage(storage.geometry, layout, name or f"{storage.name}.{layout}")
        used = sorted({block for table in self._tables.values() for block in table.blocks})
        for layer in range(self.num_layers if used else 0):
            other._storage.write_blocks(layer, used, storage.read_blocks(layer, used))
        return other

    def occupancy(self, slot_mapping: Any = None) -> Occupancy:
        """A snapshot of who has which blocks, to draw, to check or to save; ``slot_mapping`` adds a step's slots."""
        slots = None if slot_mapping is None else np.asarray(getattr(slot_mapping, "asnumpy", lambda: slot_mapping)())
        return Occupancy(
            num_blocks=self.num_blocks,
            block_size=self.block_size,
            sequences=tuple(Pages(str(i), tuple(t.blocks), t.num_tokens) for i, t in self._tables.items()),
            swapped=tuple(Pages(str(i), tuple(t.blocks), t.num_tokens) for i, t in self._swapped.items()),
            slot_mapping=None if slots is None else tuple(int(slot) for slot in slots.reshape(-1)),
            description=f"{self.num_layers} layers, {self.layout}",
        )

    def save_layout(self, path: str | Path, slot_mapping: Any = None) -> None:
        """Saves ``occupancy(slot_mapping)`` as JSON, which ``python -m ms_scatter_pa show`` draws. OSError: no file."""
        self.occupancy(slot_mapping).save(path)

    def _last_slots(self, seq_id: SeqId, count: int) -> list[int]:
        if seq_id is None:
            return []
        end = self._table(seq_id).num_tokens
        if not 0 <= count <= end:
            raise ValueError(f"query_lens: given {count} for sequence {seq_id!r}, which has {end} tokens")
        return self.slots(seq_id, end - count, end)

    def _forget_unused_host_blocks(self) -> None:
        used = {block for table in self._swapped.values() for block in table.blocks}
        self._host = {block: layers for block, layers in self._host.items() if block in used}


def _name(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else dtype_name(dtype)


def _flat(rows: Array) -> Array:
    """[blocks, block_size, N, D] -> [blocks * block_size, N, D]."""
    return rows.reshape(-1, *rows.shape[2:])


def _block(rows: Rows, index: int) -> Rows:
    """A copy of one block of each side."""
    return rows[0][index].copy(), None if rows[1] is None else rows[1][index].copy()


def _stack(blocks: Sequence[Rows]) -> Rows:
    values = [value for _, value in blocks if value is not None]
    return np.stack([key for key, _ in blocks]), np.stack(values) if values else None
