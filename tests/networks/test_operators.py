"""Every operator as MindSpore calls it, in both modes: its arguments arrive, its errors keep their sentence, and what
MindSpore has itself is left alone."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn, ops
from mindspore.ops.auto_generate import PagedAttention, QuantV2
from mindspore.ops.auto_generate.gen_ops_prim import AddRmsNorm, PagedAttentionMask
from mindspore.ops.operations.nn_ops import FlashAttentionScore

from ms_scatter_pa import compat

from . import dense

MAX = 2147483647
HEADS, KV_HEADS, SIZE = 4, 2, 16


@pytest.fixture(autouse=True, params=["pynative", "graph"])
def mode(request):
    compat.register()
    ms.set_context(mode=ms.PYNATIVE_MODE if request.param == "pynative" else ms.GRAPH_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


class Call(nn.Cell):
    """A network of one operator: numbers that are no tensors are its own."""

    def __init__(self, operator, *after):
        super().__init__()
        self.operator, self.after = operator, after

    def construct(self, *tensors):
        return self.operator(*tensors, *self.after)


def numbers(*shape: int, seed: int = 0, dtype=np.float16) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def run(operator, *arguments, after=()):
    result = Call(operator, *after)(*(Tensor(x) if isinstance(x, np.ndarray) else x for x in arguments))
    if isinstance(result, tuple | list):
        return [x.asnumpy() for x in result]
    return result.asnumpy()


def close(got: np.ndarray, want: np.ndarray, step: float = 2.0**-9) -> None:
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=step, atol=step)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_norms(dtype):
    x, other, gamma = numbers(3, 32, dtype=dtype), numbers(3, 32, seed=1, dtype=dtype), numbers(32, dtype=dtype)
    y, factor = run(ops.RmsNorm(1e-3), x, gamma)
    want, want_factor = dense.rms_norm(x, gamma, 1e-3)
    close(y, want)
    close(factor, want_factor)
    y, _, total = run(AddRmsNorm(), x, other, gamma, after=(1e-3,))
    np.testing.assert_array_equal(total, x + other)
    close(y, dense.rms_norm(x + other, gamma, 1e-3)[0])


@pytest.mark.parametrize("cos_format", [2, 3])
def test_rotary(cos_format):
    query, key = numbers(5, HEADS * SIZE), numbers(5, KV_HEADS * SIZE)
    angles = np.arange(9)[:, None] / 10.0 ** (np.arange(SIZE)[None] / SIZE)
    cos, sin = np.cos(angles).astype(np.float16), np.sin(angles).astype(np.float16)
    rows = [0, 1, 2, 0, 1]
    got = run(ops.ApplyRotaryPosEmb(cos_format), query, key, cos, sin, np.array([3, 2], np.int32))
    for result, x in zip(got, (query, key), strict=True):
        want = dense.rotate(x.reshape(5, -1, SIZE), cos[rows], sin[rows], neighbours=cos_format == 3)
        close(result.reshape(want.shape), want)


def test_flash_attention_of_lengths():
    query, key, value = numbers(7, HEADS * SIZE), numbers(7, KV_HEADS * SIZE), numbers(7, KV_HEADS * SIZE, seed=1)
    mask = (np.triu(np.ones((128, 128)), 1) * -10000).astype(np.float16)
    lens = np.array([4, 3], np.int32)
    operator = FlashAttentionScore(HEADS, 1.0, 0.25, MAX, 0, 0, "TH", 0)
    *_, got = run(operator, query, key, value, None, None, None, mask, None, lens, lens)
    parts = [slice(0, 4), slice(4, 7)]
    want = [
        dense.attention(
            query[p].reshape(-1, HEADS, SIZE),
            key[p].reshape(-1, KV_HEADS, SIZE),
            value[p].reshape(-1, KV_HEADS, SIZE),
            0.25,
            dense.causal(0),
        )
        for p in parts
    ]
    close(got.reshape(7, HEADS, SIZE), np.concatenate(want))


@pytest.mark.parametrize("layout", ["BSH", "BNSD"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_flash_attention_with_a_mask(layout, dtype):
    batch, length = 2, 6
    query, key, value = (numbers(batch, length, n, SIZE, seed=i, dtype=dtype) for i, n in enumerate((HEADS, 2, 2)))
    hidden = np.triu(np.ones((batch, 1, length, length), np.uint8), 1)
    shaped = [
        np.ascontiguousarray(x.transpose(0, 2, 1, 3)) if layout == "BNSD" else x.reshape(batch, length, -1)
        for x in (query, key, value)
    ]
    operator = FlashAttentionScore(HEADS, scale_value=0.25, input_layout=layout)
    *_, got = run(operator, *shaped, None, None, None, hidden)
    want = np.stack([dense.attention(query[b], key[b], value[b], 0.25, dense.causal(0)) for b in range(batch)])
    close(
        got.reshape(shaped[0].shape), want.transpose(0, 2, 1, 3) if layout == "BNSD" else want.reshape(shaped[0].shape)
    )


def paged(seed: int = 0):
    caches = [numbers(6, 4, KV_HEADS, SIZE, seed=seed + i) for i in range(2)]
    return caches, np.array([[5, 2], [0, -1]], np.int32), np.array([7, 3], np.int32)


def test_paged_attention():
    caches, tables, lens = paged()
    query = numbers(2, HEADS * SIZE)
    operator = PagedAttention(HEADS, 0.25, KV_HEADS)
    want = dense.paged_attention(query.reshape(2, HEADS, SIZE), *caches, tables, lens, [1, 1], 0.25)
    for mask, q_lens in ((None, None), (np.zeros((1, 1), np.float16), np.array([1, 1], np.int32))):
        got = run(operator, query, *caches, tables, lens, None, None, mask, q_lens)
        close(got.reshape(want.shape), want)


@pytest.mark.parametrize("kind", ["prefill", "decode"])
def test_multi_head_latent_attention(kind):
    """576 numbers of a key, of which the first 512 are its value; 16 heads on one."""
    heads, size, value_size = 16, 576, 512
    cache = numbers(5, 4, 1, size) / np.float16(8)
    tables, lens = np.array([[4, 1, 0], [2, -1, -1]], np.int32), np.array([9, 4], np.int32)
    q_lens = np.array([3, 2] if kind == "prefill" else [1, 1], np.int32)
    query = numbers(int(q_lens.sum()), heads * size)
    operator = PagedAttention(heads, size**-0.5, 1, mla_v_dim=value_size)
    mask = None
    if kind == "prefill":
        seen = [6, 7, 8, 2, 3]  # the place of each query's token
        mask = np.where(np.arange(12) <= np.array(seen)[:, None], 0, -10000).astype(np.float16)
    got = run(operator, query, cache, cache, tables, lens, None, None, mask, q_lens)
    shaped = query.reshape(-1, heads, size)
    want = dense.paged_attention(shaped, cache, cache[..., :value_size], tables, lens, q_lens, size**-0.5, mask)
    assert got.shape == (len(query), heads * value_size)
    close(got.reshape(want.shape), want)


class Views(nn.Cell):
    """Every tensor of the call is a strided view of a larger one."""

    def __init__(self):
        super().__init__()
        self.attention = PagedAttention(HEADS, 0.25, KV_HEADS)
        self.norm = ops.RmsNorm(1e-3)

    def construct(self, query, keys, values, tables, lens, gamma):
        query, keys, values = mint.transpose(query, 0, 1), keys[:, :, :, 1:], values[:, 1:]
        out = self.attention(query, keys, values, tables[:, 1:], lens[1:])
        return out, self.norm(query, gamma[3:])[0]


def test_views_are_read_as_they_look():
    caches, tables, lens = paged()
    query, gamma = numbers(2, HEADS * SIZE), numbers(3 + HEADS * SIZE)
    wide_keys = np.concatenate([caches[0][..., :1], caches[0]], axis=-1)
    wide_values = np.concatenate([caches[1][:, :1], caches[1]], axis=1)
    given = (query.T, wide_keys, wide_values, np.insert(tables, 0, 99, axis=1), np.insert(lens, 0, 99), gamma)
    got, normed = (x.asnumpy() for x in Views()(*(Tensor(np.ascontiguousarray(x)) for x in given)))
    want = dense.paged_attention(query.reshape(2, HEADS, SIZE), *caches, tables, lens, [1, 1], 0.25)
    close(got.reshape(want.shape), want)
    close(normed, dense.rms_norm(query, gamma[3:], 1e-3)[0])


def test_cumsum_of_floats_in_whole_numbers():
    x = np.array([1.75, 0.5, 2.25], np.float32)
    got = run(ops.auto_generate.CumsumExt(), x, after=(0, ms.int64))
    np.testing.assert_array_equal(got, [1, 1, 3])


def test_paged_attention_mask():
    caches, tables, lens = paged()
    query, bias = numbers(2, HEADS * SIZE), numbers(2, HEADS, 1, 8)
    got = run(PagedAttentionMask(HEADS, 0.25, KV_HEADS), query, *caches, tables, lens, None, None, bias)
    for b in range(2):
        rows = [dense.rows_of(cache, tables[b], lens[b]) for cache in caches]
        extra = bias[b, :, :, : lens[b]].astype(np.float64)
        want = dense.attention(query[b].reshape(1, HEADS, SIZE), *rows, 0.25, dense.everything, extra)
        close(got[b].reshape(want.shape), want)


@pytest.mark.parametrize("rounding", ["FLOOR", "CEIL", "TRUNC"])
def test_another_rounding_is_refused_by_its_name(rounding):
    with pytest.raises(ValueError, match=f"QuantV2's rounding_mode: given {rounding}, expected ROUND"):
        run(QuantV2(), numbers(3, 8), numbers(8), numbers(8), after=(False, rounding, ms.int8))


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_behind_a_refused_call(mode, dynamic):
    """PyNative goes on; a graph that raised fails from then on, as MindSpore has it, and a new one does not."""
    rows = Tensor(numbers(3, KV_HEADS * SIZE))
    good, bad = Tensor([0, 5, 2], ms.int32), Tensor([0, 5, 99], ms.int32)

    def made() -> Call:
        net = Call(ops.ReshapeAndCache())
        if dynamic and mode == "graph":
            row, page = (Tensor(shape=[None] * rank, dtype=ms.float16) for rank in (2, 4))
            net.set_inputs(row, row, page, page, Tensor(shape=[None], dtype=ms.int32))
        return net

    def written(net: Call, slots: Tensor) -> np.ndarray:
        cache = Tensor(np.zeros((4, 4, KV_HEADS, SIZE), np.float16))
        net(rows, rows, cache, Tensor(np.zeros(cache.shape, np.float16)), slots).asnumpy()
        return cache.asnumpy().reshape(16, -1)[[0, 5, 2]]

    net = made()
    np.testing.assert_array_equal(written(net, good), rows.asnumpy())
    with pytest.raises(IndexError, match=r"slot_mapping\[2\]"):
        written(net, bad)
    if mode == "graph" and ms.__version__.startswith("2.10."):
        with pytest.raises(RuntimeError):
            written(net, good)
    np.testing.assert_array_equal(written(made() if mode == "graph" else net, good), rows.asnumpy())


INT8 = """
import mindspore as ms, numpy as np
from mindspore import JitConfig, nn
from mindspore.ops.auto_generate import PagedAttention, QuantV2
from ms_scatter_pa import compat
from tests.networks import dense
from tests.networks.test_operators import Call, close, numbers, paged, run, HEADS, KV_HEADS, SIZE
compat.register()
ms.set_context(mode=ms.GRAPH_MODE)
caches, tables, lens = paged(3)
width = KV_HEADS * SIZE
scale, offset = np.full((2, width), 0.03125, np.float16), np.full((2, width), 3, np.float16)
stored = []
for i, cache in enumerate(caches):
    flat = cache.reshape(-1, width)
    stored.append(run(QuantV2(), flat, 1 / scale[i], -offset[i], after=(False, "ROUND", ms.int8)).reshape(cache.shape))
    want = np.clip(np.rint(cache.astype(np.float32) * 32 - 3), -128, 127)
    assert stored[-1].dtype == np.int8 and (stored[-1] == want).all()
    zero_point = (-offset[i]).astype(np.int8)  # beside int8 the scale divides, and zero_point is added to whole numbers
    divided = run(QuantV2(), flat, scale[i], zero_point, after=(False, "ROUND", ms.int8))
    assert (divided == np.clip(np.rint(flat.astype(np.float32) * 32) - 3, -128, 127)).all()
query = numbers(2, HEADS * SIZE)
wide = [(cache.astype(np.float64) + 3) * 0.03125 for cache in stored]
want = dense.paged_attention(query.reshape(2, HEADS, SIZE), *wide, tables, lens, [1, 1], 0.25)
net = Call(PagedAttention(HEADS, 0.25, KV_HEADS))
net.set_jit_config(JitConfig(jit_level="O0", infer_boost="on"))
wide_scale, whole = scale.astype(np.float32), offset.astype(np.int32)
for scales, offsets in (
    (scale, offset), (wide_scale, whole), (wide_scale.view(np.uint32).astype(np.int64), whole)
):
    got = net(*(ms.Tensor(x) for x in (query, *stored, tables, lens, scales, offsets))).asnumpy()
    close(got.reshape(want.shape), want)
"""


def test_int8_caches(mode, run_python):
    """QuantV2 writes what PagedAttention reads. MindSpore's front end takes int8 caches in graphs with infer_boost only,
    which it turns on for the whole process."""
    if mode == "graph":
        result = run_python(INT8)
        assert result.returncode == 0, result.stderr
        return
    caches, tables, lens = paged(3)
    stored = [(cache * 10).astype(np.int8) for cache in caches]
    scale = np.ones((2, KV_HEADS * SIZE), np.float16)
    with pytest.raises(TypeError, match="the input type must be same"):
        run(PagedAttention(HEADS, 0.25, KV_HEADS), numbers(2, HEADS * SIZE), *stored, tables, lens, scale, scale)


class Small(nn.Cell):
    def construct(self, lens, table, index, logits):
        return mint.cumsum(lens, 0), mint.index_select(table, 0, index), mint.argmax(logits, -1)


def test_cumsum_select_and_argmax():
    table, logits = numbers(7, 5), numbers(3, 11)
    lens, index = np.array([3, 0, 2], np.int32), np.array([6, 0, 6], np.int32)
    sums, rows, best = (x.asnumpy() for x in Small()(*map(Tensor, (lens, table, index, logits))))
    np.testing.assert_array_equal(sums, [3, 3, 5])
    np.testing.assert_array_equal(rows, table[index])
    np.testing.assert_array_equal(best, logits.argmax(-1))


class Cut(nn.Cell):
    """As vLLM-MindSpore's rotary embedding of a part of every head."""

    def construct(self, x, size):
        width = x.shape[-1]
        slice_ext = ops.auto_generate.gen_ops_prim.SliceExt()
        return slice_ext(x, -1, 0, size, 1), slice_ext(x, -1, size, width, 1), slice_ext(x, 0, -3, 99, 2)


class Repeat(nn.Cell):
    """As MindFormers' attention layer without flash attention, for query heads that share a key/value head."""

    def construct(self, x):
        return mint.repeat_interleave(x, repeats=3, dim=2), mint.repeat_interleave(x, 2)


def test_repeated_heads():
    x = numbers(2, 3, 2, 4)
    by_head, flat = (result.asnumpy() for result in Repeat()(Tensor(x)))
    np.testing.assert_array_equal(by_head, np.repeat(x, 3, axis=2))
    np.testing.assert_array_equal(flat, np.repeat(x, 2))


@pytest.mark.parametrize("dynamic", [False, True])
def test_slices(dynamic):
    net, x = Cut(), numbers(5, 3, 8)
    if dynamic:
        # A bound that MindSpore does not know while it compiles ends the process in its own inference of shapes.
        net.set_inputs(Tensor(shape=[None, None, 8], dtype=ms.float16), 6)
    for array in (x, x[:4]):
        got = [part.asnumpy() for part in net(Tensor(np.ascontiguousarray(array)), 6)]
        for part, want in zip(got, (array[..., :6], array[..., 6:], array[-3:99:2]), strict=True):
            np.testing.assert_array_equal(part, want)


def bad_calls():
    caches, tables, lens = paged()
    query = numbers(2, HEADS * SIZE)
    attention = PagedAttention(HEADS, 0.25, KV_HEADS)
    beyond = tables.copy()
    beyond[0, 1] = 6
    ids = np.array([0, 7], np.int32)
    yield (
        "a block past the last",
        attention,
        (query, *caches, beyond, lens),
        IndexError,
        r"block_tables: given 6 at \[0, 1\]",
    )
    yield "a length past the table", attention, (query, *caches, tables, lens + 8), ValueError, "context_lens: given 15"
    yield (
        "another dtype",
        attention,
        (query, caches[0], caches[1].astype(np.int8), tables, lens),
        TypeError,
        "value_cache",
    )
    yield (
        "queries that do not add up",
        attention,
        (query, *caches, tables, lens, None, None, None, np.array([1, 2], np.int32)),
        ValueError,
        "q_seq_lens",
    )
    yield "a row past the table", ops.auto_generate.IndexSelect(), (numbers(7, 5), 0, ids), IndexError, "index: given 7"
    yield "another width (MindSpore's own check)", ops.RmsNorm(1e-3), (query, numbers(31)), RuntimeError, "gamma"
    mixed = (numbers(7, 5).astype(np.complex64), 0, ids)
    yield "complex numbers", ops.auto_generate.IndexSelect(), mixed, TypeError, "input: given complex64"
    ragged = FlashAttentionScore(HEADS, 1.0, 0.25, MAX, MAX, 0, "TH", 0)
    nothing = np.zeros(0, np.int32)
    key = query[:, : KV_HEADS * SIZE]
    lengths = (query, key, key, None, None, None, None, None, nothing, nothing)
    yield "no lengths", ragged, lengths, ValueError, "actual_seq_qlen: given a sum of 0"
    dropout = FlashAttentionScore(HEADS, 0.5, 0.25, MAX, MAX, 0, "BSH", 0)
    yield "dropout", dropout, (query[None], query[None], query[None]), ValueError, "keep_prob"


@pytest.mark.parametrize("case", list(bad_calls()), ids=lambda case: case[0])
def test_what_is_refused(case):
    _, operator, arguments, error, sentence = case
    with pytest.raises(error, match=sentence):
        run(operator, *arguments)
