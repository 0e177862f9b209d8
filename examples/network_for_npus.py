"""A decoder layer for NPUs, on this machine's CPU: MindSpore's own operators and ``compat.register()``.

RmsNorm, ApplyRotaryPosEmb, ReshapeAndCache, then FlashAttentionScore in prefill and PagedAttention in decode, for a batch of
two sequences; PyNative and graph, compared with plain attention in NumPy.

    python examples/network_for_npus.py
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops.operations.nn_ops import FlashAttentionScore

from ms_scatter_pa import PagedKVCache, compat

HIDDEN, HEADS, KV_HEADS, SIZE, EPSILON = 64, 4, 2, 16, 1e-5
PROMPTS, STEPS = [5, 2], 4  # tokens of each sequence in prefill; then one of each in a step
RNG = np.random.default_rng(0)
WIDTHS = {"q": HEADS * SIZE, "k": KV_HEADS * SIZE, "v": KV_HEADS * SIZE, "out": HIDDEN}
WEIGHTS = {name: (RNG.standard_normal((HIDDEN, width)) / 8).astype(np.float16) for name, width in WIDTHS.items()}
GAMMA = (1 + 0.1 * RNG.standard_normal(HIDDEN)).astype(np.float16)
ANGLES = np.arange(16)[:, None] / 10000 ** (np.arange(0, SIZE, 2) / SIZE)
COS, SIN = (np.tile(function(ANGLES), 2).astype(np.float16) for function in (np.cos, np.sin))
CAUSAL = np.triu(np.ones((128, 128)), 1).astype(np.float16) * np.float16(-10000)  # in TH for sequences of any length


class Layer(nn.Cell):
    """Tokens of all sequences one after another: hidden is [T, HIDDEN], query [T, HEADS * SIZE]."""

    def __init__(self, *, prefill: bool):
        super().__init__()
        self.prefill = prefill
        self.gamma = Parameter(Tensor(GAMMA))
        self.q, self.k, self.v, self.out = (Parameter(Tensor(array), name=name) for name, array in WEIGHTS.items())
        self.norm, self.rotate, self.write = ops.RmsNorm(EPSILON), ops.ApplyRotaryPosEmb(2), ops.ReshapeAndCache()
        self.flash = FlashAttentionScore(HEADS, scale_value=SIZE**-0.5, input_layout="TH")
        self.paged = ops.PagedAttention(HEADS, SIZE**-0.5, KV_HEADS)

    def construct(self, hidden, cos, sin, key_cache, value_cache, slots, tables, context_lens, q_lens, mask):
        x = self.norm(hidden, self.gamma)[0]  # a tuple: the result and 1 / root mean square
        query, key, value = ops.matmul(x, self.q), ops.matmul(x, self.k), ops.matmul(x, self.v)
        query, key = self.rotate(query, key, cos, sin, context_lens)
        query = ops.depend(query, self.write(key, value, key_cache, value_cache, slots))  # writes before decode reads
        if self.prefill:  # output 3 is attention
            context = self.flash(query, key, value, None, None, None, mask, None, q_lens, q_lens)[3]
        else:
            context = self.paged(query, key_cache, value_cache, tables, context_lens, None, None, None, q_lens)
        return hidden + ops.matmul(context, self.out)


def expected(hidden: np.ndarray) -> np.ndarray:
    """The same for one whole sequence, in float64, without a cache."""
    length, half = len(hidden), SIZE // 2
    hidden = hidden.astype(np.float64)
    x = hidden / np.sqrt((hidden**2).mean(-1, keepdims=True) + EPSILON) * GAMMA
    query, key, value = ((x @ WEIGHTS[name]).reshape(length, -1, SIZE).transpose(1, 0, 2) for name in "qkv")
    query, key = (
        a * COS[:length] + np.concatenate([-a[..., half:], a[..., :half]], -1) * SIN[:length] for a in (query, key)
    )
    key, value = (np.repeat(a, HEADS // KV_HEADS, axis=0) for a in (key, value))
    scores = query @ key.transpose(0, 2, 1) * SIZE**-0.5
    weights = np.exp(np.where(np.tri(length), scores, -np.inf))
    context = weights / weights.sum(-1, keepdims=True) @ value
    return hidden + context.transpose(1, 0, 2).reshape(length, -1) @ WEIGHTS["out"]


def worst_error(mode: int) -> float:
    """Prefill and decode of two sequences; the largest difference, relative to the largest number."""
    ms.set_context(mode=mode)
    sequences = [RNG.standard_normal((prompt + STEPS, HIDDEN)).astype(np.float16) for prompt in PROMPTS]
    want, worst = [expected(sequence) for sequence in sequences], 0.0
    cache = PagedKVCache(
        num_layers=1, num_blocks=8, block_size=4, num_kv_heads=KV_HEADS, head_size=SIZE, dtype=ms.float16
    )
    for name, prompt in enumerate(PROMPTS):
        cache.allocate(name, prompt)
    prefill, decode = Layer(prefill=True), Layer(prefill=False)
    ends, lens = list(PROMPTS), list(PROMPTS)
    for step in range(1 + STEPS):
        parts = [slice(end - length, end) for end, length in zip(ends, lens, strict=True)]
        got = (decode if step else prefill)(
            Tensor(np.concatenate([sequence[part] for sequence, part in zip(sequences, parts, strict=True)])),
            *(Tensor(np.concatenate([table[part] for part in parts])) for table in (COS, SIN)),
            cache.key_caches[0],
            cache.value_caches[0],
            cache.slot_mapping([0, 1], lens),
            cache.block_tables([0, 1]),
            cache.seq_lens([0, 1]),
            Tensor(lens, ms.int32),
            Tensor(CAUSAL),
        )
        right = np.concatenate([rows[part] for rows, part in zip(want, parts, strict=True)])
        worst = max(worst, float(np.abs(got.asnumpy() - right).max() / np.abs(right).max()))
        lens = [1, 1]
        if step < STEPS:
            ends = [end + 1 for end in ends]
            for name in (0, 1):
                cache.append(name)
    return worst


if __name__ == "__main__":
    compat.register()
    for mode, name in ((ms.PYNATIVE_MODE, "PyNative"), (ms.GRAPH_MODE, "graph")):
        error = worst_error(mode)
        assert error < 2e-3, error
        print(f"{name}: prefill of {PROMPTS} tokens and {STEPS} steps, worst error {error:.1e} of the largest number")
