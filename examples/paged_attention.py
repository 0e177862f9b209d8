"""How does attention read a paged cache? By block table: a row of block numbers per sequence, padded.

Two sequences of different length lie in scattered blocks. One Cell writes a decode step's K and V with the operator,
gathers each sequence's blocks, and attends with a mask; the result is that of plain attention over plain arrays.

    python examples/paged_attention.py
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ms_scatter_pa import PagedKVCache, ScatterPaKvCache

HEADS, KV_HEADS, SIZE, BLOCK_SIZE = 4, 2, 16, 4
LENGTHS = {"short": 6, "long": 11}  # tokens, the one being decoded included


class PagedAttention(nn.Cell):  # type: ignore[misc]
    """One decode step of grouped-query attention over the pages of one layer."""

    def __init__(self, key_cache: ms.Parameter, value_cache: ms.Parameter):
        super().__init__()
        self.key_cache = key_cache
        self.value_cache = value_cache
        self.write = ScatterPaKvCache(key_cache, value_cache, cache_mode="Norm")

    def construct(
        self, query: Tensor, key: Tensor, value: Tensor, slot_mapping: Tensor, block_tables: Tensor, seq_lens: Tensor
    ) -> Tensor:
        """query [B, N, D], key and value [B, NKV, D], block_tables [B, max_blocks], seq_lens [B] -> [B, N, D]."""
        self.write(key, value, slot_mapping)
        keys = self.read(self.key_cache, block_tables)  # after the write: a Parameter keeps the order, in graphs too
        values = self.read(self.value_cache, block_tables)
        batch, length = keys.shape[0], keys.shape[2]
        query = ops.reshape(query, (batch, KV_HEADS, HEADS // KV_HEADS, SIZE))
        scores = ops.matmul(query, ops.transpose(keys, (0, 1, 3, 2))) * SIZE**-0.5
        places = ops.reshape(ops.arange(length), (1, 1, 1, length))
        hidden = ops.greater_equal(places, ops.reshape(seq_lens, (batch, 1, 1, 1)))
        weights = ops.softmax(ops.masked_fill(scores, hidden, -1e30), -1)
        return ops.reshape(ops.matmul(weights, values), (batch, HEADS, SIZE))

    def read(self, cache: Tensor, block_tables: Tensor) -> Tensor:
        """[B, NKV, max_blocks * block_size, D] float32; what lies past a sequence's end is masked."""
        pages = ops.gather(cache, block_tables, 0).astype(ms.float32)
        rows = ops.reshape(pages, (pages.shape[0], -1, KV_HEADS, SIZE))
        return ops.transpose(rows, (0, 2, 1, 3))


def plain_attention(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """query [N, D], keys and values [L, NKV, D] -> [N, D]."""
    keys, values = (np.repeat(x, HEADS // KV_HEADS, 1).astype(np.float32) for x in (keys, values))
    scores = np.einsum("nd,lnd->nl", query, keys) * SIZE**-0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("nl,lnd->nd", weights / weights.sum(-1, keepdims=True), values)


def main() -> None:
    rng = np.random.default_rng(0)
    sizes = {"num_layers": 1, "num_blocks": 8, "block_size": BLOCK_SIZE, "num_kv_heads": KV_HEADS, "head_size": SIZE}
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        cache = PagedKVCache(**sizes, dtype=ms.float16)
        rows = {
            name: rng.standard_normal((2, count, KV_HEADS, SIZE)).astype(np.float16) for name, count in LENGTHS.items()
        }
        for part in range(2):  # the prompts arrive in two parts, so blocks of the two sequences alternate
            for name, count in LENGTHS.items():
                start, stop = part * (count // 2), (count - 1) if part else count // 2
                (cache.append if part else cache.allocate)(name, stop - start)
                key, value = rows[name][:, start:stop]
                cache.write(0, Tensor(key), Tensor(value), cache.slot_mapping([name], [stop - start]))

        for name in LENGTHS:
            cache.append(name)
        names = list(LENGTHS)
        query = rng.standard_normal((len(names), HEADS, SIZE)).astype(np.float32)
        newest = np.stack([rows[name][:, -1] for name in names], 1)  # [2, B, NKV, D]
        result = PagedAttention(cache.key_caches[0], cache.value_caches[0])(
            Tensor(query),
            *(Tensor(array) for array in newest),
            cache.slot_mapping(names, [1] * len(names)),
            cache.block_tables(names, padding=0),
            cache.seq_lens(names),
        ).asnumpy()
        print("graph" if mode == ms.GRAPH_MODE else "pynative")
        for row, name in enumerate(names):
            gap = np.abs(result[row] - plain_attention(query[row], *rows[name])).max()
            print(f"  {name}: blocks {cache.block_table(name)}, differs from plain attention by {gap:.1e} at most")
            assert gap < 1e-5


if __name__ == "__main__":
    main()
