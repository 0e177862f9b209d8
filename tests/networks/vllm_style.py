"""A decoder written as vLLM-MindSpore writes its models; nothing here knows of this package.

float16 norms, index_select for embeddings and rotary rows, lists of Tensors as caches, reads that depend on the write's
output, one jit for prefill and one for decode, or eager.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore.ops.auto_generate import PagedAttention, ReshapeAndCache
from mindspore.ops.operations.nn_ops import FlashAttentionScore

from .llm import Config, cos_sin

_context = {"is_prefill": True}


class Attention(nn.Cell):
    def __init__(self, config: Config, eager: bool):
        super().__init__()
        self.is_eager_mode = eager
        scale = float(config.size**-0.5)
        self.reshape_and_cache = ReshapeAndCache()
        self.flash_attention = FlashAttentionScore(
            head_num=config.heads,
            scale_value=scale,
            pre_tokens=2147483647,
            next_tokens=2147483647,
            input_layout="TH",
        )
        self.paged_attention = PagedAttention(head_num=config.heads, scale_value=scale, kv_head_num=config.kv_heads)

    def construct(self, query, key, value, key_cache, value_cache, slots, mask, valid_length, q_lens, tables):
        if self.is_eager_mode:
            key, value = key.contiguous(), value.contiguous()
        cache_out = self.reshape_and_cache(key, value, key_cache, value_cache, slots)
        query = ops.depend(query, cache_out)
        if _context["is_prefill"]:
            _, _, _, output = self.flash_attention(
                query, key, value, None, None, None, mask, None, valid_length, valid_length
            )
            return output
        return self.paged_attention(query, key_cache, value_cache, tables, valid_length, None, None, mask, q_lens)


class Layer(nn.Cell):
    def __init__(self, config: Config, weights, i, eager):
        super().__init__()
        self.widths = (config.heads * config.size, config.kv_heads * config.size, config.kv_heads * config.size)
        names = ("qkv", "out", "gate", "up", "down", "norm1", "norm2")
        self.qkv, self.out, self.gate, self.up, self.down, self.gamma1, self.gamma2 = (
            Parameter(Tensor(weights[f"{i}.{name}"]), name=f"{i}.{name}", requires_grad=False) for name in names
        )
        self.is_eager_mode = eager
        self.norm = ops.RmsNorm(config.epsilon)
        self.rotary = ops.ApplyRotaryPosEmb(2)
        self.attention = Attention(config, eager)
        self.freqs_cos, self.freqs_sin = (Tensor(table) for table in cos_sin(config))

    def construct(self, hidden, positions, key_cache, value_cache, slots, mask, valid_length, q_lens, tables):
        qkv = mint.matmul(self.norm(hidden, self.gamma1)[0], self.qkv.T)
        query, key, value = mint.split(qkv, self.widths, -1)
        if self.is_eager_mode:
            query, key = query.contiguous(), key.contiguous()
        if _context["is_prefill"]:
            query, key = self.rotary(query, key, self.freqs_cos, self.freqs_sin, valid_length)
        else:
            cos = mint.index_select(self.freqs_cos, 0, positions)
            sin = mint.index_select(self.freqs_sin, 0, positions)
            query, key = self.rotary(query, key, cos, sin, valid_length)
        context = self.attention(query, key, value, key_cache, value_cache, slots, mask, valid_length, q_lens, tables)
        hidden = hidden + mint.matmul(context, self.out.T)
        x = self.norm(hidden, self.gamma2)[0]
        gated = mint.nn.functional.silu(mint.matmul(x, self.gate.T)) * mint.matmul(x, self.up.T)
        return hidden + mint.matmul(gated, self.down.T)


class Model(nn.Cell):
    def __init__(self, config: Config, weights, eager):
        super().__init__()
        self.embedding = Parameter(Tensor(weights["embedding"]), name="embedding", requires_grad=False)
        self.head = Parameter(Tensor(weights["head"]), name="head", requires_grad=False)
        self.gamma = Parameter(Tensor(weights["norm"]), name="gamma", requires_grad=False)
        self.norm = ops.RmsNorm(config.epsilon)
        self.layers = nn.CellList([Layer(config, weights, i, eager) for i in range(config.layers)])

    def construct(self, input_ids, positions, key_caches, value_caches, slots, mask, valid_length, q_lens, tables):
        hidden = mint.index_select(self.embedding, 0, input_ids)
        for i in range(len(self.layers)):
            hidden = self.layers[i](
                hidden, positions, key_caches[i], value_caches[i], slots, mask, valid_length, q_lens, tables
            )
        return mint.matmul(self.norm(hidden, self.gamma)[0], self.head.T)


class Server:
    """Runs steps as vLLM-MindSpore's model runner does."""

    def __init__(self, config: Config, weights, *, eager: bool, dynamic: bool = False):
        self.net = Model(config, weights, eager)
        shape = (config.num_blocks, config.block_size, config.kv_heads, config.size)
        self.caches = [[mint.zeros(shape, dtype=ms.float16) for _ in range(config.layers)] for _ in range(2)]
        self.triangle = Tensor(np.triu(np.ones((128, 128)), 1).astype(np.float16) * np.float16(-10000))
        self.rows = Tensor(np.triu(np.ones((config.max_positions,) * 2, np.int8), 1).astype(np.float16) * -10000)
        self.none = mint.zeros((1, 1), dtype=ms.float16)
        self.eager, self.dynamic = eager, dynamic
        self.compiled = {}

    def run(self, prefill: bool):
        if self.eager:
            return self.net
        if prefill not in self.compiled:
            if self.dynamic:
                self.net.phase = "prefill" if prefill else "increment"
                vector, matrix = Tensor(shape=[None], dtype=ms.int32), Tensor(shape=[None, None], dtype=ms.int32)
                half = Tensor(shape=[None, None], dtype=ms.float16)
                cache = [Tensor(shape=[None, *x.shape[1:]], dtype=ms.float16) for x in self.caches[0]]
                caches = [ms.mutable(list(cache)) for _ in range(2)]
                self.net.set_inputs(vector, vector, *caches, vector, half, vector, vector, matrix)
            self.compiled[prefill] = ms.jit(function=self.net, jit_level="O0")
        return self.compiled[prefill]

    def step(self, step, *, prefill: bool):
        _context["is_prefill"] = prefill
        if self.dynamic:
            self.net.phase = "prefill" if prefill else "increment"
        mask = self.triangle if prefill else self.none
        if not prefill and step.q_seq_lens.max() > 1:
            mask = mint.index_select(self.rows, 0, Tensor(step.positions))
        caches = [ms.mutable(side) for side in self.caches]
        hidden = self.run(prefill)(
            Tensor(step.input_ids),
            Tensor(step.positions),
            *caches,
            Tensor(step.slot_mapping),
            mask,
            Tensor(step.context_lens),
            Tensor(step.q_seq_lens),
            Tensor(step.block_tables),
        )
        last = np.cumsum(step.q_seq_lens) - 1
        return hidden.asnumpy()[last].astype(np.float32)
