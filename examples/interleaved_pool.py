"""K and V blocks interleaved in one pool, as vLLM and FlashInfer hold them: views in PyNative, the whole pool in a graph.

The pool of a layer is [2*num_blocks, block_size, num_head, head_size]: block 2b is K's block b, block 2b + 1 V's.
"""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ms_scatter_pa import (
    PagedKVCache,
    interleaved_slot_mapping,
    interleaved_status,
    npu_scatter_pa_kv_cache,
    read_status,
)

num_blocks, block_size, num_head, head_size = 16, 4, 2, 32


class Layer(nn.Cell):  # type: ignore[misc]
    """Writes a pool in a graph, which takes no views, and reads it after both writes."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = pool

    def construct(self, key: Any, value: Any, slot_mapping: Any, blocks: Any) -> Any:
        slots = [interleaved_slot_mapping(slot_mapping, block_size, part) for part in (0, 1)]
        modes = {"cache_mode": "Norm", "on_error": "record"}
        status = npu_scatter_pa_kv_cache(key, None, self.pool, None, slots[0], **modes)
        pool = ops.depend(self.pool, status)
        second = npu_scatter_pa_kv_cache(value, None, pool, None, slots[1], **modes)
        pages = ops.gather(ops.depend(self.pool, second), blocks, 0)  # a copy of a few blocks, made after the writes
        return status, pages


def main() -> None:
    cache = PagedKVCache(
        num_layers=1,
        num_blocks=num_blocks,
        block_size=block_size,
        num_kv_heads=num_head,
        head_size=head_size,
        dtype="float16",
        interleaved=True,
    )
    rng = np.random.default_rng(0)

    def rows(tokens: int) -> Any:
        return Tensor(rng.standard_normal((tokens, num_head, head_size)).astype(np.float16))

    # PyNative: prefill into the views. Copy-on-write, swap and read work on the pool too.
    cache.allocate("prompt", 6)
    key, value = rows(6), rows(6)
    cache.write(0, key, value, cache.slot_mapping(["prompt"], [6]))
    pool = cache.kv_pools[0].asnumpy().reshape(num_blocks, 2, block_size, num_head, head_size)
    assert (pool[0, 0] == key.asnumpy()[:4]).all() and (pool[0, 1] == value.asnumpy()[:4]).all()
    print("PyNative: K and V of 6 tokens lie block by block in one pool")

    # A graph: the next token, into the whole pool.
    ms.set_context(mode=ms.GRAPH_MODE)
    layer = Layer(cache.kv_pools[0])
    cache.append("prompt")
    slot_mapping = cache.slot_mapping(["prompt"], [1])
    next_key, next_value = rows(1), rows(1)
    block = int(slot_mapping.asnumpy()[0]) // block_size
    status, pages = layer(next_key, next_value, slot_mapping, Tensor([2 * block, 2 * block + 1]))
    assert read_status(status) == "written"
    assert (pages.asnumpy()[:, 6 % block_size] == [next_key.asnumpy()[0], next_value.asnumpy()[0]]).all()

    # A bad slot is told in the caller's terms.
    status, _ = layer(next_key, next_value, Tensor(np.array([70], np.int32)), Tensor([0, 1]))
    sentence = read_status(interleaved_status(status, block_size))
    assert sentence.startswith("IndexError: slot_mapping[0] = 70 is outside the cache") and " = 64" in sentence
    print(f"graph: {sentence}")
    ms.set_context(mode=ms.PYNATIVE_MODE)

    read_key, read_value = cache.read("prompt", 0)
    assert (read_key == np.concatenate([key.asnumpy(), next_key.asnumpy()])).all()
    assert (read_value == np.concatenate([value.asnumpy(), next_value.asnumpy()])).all()
    print("both modes wrote one sequence of 7 tokens")


if __name__ == "__main__":
    main()
