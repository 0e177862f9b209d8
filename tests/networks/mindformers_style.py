"""A decoder written as MindFormers writes its inference networks; nothing here knows of this package.

One Cell with prefill and decode by a flag, norms in float32, lengths moved to the host, the write's output unused,
Parameters as caches.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore.ops import operations as P
from mindspore.ops.operations.nn_ops import FlashAttentionScore

from .llm import Config, cos_sin


class RMSNorm(nn.Cell):
    def __init__(self, weight, epsilon):
        super().__init__()
        self.weight = Parameter(Tensor(weight.astype(np.float32)), requires_grad=False)
        self.cast = P.Cast()
        self.norm = P.RmsNorm(epsilon)

    def construct(self, x):
        return self.cast(self.norm(self.cast(x, ms.float32), self.weight)[0], x.dtype)


class Linear(nn.Cell):
    def __init__(self, weight):
        super().__init__()
        self.weight = Parameter(Tensor(weight), requires_grad=False)
        self.matmul = P.MatMul(transpose_b=True)

    def construct(self, x):
        return self.matmul(x, self.weight)


class FlashAttention(nn.Cell):
    def __init__(self, config: Config):
        super().__init__()
        self.is_prefill = True
        self.reshape_and_cache = ops.auto_generate.ReshapeAndCache()
        scale = config.size**-0.5
        self.flash_attention = FlashAttentionScore(
            head_num=config.heads,
            keep_prob=1.0,
            scale_value=scale,
            pre_tokens=2147483647,
            next_tokens=0,
            inner_precise=0,
            input_layout="TH",
            sparse_mode=0,
        )
        self.paged_attention = ops.auto_generate.PagedAttention(config.heads, scale, config.kv_heads, mla_v_dim=0)

    def construct(self, query, key, value, slots, tables, valid_length, q_lens, mask, key_cache, value_cache):
        self.reshape_and_cache(key, value, key_cache, value_cache, slots)
        if self.is_prefill:
            _, _, _, context = self.flash_attention(
                query, key, value, None, None, None, mask, None, q_lens, valid_length
            )
        else:
            context = self.paged_attention(
                query, key_cache, value_cache, tables, valid_length, None, None, mask, q_lens
            )
        return context


class Layer(nn.Cell):
    def __init__(self, config: Config, weights, i):
        super().__init__()
        self.q_width, self.kv_width = config.heads * config.size, config.kv_heads * config.size
        shape = (config.num_blocks, config.block_size, config.kv_heads, config.size)
        self.key_cache = Parameter(mint.zeros(shape, dtype=ms.float16), requires_grad=False)
        self.value_cache = Parameter(mint.zeros(shape, dtype=ms.float16), requires_grad=False)
        self.norm1, self.norm2 = (RMSNorm(weights[f"{i}.norm{n}"], config.epsilon) for n in (1, 2))
        self.qkv, self.out, self.gate, self.up, self.down = (
            Linear(weights[f"{i}.{name}"]) for name in ("qkv", "out", "gate", "up", "down")
        )
        self.rotary = ops.ApplyRotaryPosEmb(2)
        self.core_attention = FlashAttention(config)

    def construct(self, hidden, cos, sin, slots, tables, valid_length, q_lens, mask):
        qkv = self.qkv(self.norm1(hidden))
        query, key, value = mint.split(qkv, (self.q_width, self.kv_width, self.kv_width), dim=-1)
        query, key = self.rotary(query, key, cos, sin, valid_length)
        context = self.core_attention(
            query, key, value, slots, tables, valid_length, q_lens, mask, self.key_cache, self.value_cache
        )
        hidden = mint.add(hidden, self.out(context))
        x = self.norm2(hidden)
        return mint.add(hidden, self.down(mint.mul(mint.nn.functional.silu(self.gate(x)), self.up(x))))


class Model(nn.Cell):
    def __init__(self, config: Config, weights):
        super().__init__()
        self.is_prefill = True
        self.is_pynative = ms.get_context("mode") == ms.PYNATIVE_MODE
        self.embedding = Parameter(Tensor(weights["embedding"]), requires_grad=False)
        self.gather = P.Gather()
        self.depend = P.Depend()
        self.layers = nn.CellList([Layer(config, weights, i) for i in range(config.layers)])
        self.norm = RMSNorm(weights["norm"], config.epsilon)
        self.head = Linear(weights["head"])
        self.cos_cache, self.sin_cache = (Tensor(table) for table in cos_sin(config))

    def construct(self, input_ids, positions, slots, tables, valid_length, q_lens, mask):
        if self.is_prefill:
            cos, sin = self.cos_cache, self.sin_cache
        else:
            cos, sin = self.gather(self.cos_cache, positions, 0), self.gather(self.sin_cache, positions, 0)
        if self.is_pynative:
            valid_cpu, q_cpu = valid_length.to("CPU"), q_lens.to("CPU")
        else:
            valid_cpu, q_cpu = ops.move_to(valid_length, "CPU"), ops.move_to(q_lens, "CPU")
        input_ids = self.depend(input_ids, valid_cpu)
        input_ids = self.depend(input_ids, q_cpu)
        hidden = self.gather(self.embedding, input_ids, 0)
        for layer in self.layers:
            hidden = layer(hidden, cos, sin, slots, tables, valid_length, q_lens, mask)
        last = mint.sub(mint.cumsum(q_lens, 0), 1)
        hidden = self.gather(self.norm(hidden), last, 0)
        return self.head(hidden).astype(ms.float32)


class Server:
    """Runs steps as MindFormers' generator does: a flag and a phase for each graph."""

    def __init__(self, config: Config, weights, *, dynamic: bool):
        self.net = Model(config, weights)
        self.net.set_train(False)
        self.triangle = Tensor(np.triu(np.ones((128, 128)), 1).astype(np.float16) * np.float16(-10000))
        self.rows = Tensor(np.triu(np.ones((config.max_positions,) * 2), 1).astype(np.float16) * np.float16(-10000))
        self.none = Tensor(np.zeros((1, 1), np.float16))
        if dynamic:
            vector = Tensor(shape=[None], dtype=ms.int32)
            matrix = Tensor(shape=[None, None], dtype=ms.int32)
            mask = Tensor(shape=[None, None], dtype=ms.float16)
            self.net.set_inputs(vector, vector, vector, matrix, vector, vector, mask)

    def step(self, step, *, prefill: bool):
        for _, cell in self.net.cells_and_names():
            if hasattr(cell, "is_prefill"):
                cell.is_prefill = prefill
                cell.add_flags(is_prefill=prefill)
        self.net.phase = "prefill" if prefill else "increment"
        mask = self.triangle if prefill else self.none
        if not prefill and step.q_seq_lens.max() > 1:
            mask = Tensor(self.rows.asnumpy()[step.positions])
        arguments = (step.input_ids, step.positions, step.slot_mapping, step.block_tables, step.context_lens)
        logits = self.net(*map(Tensor, arguments), Tensor(step.q_seq_lens), mask)
        return logits.asnumpy()
