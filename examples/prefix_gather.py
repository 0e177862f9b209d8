"""How does chunked prefill use a cached prefix? Its rows are gathered from the pages, and the chunk attends to all.

A prompt is read in chunks. Each chunk writes its own K and V rows, then ``npu_gather_pa_kv_cache`` brings the rows of
the whole prompt so far back as one array, whichever pages they lie in, and plain attention runs over it. The prefix
is kept as a sequence of its own, too, whose pages a second prompt that begins alike shares (``fork``). K and V come back
bit for bit; attention over them is that without a cache.

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
        array[:PREFIX] = first[:PREFIX]  # the second prompt begins alike
    cache = PagedKVCache(
        num_layers=1, num_blocks=16, block_size=BLOCK_SIZE, num_kv_heads=HEADS, head_size=SIZE, dtype="float32"
    )

    def prefill(name: str, rows: list[np.ndarray], begin: int) -> np.ndarray:
        """Reads the prompt from token ``begin`` on, chunk by chunk; what is before it is in the cache."""
        outputs = []
        for start in range(begin, TOKENS, CHUNK):
            end = min(start + CHUNK, TOKENS)
            if cache.num_tokens(name) < end:
                cache.append(name, end - cache.num_tokens(name))
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

    cache.allocate("first", 1)
    first = prefill("first", [query, key, value], 0)
    cache.allocate("prefix", PREFIX)
    prefix_slots = cache.slot_mapping(["prefix"], [PREFIX])
    cache.write(0, Tensor(key[:PREFIX]), Tensor(value[:PREFIX]), prefix_slots)
    cache.fork("prefix", "second")
    second = prefill("second", other, PREFIX)
    shared = [b for b in cache.block_table("second") if cache.ref_count(b) > 1]

    gap = np.abs(first - attend(query, key, value)).max()
    gap_of_second = np.abs(second - attend(*other)[PREFIX:]).max()
    print(f"{TOKENS} tokens in chunks of {CHUNK}: attention differs from attention without a cache by {gap:.1e}")
    print(
        f"a second prompt reuses {len(shared)} blocks and reads {TOKENS - PREFIX} tokens: it differs by {gap_of_second:.1e}"
    )
    assert gap < 1e-5 and gap_of_second < 1e-5 and len(shared) == PREFIX // BLOCK_SIZE


if __name__ == "__main__":
    main()
