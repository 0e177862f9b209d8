"""The decoder computes what a definition in NumPy, loop by loop, says a Llama decoder computes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from ms_scatter_pa import PagedKVCache
from serving.byte_model import ModelConfig, Weights, weight_shapes
from serving.decoder import Attention, Decoder, PagedKV, neighbours, rope_tables, rotate

CONFIG = ModelConfig(dim=32, hidden_dim=40, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=23, seq_len=24)
BLOCK_SIZE, MAX_BLOCKS, NUM_BLOCKS = 4, 6, 13


def random_weights(config: ModelConfig) -> Weights:
    rng = np.random.default_rng(2026)
    shapes = {**weight_shapes(config), "wcls": (config.vocab_size, config.dim)}
    return {
        name: (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32) for name, shape in shapes.items()
    }


def attention_by_definition(query, keys, values):
    """query [N, D] of the last position, keys and values [L, NKV, D] of all -> [N, D]."""
    out = np.zeros_like(query)
    group = query.shape[0] // keys.shape[1]
    for head, row in enumerate(query):
        scores = keys[:, head // group] @ row / np.sqrt(len(row))
        weights = np.exp(scores - scores.max())
        out[head] = weights / weights.sum() @ values[:, head // group]
    return out


def rotate_by_definition(x, position):
    """Each pair of neighbouring channels is a complex number that turns with the position."""
    size = x.shape[-1]
    turned = np.array(x)
    for pair in range(size // 2):
        turn = np.exp(1j * position * 10000.0 ** (-2 * pair / size))
        number = (x[..., 2 * pair] + 1j * x[..., 2 * pair + 1]) * turn
        turned[..., 2 * pair], turned[..., 2 * pair + 1] = number.real, number.imag
    return turned


def logits_by_definition(config, weights, tokens):
    """Logits after the last of ``tokens``, in float64, a token at a time."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}

    def norm(x, weight):
        return weight * x / np.sqrt(np.mean(x * x) + 1e-5)

    keys = [[] for _ in range(config.n_layers)]
    values = [[] for _ in range(config.n_layers)]
    for position, token in enumerate(tokens):
        x = w["token_embedding"][token]
        for layer in range(config.n_layers):
            y = norm(x, w["rms_att"][layer])
            query = rotate_by_definition((w["wq"][layer] @ y).reshape(config.n_heads, -1), position)
            keys[layer].append(rotate_by_definition((w["wk"][layer] @ y).reshape(config.n_kv_heads, -1), position))
            values[layer].append((w["wv"][layer] @ y).reshape(config.n_kv_heads, -1))
            mixed = attention_by_definition(query, np.array(keys[layer]), np.array(values[layer]))
            x = x + w["wo"][layer] @ mixed.reshape(-1)
            y = norm(x, w["rms_ffn"][layer])
            gate = w["w1"][layer] @ y
            x = x + w["w2"][layer] @ (gate / (1 + np.exp(-gate)) * (w["w3"][layer] @ y))
    return w["wcls"] @ norm(x, w["rms_final"])


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def mode(request):
    before = ms.get_context("mode")
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=before)


def paged(cache_mode, dtype=ms.float32):
    """Cells over the layers of one cache, the first layer first."""
    cache = PagedKVCache(
        num_layers=CONFIG.n_layers,
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        num_kv_heads=CONFIG.n_kv_heads,
        head_size=CONFIG.head_size,
        dtype=dtype,
        layout=cache_mode,
    )
    return iter([PagedKV(cache, layer, (CONFIG.n_kv_heads, CONFIG.head_size)) for layer in range(CONFIG.n_layers)])


@pytest.mark.parametrize("cache_mode", ["Norm", "PA_NZ"])
def test_decoder_follows_the_definition(mode, cache_mode):
    """Two sequences with scattered pages: one prompt in one piece, one token by token beside it."""
    config, weights = CONFIG, random_weights(CONFIG)
    layers = paged(cache_mode)
    decoder = Decoder(config, weights, lambda name: next(layers), BLOCK_SIZE * MAX_BLOCKS)
    rng = np.random.default_rng(0)
    sequences = rng.integers(0, config.vocab_size, (2, 11)).tolist()
    tables = np.array([[7, 2, 11, 0, 0, 0], [1, 12, 4, 0, 0, 0]], np.int32)

    def run(tokens, positions):
        tokens, positions = np.array(tokens, np.int32), np.array(positions, np.int32)
        slots = np.take_along_axis(tables, np.maximum(positions, 0) // BLOCK_SIZE, 1) * BLOCK_SIZE
        slots = np.where(positions < 0, -1, slots + positions % BLOCK_SIZE).astype(np.int32)
        last = np.arange(2) * tokens.shape[1] + np.maximum((positions >= 0).sum(1) - 1, 0)
        inputs = (tokens, positions, slots.reshape(-1), tables, last.astype(np.int32))
        return decoder(*(Tensor(array) for array in inputs)).asnumpy()

    width = 8
    got = run([sequences[0][:width], [sequences[1][0]] + [0] * (width - 1)], [range(width), [0] + [-1] * (width - 1)])
    wanted = [logits_by_definition(config, weights, s) for s in (sequences[0][:width], sequences[1][:1])]
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)
    for step in range(1, 4):
        first, second = sequences[0][: width + step], sequences[1][: 1 + step]
        got = run([[first[-1]], [second[-1]]], [[width + step - 1], [step]])
        wanted = [logits_by_definition(config, weights, s) for s in (first, second)]
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)


class AttendOnly(nn.Cell):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, query, keys, values, visible):
        return self.attention.attend(query, keys, values, visible)


def test_attention_follows_the_definition(mode):
    """Grouped queries, rows of different lengths, garbage behind each length, and a row that sees nothing."""
    rng = np.random.default_rng(1)
    batch, steps, length = 3, 2, 12
    weights = {name: array[0] for name, array in random_weights(CONFIG).items() if array.ndim == 3}
    attention = Attention(CONFIG, weights, next(paged("Norm")), "layer")
    query = rng.standard_normal((batch * steps, CONFIG.n_heads, CONFIG.head_size)).astype(np.float32)
    keys, values = rng.standard_normal((2, batch, length, CONFIG.n_kv_heads, CONFIG.head_size)).astype(np.float32)
    lengths = np.array([[5, 6], [1, 2], [12, 0]])
    visible = np.arange(length) < lengths[..., None]
    got = AttendOnly(attention)(*(Tensor(array) for array in (query, keys, values, visible))).asnumpy()
    assert np.isfinite(got).all()
    for row in range(batch):
        for step in range(steps):
            if seen := lengths[row, step]:
                at = row * steps + step
                wanted = attention_by_definition(query[at], keys[row, :seen], values[row, :seen])
                np.testing.assert_allclose(got[at], wanted.reshape(-1), rtol=1e-5, atol=1e-5)


def test_rotary_embedding_follows_the_definition():
    x = np.random.default_rng(2).standard_normal((6, 3, 8)).astype(np.float32)
    cos, sin = rope_tables(6, 8)
    got = rotate(Tensor(x), Tensor(cos), Tensor(sin), neighbours(8)).asnumpy()
    for position in range(6):
        np.testing.assert_allclose(got[position], rotate_by_definition(x[position], position), atol=1e-5)


@pytest.mark.parametrize("dtype", [ms.float16, ms.float32], ids=["float16", "float32"])
@pytest.mark.parametrize("cache_mode", ["Norm", "PA_NZ"])
def test_pages_are_read_back_in_order(mode, cache_mode, dtype):
    kv = next(paged(cache_mode, dtype))
    rng = np.random.default_rng(3)
    tables = rng.permutation(NUM_BLOCKS)[: 2 * MAX_BLOCKS].reshape(2, MAX_BLOCKS).astype(np.int32)
    length = MAX_BLOCKS * BLOCK_SIZE
    slots = (tables[:, :, None] * BLOCK_SIZE + np.arange(BLOCK_SIZE)).reshape(-1).astype(np.int32)
    rows = rng.standard_normal((2, 2 * length, CONFIG.n_kv_heads, CONFIG.head_size)).astype(np.float16)
    key, value = rows.astype(np.float32)
    keys, values = kv(Tensor(key), Tensor(value), Tensor(slots), Tensor(tables))
    np.testing.assert_array_equal(keys.asnumpy().reshape(key.shape), key)
    np.testing.assert_array_equal(values.asnumpy().reshape(value.shape), value)
