"""How does chunked prefill use a cached prefix? The gather brings the prefix's rows back, and the chunk attends to all rows.

A prompt is computed in chunks. Each chunk writes its own K and V rows. Then ``npu_gather_pa_kv_cache`` reads the rows of
the whole prompt so far into one array, whichever pages they lie in, and plain attention runs over it. A second prompt
begins like the first one: it shares the pages of that beginning (``fork``), and computes only what follows. K and V
come back bit for bit, so attention gives what it gives without a cache, but for the order of its sums.

    python examples/prefix_gather.py
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint

from ms_scatter_pa import PagedKVCache, npu_gather_pa_kv_cache

TOKENS, PREFIX, CHUNK, HEADS, SIZE, BLOCK_SIZE = 40, 24, 16, 2, 16, 8


def attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The last queries of a sequence [T, N, D] over all its keys and values [S, N, D], each up to itself."""
    scores = np.einsum("tnd,snd->nts", query, keys) * SIZE**-0.5
    behind = np.arange(len(keys))[None] > np.arange(len(keys) - len(query), len(keys))[:, None]
    scores = np.where(behind[None], -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("nts,snd->tnd", weights / weights.sum(-1, keepdims=True), values)


def main() -> None:
    rng = np.random.default_rng(0)
    query, key, value = (rng.standard_normal((TOKENS, HEADS, SIZE)).astype(np.float32) for _ in range(3))
    other = [rng.standard_normal((TOKENS, HEADS, SIZE)).astype(np.float32) for _ in range(3)]
    for array, first in zip(other, (query, key, value), strict=True):
        array[:PREFIX] = first[:PREFIX]  # the second prompt begins like the first
    cache = PagedKVCache(
        num_layers=1, num_blocks=16, block_size=BLOCK_SIZE, num_kv_heads=HEADS, head_size=SIZE, dtype="float32"
    )

    def prefill(name: str, rows: list[np.ndarray], begin: int) -> np.ndarray:
        """Attention's output for the tokens from ``begin`` on, chunk by chunk; the rows before are in the cache."""
        outputs = []
        for start in range(begin, TOKENS, CHUNK):
            end = min(start + CHUNK, TOKENS)
            cache.append(name, end - start)
            slots = cache.slot_mapping([name], [end - start])
            cache.write(0, Tensor(rows[1][start:end]), Tensor(rows[2][start:end]), slots)
            keys, values = (mint.zeros((end, HEADS, SIZE), dtype=ms.float32) for _ in range(2))
            npu_gather_pa_kv_cache(
                cache.key_caches[0],
                cache.value_caches[0],
                cache.block_tables([name]),
                cache.seq_lens([name]),
                keys,
                values,
                cache_mode="Norm",
            )
            assert keys.asnumpy().tobytes() == rows[1][:end].tobytes()
            assert values.asnumpy().tobytes() == rows[2][:end].tobytes()
            outputs.append(attend(rows[0][start:end], keys.asnumpy(), values.asnumpy()))
        return np.concatenate(outputs)

    cache.allocate("first", 0)
    first = prefill("first", [query, key, value], 0)
    cache.fork("first", "second", num_tokens=PREFIX)  # whole blocks: nothing will be copied
    second = prefill("second", other, PREFIX)
    shared = [b for b in cache.block_table("second") if cache.ref_count(b) > 1]

    gap = np.abs(first - attend(query, key, value)).max()
    gap_of_second = np.abs(second - attend(*other)[PREFIX:]).max()
    print(f"{TOKENS} tokens in chunks of {CHUNK}: attention differs from attention without a cache by {gap:.1e}")
    print(
        f"a second prompt reuses {len(shared)} blocks and computes {TOKENS - PREFIX} tokens: it differs by {gap_of_second:.1e}"
    )
    assert gap < 1e-5 and gap_of_second < 1e-5 and len(shared) == PREFIX // BLOCK_SIZE


if __name__ == "__main__":
    main()
