"""What do Alibi, Rope and Omni compression keep, and what does it cost? Heads keep different numbers of rows.

In scenario 3 every (sequence, head) pair has pages of its own, and lengths of its own: heads that look far back keep
all rows, others the last ones (Alibi), or all but a middle part, which becomes its mean (Rope) or is left out (Omni).
Here two of four heads look at the last few tokens only. Compression of just those two takes 40% off the cache and
hardly changes what attention gives; compression of the others, for comparison, does.

    python examples/kv_compression.py
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ms_scatter_pa import npu_scatter_pa_kv_cache
from ms_scatter_pa.cache import make_cache, read_rows

TOKENS, HEADS, SIZE, BLOCK_SIZE = 64, 4, 16, 8
LOCAL = np.array([True, True, False, False])  # heads that look at the last tokens only
KEPT, FIRST = 12, 4  # rows that a compressed head keeps at its end, and at its beginning (Rope, Omni)


def rows_written(mode: str, compressed: np.ndarray) -> np.ndarray:
    """How many rows each head has in the cache."""
    short = {"Alibi": KEPT, "Rope": FIRST + 1 + KEPT, "Omni": FIRST + KEPT}[mode]
    return np.where(compressed, short, TOKENS)


def compress(mode: str, compressed: np.ndarray, key: np.ndarray, value: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Writes one sequence's prompt, key and value [S, N, D], and gives each head's rows, two of [rows, D], back."""
    written = rows_written(mode, compressed)
    blocks = -(-written // BLOCK_SIZE)
    first_slots = (np.cumsum(blocks) - blocks) * BLOCK_SIZE  # every head starts on a block of its own
    shape = {"num_blocks": int(blocks.sum()), "block_size": BLOCK_SIZE, "num_head": 1, "head_size": SIZE}
    caches = [make_cache("Norm", **shape, dtype=ms.float16, name=name) for name in ("key_cache", "value_cache")]
    dropped = TOKENS - FIRST - KEPT
    lengths, offsets = np.where(compressed, KEPT, TOKENS), None  # Alibi: rows kept, the last ones
    if mode != "Alibi":  # Rope and Omni: rows that become one mean row, or none, and where they begin (-1: nowhere)
        lengths = np.where(compressed, dropped, 0)
        offsets = Tensor(np.where(compressed, FIRST, -1).astype(np.int32))
    npu_scatter_pa_kv_cache(
        Tensor(key[None]),
        Tensor(value[None]),
        *caches,
        Tensor(first_slots[None].astype(np.int32)),
        compress_lens=Tensor(lengths[None].astype(np.int32)),
        compress_seq_offsets=offsets,
        seq_lens=Tensor(np.array([TOKENS], np.int32)),
        scatter_mode=mode,
    )
    places = [np.arange(start, start + count) for start, count in zip(first_slots, written, strict=True)]
    return [tuple(read_rows(cache, slots, "Norm")[:, 0] for cache in caches) for slots in places]


def attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """query [D], keys and values [L, D] -> [D]."""
    scores = keys.astype(np.float32) @ query * SIZE**-0.5
    weights = np.exp(scores - scores.max())
    return weights @ values.astype(np.float32) / weights.sum()


def main() -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((HEADS, SIZE)).astype(np.float32)
    query *= 4.0 / np.linalg.norm(query, axis=-1, keepdims=True)
    key, value = (rng.standard_normal((TOKENS, HEADS, SIZE)) * 0.3 for _ in range(2))
    # What a head looks at: keys that point the way its query does.
    looks_at = np.where(LOCAL, np.arange(TOKENS)[:, None] >= TOKENS - 6, np.arange(TOKENS)[:, None] % 5 == 2)
    key += looks_at[..., None] * query * 2.0
    key, value = key.astype(np.float16), value.astype(np.float16)
    whole = np.stack([attend(query[h], key[:, h], value[:, h]) for h in range(HEADS)])
    size = np.abs(whole).mean()

    print(f"{TOKENS} tokens, {HEADS} heads; error: mean |difference| to attention over all rows, against its mean size")
    print(f"{'mode':6} {'compressed heads':18} {'rows kept':>9} {'cache':>6} {'error':>6}")
    errors = {}
    for mode in ("Alibi", "Rope", "Omni"):
        for who, compressed in (("none", LOCAL & False), ("the local ones", LOCAL), ("the others", ~LOCAL)):
            heads = compress(mode, compressed, key, value)
            result = np.stack([attend(query[h], *heads[h]) for h in range(HEADS)])
            error = errors[mode, who] = float(np.abs(result - whole).mean() / size)
            rows = sum(len(keys) for keys, _ in heads)
            print(f"{mode:6} {who:18} {rows:5}/{TOKENS * HEADS} {rows / TOKENS / HEADS:6.0%} {error:6.1%}")
        assert errors[mode, "none"] < 1e-6 and errors[mode, "the local ones"] < 0.5 * errors[mode, "the others"]


if __name__ == "__main__":
    main()
