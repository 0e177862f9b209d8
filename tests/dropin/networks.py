"""Networks in the style of the public ones, on MindSpore's built-in primitive; nothing here knows of this package."""

import mindspore as ms
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore.ops.auto_generate import ReshapeAndCache


class PagedAttentionManager(nn.Cell):
    """As MindFormers' manager: owns a layer's caches and writes them at ``slot_mapping``."""

    def __init__(self, num_heads: int, head_dim: int, kv_shape: tuple[int, ...], compute_dtype=ms.float16):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.key_cache = Parameter(mint.zeros(kv_shape, dtype=compute_dtype), name="key_cache", requires_grad=False)
        self.value_cache = Parameter(mint.zeros(kv_shape, dtype=compute_dtype), name="value_cache", requires_grad=False)
        self.reshape_and_cache = ReshapeAndCache()

    def construct(self, key, value, slot_mapping):
        return self.reshape_and_cache(key, value, self.key_cache, self.value_cache, slot_mapping)

    def read(self, block_tables):
        """The rows behind the block tables, [B, max_blocks * block_size, N, D]."""
        pages = ops.gather(self.key_cache, block_tables, 0)
        return ops.reshape(pages, (block_tables.shape[0], -1, self.num_heads, self.head_dim))


class InferenceAttention(nn.Cell):
    """As MindFormers' inference attention: writes, then reads after ``depend`` on the write's output."""

    def __init__(self, num_heads: int, head_dim: int, kv_shape: tuple[int, ...]):
        super().__init__()
        self.paged_attention_mgr = PagedAttentionManager(num_heads, head_dim, kv_shape)
        self.depend = ops.Depend()

    def construct(self, query, key, value, slot_mapping, block_tables):
        key_out = self.paged_attention_mgr(key, value, slot_mapping)
        query = self.depend(query, key_out)
        keys = self.paged_attention_mgr.read(block_tables)
        return query, keys.astype(ms.float32)


class KeyOnlyManager(nn.Cell):
    """As the MLA managers: one cache that holds the compressed keys and values together."""

    def __init__(self, kv_shape: tuple[int, ...], compute_dtype=ms.float16):
        super().__init__()
        self.key_cache = Parameter(mint.zeros(kv_shape, dtype=compute_dtype), name="key_cache", requires_grad=False)
        self.reshape_and_cache = ReshapeAndCache()

    def construct(self, key, slot_mapping):
        return self.reshape_and_cache(key, None, self.key_cache, None, slot_mapping)


class AttentionLayer(nn.Cell):
    """As vLLM-MindSpore's attention: the caches are arguments of the network."""

    def __init__(self):
        super().__init__()
        self.reshape_and_cache = ReshapeAndCache()

    def construct(self, key: Tensor, value: Tensor, key_cache: Tensor, value_cache: Tensor, slot_mapping: Tensor):
        cache_out = self.reshape_and_cache(key, value, key_cache, value_cache, slot_mapping)
        return ops.depend(key, cache_out)


class Model(nn.Cell):
    """As vLLM-MindSpore's models: lists of caches, one for each layer."""

    def __init__(self, num_layers: int):
        super().__init__()
        self.num_layers = num_layers
        self.layers = nn.CellList([AttentionLayer() for _ in range(num_layers)])

    def construct(self, hidden, key_caches, value_caches, slot_mapping):
        for i in range(self.num_layers):
            hidden = self.layers[i](hidden, hidden + 1, key_caches[i], value_caches[i], slot_mapping) + 2
        return hidden
