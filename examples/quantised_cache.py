"""How exact is attention over an int8 or float8 cache? One fused write quantises, one fused gather dequantises.

``quant_scatter_pa_kv_cache`` computes a scale for each token and head, and writes codes of 8 bits;
``npu_gather_pa_kv_cache`` reads them back as float16. Such a cache takes half the memory of a float16 one, and 4 bytes of
scale for each token and head. The example prints the relative error of attention's output, compared with a float16
cache, for int8, float8_e4m3fn and float8_e5m2.

    python examples/quantised_cache.py
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint

from ms_scatter_pa import npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache, quant_scatter_pa_kv_cache
from ms_scatter_pa.cache import make_cache

TOKENS, HEADS, SIZE, BLOCKS, BLOCK_SIZE = 200, 4, 64, 16, 16
CODES = ("int8", "float8_e4m3fn", "float8_e5m2")


def attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """query [N, D], keys and values [T, N, D] -> [N, D]."""
    scores = np.einsum("nd,tnd->nt", query, keys.astype(np.float32)) * SIZE**-0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("nt,tnd->nd", weights / weights.sum(-1, keepdims=True), values.astype(np.float32))


def main() -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((HEADS, SIZE)).astype(np.float32)
    key, value = (rng.standard_normal((TOKENS, HEADS, SIZE)).astype(np.float16) for _ in range(2))
    tables = Tensor(rng.permutation(BLOCKS)[None], ms.int32)
    slots = (tables.asnumpy()[0][:, None] * BLOCK_SIZE + np.arange(BLOCK_SIZE)).reshape(-1)[:TOKENS]
    slot_mapping, lengths = Tensor(slots, ms.int32), Tensor([TOKENS], ms.int32)
    sizes = {"num_blocks": BLOCKS, "block_size": BLOCK_SIZE, "num_head": HEADS, "head_size": SIZE}

    def read(caches: list, **scales: Tensor) -> list[np.ndarray]:
        rows = [mint.zeros((TOKENS, HEADS, SIZE), dtype=ms.float16) for _ in range(2)]
        npu_gather_pa_kv_cache(*caches, tables, lengths, *rows, cache_mode="Norm", **scales)
        return [tensor.asnumpy() for tensor in rows]

    caches = [make_cache("Norm", **sizes, dtype="float16") for _ in range(2)]
    npu_scatter_pa_kv_cache(Tensor(key), Tensor(value), *caches, slot_mapping, cache_mode="Norm")
    kept = read(caches)
    assert kept[0].tobytes() == key.tobytes()
    expected = attend(query, *kept)

    print(f"relative error of attention against a float16 cache, {TOKENS} tokens, {HEADS} heads of {SIZE}:")
    for code in CODES:
        caches = [make_cache("Norm", **sizes, dtype=code) for _ in range(2)]
        scales = {
            name: Tensor(np.zeros((BLOCKS, BLOCK_SIZE, HEADS), np.float32))
            for name in ("key_scale_cache", "value_scale_cache")
        }
        quant_scatter_pa_kv_cache(Tensor(key), Tensor(value), *caches, slot_mapping, cache_mode="Norm", **scales)
        got = attend(query, *read(caches, **scales))
        error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
        print(f"  {code:14s} {error:7.2%}")
        assert error < {"int8": 0.02, "float8_e4m3fn": 0.06, "float8_e5m2": 0.12}[code]


if __name__ == "__main__":
    main()
