"""A Llama-style decoder in MindSpore whose attention reads its keys and values back from pages.

RMSNorm, rotary embedding, grouped-query attention and SwiGLU. The same Cells run in PyNative and
in graph mode. Where a layer keeps its keys and values is the business of one Cell per layer, ``kv`` of ``Attention``.

Shapes: B batch rows, S tokens per row, T = B*S, N query heads, NKV key/value heads, D head_size, L = max_blocks *
block_size, the padded length that attention always runs over.
"""

from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import PagedKVCache, ScatterPaKvCache

from .byte_model import LAYER_WEIGHTS, ROPE_THETA, FloatArray, ModelConfig, Weights

NORM_EPSILON = 1e-5
# Finite, so that a padding row, which attends to nothing, gives a number that is thrown away and not a NaN.
MASKED_SCORE = -1e30


class PagedKV(nn.Cell):  # type: ignore[misc]
    """One layer of a ``PagedKVCache``: writes new rows with the operator, reads rows back through the block table."""

    def __init__(self, cache: PagedKVCache, layer: int, row: tuple[int, int]):
        super().__init__(auto_prefix=False)
        self.row = row  # num_kv_heads, head_size
        self.is_nz = cache.layout == "PA_NZ"
        self.key_cache = cache.key_caches[layer]
        self.value_cache = cache.value_caches[layer]
        self.scatter = ScatterPaKvCache(self.key_cache, self.value_cache, cache_mode=cache.layout)

    def construct(
        self, key: Tensor, value: Tensor, slot_mapping: Tensor, block_tables: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Writes key and value [T, NKV, D] to ``slot_mapping`` [T], then reads ``block_tables`` [B, max_blocks].

        Returns:
            All keys and values of every row, each [B, L, NKV, D] float32; places without a token hold anything finite.
        """
        # The Parameters order the reads below after this write, in graph mode too.
        self.scatter(key.astype(self.key_cache.dtype), value.astype(self.value_cache.dtype), slot_mapping)
        return self.read(self.key_cache, block_tables), self.read(self.value_cache, block_tables)

    def read(self, cache: Tensor, block_tables: Tensor) -> Tensor:
        """The rows of ``cache`` that ``block_tables`` lists, in order: [B, L, NKV, D] float32."""
        pages = ops.gather(cache, block_tables, 0)
        if self.is_nz:
            # [B, max_blocks, NKV*D/LD, block_size, LD] -> [B, max_blocks, block_size, NKV*D/LD, LD]
            pages = ops.transpose(pages, (0, 1, 3, 2, 4))
        return ops.reshape(pages, (pages.shape[0], -1, *self.row)).astype(ms.float32)


class Linear(nn.Cell):  # type: ignore[misc]
    """``x @ weight.T`` for a weight of [out, in], as checkpoints store it."""

    def __init__(self, weight: FloatArray, name: str):
        super().__init__()
        self.weight = Parameter(Tensor(weight), name=name, requires_grad=False)
        self.matmul = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        """[T, in] -> [T, out]."""
        return self.matmul(x, self.weight)


class RMSNorm(nn.Cell):  # type: ignore[misc]
    """Scales each row to a root mean square of one, then by ``weight`` [dim]."""

    def __init__(self, weight: FloatArray, name: str):
        super().__init__()
        self.weight = Parameter(Tensor(weight), name=name, requires_grad=False)
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x: Tensor) -> Tensor:
        """[T, dim] -> [T, dim]."""
        return self.weight * (x * ops.rsqrt(self.mean(x * x, -1) + NORM_EPSILON))


class Attention(nn.Cell):  # type: ignore[misc]
    """Grouped-query attention over what ``kv`` gives back.

    Args:
        config: the decoder's shape.
        weights: wq [dim, dim], wk and wv [NKV*D, dim], wo [dim, dim] of this layer.
        kv: Cell (key, value, slot_mapping, block_tables) -> keys, values; see ``PagedKV``.
        name: prefix of the Parameters' names.
    """

    def __init__(self, config: ModelConfig, weights: Weights, kv: nn.Cell, name: str):
        super().__init__()
        self.heads = config.n_heads
        self.kv_heads = config.n_kv_heads
        self.group = config.n_heads // config.n_kv_heads
        self.head_size = config.head_size
        self.scale = float(config.head_size) ** -0.5
        self.wq = Linear(weights["wq"], f"{name}.wq")
        self.wk = Linear(weights["wk"], f"{name}.wk")
        self.wv = Linear(weights["wv"], f"{name}.wv")
        self.wo = Linear(weights["wo"], f"{name}.wo")
        self.kv = kv
        self.swap = neighbours(config.head_size)
        self.query_key = ops.BatchMatMul(transpose_b=True)
        self.weigh_values = ops.BatchMatMul()
        self.softmax = ops.Softmax(axis=-1)

    def construct(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        visible: Tensor,
        slot_mapping: Tensor,
        block_tables: Tensor,
    ) -> Tensor:
        """x [T, dim], cos and sin [T, 1, D], visible bool [B, S, L] -> [T, dim]."""
        query = rotate(ops.reshape(self.wq(x), (-1, self.heads, self.head_size)), cos, sin, self.swap)
        key = rotate(ops.reshape(self.wk(x), (-1, self.kv_heads, self.head_size)), cos, sin, self.swap)
        value = ops.reshape(self.wv(x), (-1, self.kv_heads, self.head_size))
        keys, values = self.kv(key, value, slot_mapping, block_tables)
        return self.wo(self.attend(query, keys, values, visible))

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        """query [T, N, D], keys and values [B, L, NKV, D], visible bool [B, S, L] -> [T, N*D]; all float32."""
        batch, steps, length = visible.shape
        # Query heads that share a key head become extra rows of one matrix product.
        query = ops.reshape(query, (batch, steps, self.kv_heads, self.group, self.head_size))
        query = ops.reshape(ops.transpose(query, (0, 2, 3, 1, 4)), (batch, self.kv_heads, -1, self.head_size))
        scores = self.query_key(query, ops.transpose(keys, (0, 2, 1, 3))) * self.scale
        scores = ops.reshape(scores, (batch, self.kv_heads, self.group, steps, length))
        scores = ops.masked_fill(
            scores, ops.logical_not(ops.reshape(visible, (batch, 1, 1, steps, length))), MASKED_SCORE
        )
        scores = ops.reshape(self.softmax(scores), (batch, self.kv_heads, -1, length))
        mixed = self.weigh_values(scores, ops.transpose(values, (0, 2, 1, 3)))
        mixed = ops.reshape(mixed, (batch, self.kv_heads, self.group, steps, self.head_size))
        return ops.reshape(ops.transpose(mixed, (0, 3, 1, 2, 4)), (batch * steps, self.heads * self.head_size))


class FeedForward(nn.Cell):  # type: ignore[misc]
    """SwiGLU: ``w2(silu(w1 x) * w3 x)``; w1 and w3 [hidden, dim], w2 [dim, hidden]."""

    def __init__(self, weights: Weights, name: str):
        super().__init__()
        self.w1 = Linear(weights["w1"], f"{name}.w1")
        self.w2 = Linear(weights["w2"], f"{name}.w2")
        self.w3 = Linear(weights["w3"], f"{name}.w3")

    def construct(self, x: Tensor) -> Tensor:
        """[T, dim] -> [T, dim]."""
        gate = self.w1(x)
        return self.w2(gate * ops.sigmoid(gate) * self.w3(x))


class DecoderLayer(nn.Cell):  # type: ignore[misc]
    """One layer: attention and feed-forward, each on a normalised input and added to the residual."""

    def __init__(self, config: ModelConfig, weights: Weights, kv: nn.Cell, name: str):
        super().__init__()
        self.attention_norm = RMSNorm(weights["rms_att"], f"{name}.rms_att")
        self.attention = Attention(config, weights, kv, name)
        self.feed_forward_norm = RMSNorm(weights["rms_ffn"], f"{name}.rms_ffn")
        self.feed_forward = FeedForward(weights, name)

    def construct(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        visible: Tensor,
        slot_mapping: Tensor,
        block_tables: Tensor,
    ) -> Tensor:
        """As ``Attention``."""
        x = x + self.attention(self.attention_norm(x), cos, sin, visible, slot_mapping, block_tables)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Decoder(nn.Cell):  # type: ignore[misc]
    """The whole decoder: tokens in, logits of one position per batch row out.

    Args:
        config: the decoder's shape.
        weights: as ``byte_model.read_model`` gives them.
        make_kv: called once per layer with the prefix for Parameter names; gives that layer's ``kv`` Cell.
        max_length: L, the length that the ``kv`` Cells give back.
    """

    def __init__(self, config: ModelConfig, weights: Weights, make_kv: Callable[[str], nn.Cell], max_length: int):
        super().__init__(auto_prefix=False)
        self.embedding = Parameter(Tensor(weights["token_embedding"]), name="token_embedding", requires_grad=False)
        layers = []
        for index in range(config.n_layers):
            name = f"layers.{index}"
            of_layer = {key: weights[key][index] for key in LAYER_WEIGHTS}
            layers.append(DecoderLayer(config, of_layer, make_kv(name), name))
        self.layers = nn.CellList(layers, auto_prefix=False)
        self.norm = RMSNorm(weights["rms_final"], "rms_final")
        self.classifier = Linear(weights["wcls"], "wcls")
        cos, sin = rope_tables(max_length, config.head_size)
        self.cos = Tensor(cos)
        self.sin = Tensor(sin)
        self.key_positions = Tensor(np.arange(max_length, dtype=np.int32).reshape(1, 1, -1))

    def construct(
        self, tokens: Tensor, positions: Tensor, slot_mapping: Tensor, block_tables: Tensor, logit_rows: Tensor
    ) -> Tensor:
        """One step, prefill and decode alike.

        Args:
            tokens: int32 [B, S].
            positions: int32 [B, S], the place of each token in its sequence, -1 for padding.
            slot_mapping: int32 [T], -1 for padding.
            block_tables: int32 [B, max_blocks].
            logit_rows: int32 [B], which of the T tokens' logits are wanted.

        Returns:
            Logits, float32 [B, vocab_size].
        """
        flat = ops.reshape(positions, (-1,))
        flat = ops.maximum(flat, ops.zeros_like(flat))
        cos = ops.gather(self.cos, flat, 0)
        sin = ops.gather(self.sin, flat, 0)
        visible = ops.less_equal(self.key_positions, ops.expand_dims(positions, -1))
        x = ops.gather(self.embedding, ops.reshape(tokens, (-1,)), 0)
        for layer in self.layers:
            x = layer(x, cos, sin, visible, slot_mapping, block_tables)
        return self.classifier(self.norm(ops.gather(x, logit_rows, 0)))


def rope_tables(max_length: int, head_size: int) -> tuple[FloatArray, FloatArray]:
    """Cosines and signed sines of the rotary embedding for ``rotate``, each [max_length, 1, head_size] float32."""
    frequencies = ROPE_THETA ** (-np.arange(0, head_size, 2) / head_size)
    angles = np.arange(max_length)[:, None, None] * frequencies
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    return np.repeat(cos, 2, axis=-1), np.stack((-sin, sin), axis=-1).reshape(max_length, 1, head_size)


def neighbours(head_size: int) -> Tensor:
    """The other channel of each pair, int32 [head_size]: 1, 0, 3, 2, ..."""
    return Tensor(np.arange(head_size, dtype=np.int32) ^ 1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, swap: Tensor) -> Tensor:
    """Rotates neighbouring channels (2i, 2i+1) of ``x`` [T, N, D] by cos and sin [T, 1, D]; swap is ``neighbours``.

    A gather and not slices of every other channel, which are strided views and slow in PyNative.
    """
    return x * cos + ops.gather(x, swap, 2) * sin
