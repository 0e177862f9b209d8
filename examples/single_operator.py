"""The single-operator example of torch_npu's document, in PyNative: 16 tokens into a PA_NZ cache."""

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ms_scatter_pa import npu_scatter_pa_kv_cache

bs = 16
num_head = 4
k_head_size = 32
v_head_size = 64
num_blocks = 2
last_dim_k = 16
block_size = 32


def main() -> None:
    ms.set_context(mode=ms.PYNATIVE_MODE)
    rng = np.random.default_rng(0)
    key = rng.standard_normal((bs, num_head, k_head_size)).astype(np.float16)
    value = rng.standard_normal((bs, num_head, v_head_size)).astype(np.float16)
    key_cache = Tensor(np.zeros((num_blocks, num_head * k_head_size // last_dim_k, block_size, last_dim_k), np.float16))
    value_cache = Tensor(
        np.zeros((num_blocks, num_head * v_head_size // last_dim_k, block_size, last_dim_k), np.float16)
    )
    slot_mapping = rng.choice(num_blocks * block_size, bs, replace=False).astype(np.int32)

    npu_scatter_pa_kv_cache(Tensor(key), Tensor(value), key_cache, value_cache, Tensor(slot_mapping))

    for name, rows, cache in (("key", key, key_cache), ("value", value, value_cache)):
        # PA_NZ [num_blocks, channels/16, block_size, 16] -> [slots, channels]
        slots = cache.asnumpy().transpose(0, 2, 1, 3).reshape(num_blocks * block_size, -1)
        assert np.array_equal(slots[slot_mapping], rows.reshape(bs, -1))
        untouched = np.delete(slots, slot_mapping, axis=0)
        assert not untouched.any()
        print(f"{name}_cache {list(cache.shape)}: {bs} rows written, {len(untouched)} untouched")
    print(
        "token 0 went to slot",
        slot_mapping[0],
        "- its first channels:",
        key_cache.asnumpy().transpose(0, 2, 1, 3).reshape(num_blocks * block_size, -1)[slot_mapping[0], :4],
    )


if __name__ == "__main__":
    main()
