"""The graph example of torch_npu's document: a network that writes the caches which it is given, compiled once.

The network returns nothing that depends on the write, and takes any number of tokens.
"""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_scatter_pa import npu_scatter_pa_kv_cache

bs = 16
num_head = 4
k_head_size = 32
v_head_size = 64
num_blocks = 2
last_dim_k = 16
block_size = 32


class Model(nn.Cell):  # type: ignore[misc]
    def construct(self, key: Any, value: Any, slot_mapping: Any, key_cache: Any, value_cache: Any) -> None:
        npu_scatter_pa_kv_cache(key, value, key_cache, value_cache, slot_mapping)


def rows_of(cache: Any) -> np.ndarray:
    """PA_NZ [num_blocks, channels/16, block_size, 16] as [slots, channels]."""
    array: np.ndarray = cache.asnumpy().transpose(0, 2, 1, 3).reshape(num_blocks * block_size, -1)
    return array


def main() -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    key_cache = Tensor(np.zeros((num_blocks, num_head * k_head_size // last_dim_k, block_size, last_dim_k), np.float16))
    value_cache = Tensor(
        np.zeros((num_blocks, num_head * v_head_size // last_dim_k, block_size, last_dim_k), np.float16)
    )
    model = Model()
    model.set_inputs(
        Tensor(shape=[None, num_head, k_head_size], dtype=ms.float16),
        Tensor(shape=[None, num_head, v_head_size], dtype=ms.float16),
        Tensor(shape=[None], dtype=ms.int32),
        key_cache,
        value_cache,
    )
    for tokens in (bs, 1, 3):
        key = rng.standard_normal((tokens, num_head, k_head_size)).astype(np.float16)
        value = rng.standard_normal((tokens, num_head, v_head_size)).astype(np.float16)
        slot_mapping = rng.choice(num_blocks * block_size, tokens, replace=False).astype(np.int32)
        model(Tensor(key), Tensor(value), Tensor(slot_mapping), key_cache, value_cache)
        assert np.array_equal(rows_of(key_cache)[slot_mapping], key.reshape(tokens, -1))
        assert np.array_equal(rows_of(value_cache)[slot_mapping], value.reshape(tokens, -1))
        print(f"{tokens} tokens written to slots {slot_mapping.tolist()}")
    ms.set_context(mode=ms.PYNATIVE_MODE)


if __name__ == "__main__":
    main()
