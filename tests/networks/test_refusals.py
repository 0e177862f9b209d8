"""What no kernel takes is a sentence with the argument's name, and what it takes at the edge is right."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import dense
from .library import BFLOAT16

MAX = 2147483647
HUGE = 2**63 - 1
HEADS, KV_HEADS, SIZE, BLOCK_SIZE = 4, 2, 16, 4
H, I32, F32 = np.float16, np.int32, np.float32


def halves(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(H)


PAGED = {
    "query": halves(3, HEADS * SIZE),
    "key_cache": halves(6, BLOCK_SIZE, KV_HEADS, SIZE),
    "value_cache": halves(6, BLOCK_SIZE, KV_HEADS, SIZE),
    "block_tables": np.array([[5, 2, -1], [0, -1, -1]], I32),
    "context_lens": np.array([7, 3], I32),
    "antiquant_scale": None,
    "antiquant_offset": None,
    "attn_mask": None,
    "q_seq_lens": np.array([2, 1], I32),
    "alibi_mask": None,
    "head_num": HEADS,
    "scale_value": 0.25,
    "kv_head_num": KV_HEADS,
    "kv_cache_quant_mode": 0,
    "mask_mode": 0,
    "mla_v_dim": 0,
}
FLASH = {
    "query": halves(5, HEADS * SIZE),
    "key": halves(5, KV_HEADS * SIZE),
    "value": halves(5, KV_HEADS * SIZE),
    "real_shift": None,
    "drop_mask": None,
    "padding_mask": None,
    "attn_mask": None,
    "prefix": None,
    "actual_seq_qlen": np.array([3, 2], I32),
    "actual_seq_kvlen": np.array([3, 2], I32),
    "head_num": HEADS,
    "keep_prob": 1.0,
    "scale_value": 0.25,
    "pre_tokens": MAX,
    "next_tokens": MAX,
    "inner_precise": 0,
    "input_layout": 5,
    "sparse_mode": 0,
}
_ANGLES = np.arange(9)[:, None] / 10.0 ** (np.arange(SIZE)[None] / SIZE)
COS, SIN = np.cos(_ANGLES).astype(H), np.sin(_ANGLES).astype(H)
ROTARY = {
    "query": halves(5, HEADS * SIZE),
    "key": halves(5, KV_HEADS * SIZE),
    "cos": COS,
    "sin": SIN,
    "position_ids": np.array([3, 2], I32),
    "cos_format": 2,
}
NORM = {"x": halves(3, 32), "gamma": halves(32), "epsilon": 1e-5}
ADD_NORM = {"x1": halves(3, 32), "x2": halves(3, 32), "gamma": halves(32), "epsilon": 1e-5}
QUANT = {
    "x": halves(3, 8),
    "scale": halves(8),
    "offset": halves(8),
    "sqrt_mode": 0,
    "rounding_mode": 0,
    "dst_type": None,
}
SELECT = {"input": halves(4, 5), "dim": 0, "index": np.array([3, 0], I32)}
SLICE = {"input": halves(4, 5), "dim": -1, "start": 1, "end": -1, "step": 2}
REPEAT = {"input": halves(4, 5), "repeats": 2, "dim": 0, "output_size": None}
SUM = {"input": halves(4, 5), "dim": 0, "dtype": None}
BEST = {"input": halves(4, 5), "dim": 0, "keepdim": 0}
MOVE = {"input": halves(4, 5), "to": None, "blocking": 0}

OUTPUTS: dict[str, list[tuple[tuple[int, ...], Any]]] = {
    "PagedAttention": [((3, HEADS * SIZE), H)],
    "FlashAttentionScore": [((5, HEADS * 8), F32), ((5, HEADS * 8), F32), ((1,), H), ((5, HEADS * SIZE), H)],
    "ApplyRotaryPosEmb": [((5, HEADS * SIZE), H), ((5, KV_HEADS * SIZE), H)],
    "RmsNorm": [((3, 32), H), ((3, 1), F32)],
    "AddRmsNorm": [((3, 32), H), ((3, 1), F32), ((3, 32), H)],
    "QuantV2": [((3, 8), np.int8)],
    "IndexSelect": [((2, 5), H)],
    "SliceExt": [((4, 2), H)],
    "RepeatInterleaveInt": [((8, 5), H)],
    "CumsumExt": [((4, 5), H)],
    "ArgMaxExt": [((5,), np.int64)],
    "MoveTo": [((4, 5), H)],
}
CALLS = {
    "PagedAttention": PAGED,
    "FlashAttentionScore": FLASH,
    "ApplyRotaryPosEmb": ROTARY,
    "RmsNorm": NORM,
    "AddRmsNorm": ADD_NORM,
    "QuantV2": QUANT,
    "IndexSelect": SELECT,
    "SliceExt": SLICE,
    "RepeatInterleaveInt": REPEAT,
    "CumsumExt": SUM,
    "ArgMaxExt": BEST,
    "MoveTo": MOVE,
}


def of(numbers: list[int], dtype: Any = np.int64) -> np.ndarray:
    return np.array(numbers, dtype)


# Operator, argument, what it is given, the error, and what the sentence says beside the argument's name.
REFUSED: list[tuple[str, str, Any, type[Exception], str]] = [
    ("PagedAttention", "block_tables", np.array([[5, 6, -1], [0, -1, -1]], I32), IndexError, r"6 at \[0, 1\]"),
    ("PagedAttention", "block_tables", np.array([[5, -1, -1], [0, -1, -1]], I32), IndexError, r"-1 at \[0, 1\]"),
    ("PagedAttention", "block_tables", np.array([[5, 2**40, 0], [0, 0, 0]]), IndexError, r"1099511627776 at \[0, 1\]"),
    ("PagedAttention", "block_tables", np.zeros((2, 3), F32), TypeError, "float32"),
    ("PagedAttention", "block_tables", np.zeros((2, 3), np.int16), TypeError, "int16"),
    ("PagedAttention", "block_tables", np.zeros((3, 3), I32), ValueError, "2 rows"),
    ("PagedAttention", "block_tables", np.zeros(6, I32), ValueError, "max_num_blocks_per_batch"),
    ("PagedAttention", "block_tables", None, TypeError, "None"),
    ("PagedAttention", "context_lens", of([7, 13]), ValueError, "13 at 1"),
    ("PagedAttention", "context_lens", of([-1, 3]), ValueError, "-1 at 0"),
    ("PagedAttention", "context_lens", of([HUGE, 3]), ValueError, "at 0"),
    ("PagedAttention", "context_lens", of([1, 3]), ValueError, "at least the 2 queries"),
    ("PagedAttention", "context_lens", np.zeros(2, H), TypeError, "float16"),
    ("PagedAttention", "context_lens", None, TypeError, "None"),
    ("PagedAttention", "q_seq_lens", of([2, 2]), ValueError, "a sum of 4"),
    ("PagedAttention", "q_seq_lens", of([4, -1]), ValueError, "-1 at 1"),
    ("PagedAttention", "q_seq_lens", of([HUGE, HUGE]), ValueError, "a sum of 9223372036854775807"),
    ("PagedAttention", "q_seq_lens", of([3]), ValueError, "2"),
    ("PagedAttention", "query", halves(12, SIZE), ValueError, r"\[num_tokens, 64\] or \[num_tokens, 4, 16\]"),
    ("PagedAttention", "query", halves(3, 2, 2 * SIZE), ValueError, "head_size"),
    ("PagedAttention", "query", halves(3 * HEADS * SIZE), ValueError, "num_tokens"),
    ("PagedAttention", "query", np.zeros((3, HEADS * SIZE), I32), TypeError, "int32"),
    ("PagedAttention", "query", np.zeros((3, HEADS * SIZE), F32), TypeError, "key_cache|output"),
    ("PagedAttention", "key_cache", halves(6, BLOCK_SIZE, 3, SIZE), ValueError, "kv_head_num"),
    ("PagedAttention", "key_cache", halves(6, BLOCK_SIZE, 33), ValueError, "multiple of 2 heads"),
    ("PagedAttention", "key_cache", halves(6, BLOCK_SIZE), ValueError, "num_blocks"),
    ("PagedAttention", "value_cache", halves(5, BLOCK_SIZE, KV_HEADS, SIZE), ValueError, r"\[6, 4, 2, head_size\]"),
    ("PagedAttention", "value_cache", None, TypeError, "None"),
    ("PagedAttention", "value_cache", halves(6, BLOCK_SIZE, KV_HEADS, 8), ValueError, "key_cache's head_size, 16"),
    ("PagedAttention", "value_cache", np.zeros((6, BLOCK_SIZE, KV_HEADS, SIZE), np.int8), TypeError, "int8"),
    ("PagedAttention", "antiquant_scale", halves(2, KV_HEADS * SIZE), TypeError, "key_cache: given float16"),
    ("PagedAttention", "antiquant_offset", halves(2, KV_HEADS * SIZE), ValueError, "antiquant_scale is None"),
    ("PagedAttention", "attn_mask", halves(2, 9), ValueError, r"\[3, 7 or more\]"),
    ("PagedAttention", "attn_mask", halves(3, 6), ValueError, r"\[3, 7 or more\]"),
    ("PagedAttention", "attn_mask", np.zeros((3, 9), bool), TypeError, "bool"),
    ("PagedAttention", "head_num", 0, ValueError, "1 to"),
    ("PagedAttention", "head_num", 2**62, ValueError, "1 to"),
    ("PagedAttention", "head_num", 3, ValueError, "multiple of kv_head_num"),
    ("PagedAttention", "kv_head_num", -2, ValueError, "1 to"),
    ("PagedAttention", "kv_cache_quant_mode", 2, ValueError, "DEFAULT or PERTOKEN"),
    ("PagedAttention", "kv_cache_quant_mode", 1, TypeError, "antiquant_scale"),
    ("PagedAttention", "mla_v_dim", 17, ValueError, "1 to key_cache's head_size"),
    ("PagedAttention", "mla_v_dim", -1, ValueError, "1 to key_cache's head_size"),
    ("PagedAttention", "scale_value", None, TypeError, "None"),
    ("FlashAttentionScore", "actual_seq_qlen", of([3, 3]), ValueError, "a sum of 6"),
    ("FlashAttentionScore", "actual_seq_qlen", of([6, -1]), ValueError, "-1 at 1"),
    ("FlashAttentionScore", "actual_seq_qlen", of([HUGE, HUGE]), ValueError, "a sum of"),
    ("FlashAttentionScore", "actual_seq_qlen", None, TypeError, "None"),
    ("FlashAttentionScore", "actual_seq_kvlen", of([5]), ValueError, "2 numbers"),
    ("FlashAttentionScore", "query", halves(5, HEADS * SIZE + 1), ValueError, "multiple of 4 heads"),
    ("FlashAttentionScore", "query", np.zeros((5, HEADS * SIZE), np.float64), TypeError, "float64"),
    ("FlashAttentionScore", "key", halves(5, 3 * SIZE), ValueError, "divides query's"),
    ("FlashAttentionScore", "key", halves(5, KV_HEADS * SIZE - 1), ValueError, "multiple"),
    ("FlashAttentionScore", "key", np.zeros((5, KV_HEADS * SIZE), F32), TypeError, "float16 as query has"),
    ("FlashAttentionScore", "value", halves(4, KV_HEADS * SIZE), ValueError, "key's batch, tokens and heads"),
    ("FlashAttentionScore", "value", None, TypeError, "None"),
    ("FlashAttentionScore", "attn_mask", np.zeros((2, 3), bool), ValueError, "S1 >= 3"),
    ("FlashAttentionScore", "attn_mask", np.zeros((3, 2), bool), ValueError, "S2 >= 3"),
    ("FlashAttentionScore", "attn_mask", np.zeros((1, 1, 3, 3), bool), ValueError, r"\[S1, S2\]"),
    ("FlashAttentionScore", "attn_mask", np.full((3, 3), -5).astype(BFLOAT16), ValueError, "-5.0+ at 0"),
    ("FlashAttentionScore", "attn_mask", np.diag([1, -10000, 0]).astype(BFLOAT16), ValueError, "-9984.0+ at 4"),
    ("FlashAttentionScore", "real_shift", halves(1, HEADS, 5, 5), ValueError, "layout that has B and S"),
    ("FlashAttentionScore", "drop_mask", np.zeros(4, np.uint8), ValueError, "training"),
    ("FlashAttentionScore", "prefix", of([1, 1]), ValueError, "prefix"),
    ("FlashAttentionScore", "keep_prob", 0.9, ValueError, "dropout"),
    ("FlashAttentionScore", "head_num", 0, ValueError, "1 to"),
    ("FlashAttentionScore", "head_num", 2**40, ValueError, "1 to"),
    ("FlashAttentionScore", "input_layout", 6, ValueError, "BSH"),
    ("FlashAttentionScore", "sparse_mode", 5, ValueError, "0 to 4"),
    ("FlashAttentionScore", "sparse_mode", 1, ValueError, "attn_mask"),
    ("ApplyRotaryPosEmb", "position_ids", of([3, 3]), ValueError, "a sum of 6"),
    ("ApplyRotaryPosEmb", "position_ids", of([6, -1]), ValueError, "-1 at 1"),
    ("ApplyRotaryPosEmb", "position_ids", of([HUGE, HUGE]), ValueError, "a sum of 9223372036854775807"),
    ("ApplyRotaryPosEmb", "position_ids", np.zeros(2, F32), TypeError, "float32"),
    ("ApplyRotaryPosEmb", "cos", halves(9, 15), ValueError, "sin"),
    ("ApplyRotaryPosEmb", "sin", halves(8, SIZE), ValueError, "as cos has"),
    ("ApplyRotaryPosEmb", "sin", np.zeros((9, SIZE), F32), TypeError, "as cos has"),
    ("ApplyRotaryPosEmb", "key", halves(5, KV_HEADS * SIZE + 1), ValueError, "heads of 16"),
    ("ApplyRotaryPosEmb", "key", halves(4, KV_HEADS * SIZE), ValueError, "5 tokens"),
    ("ApplyRotaryPosEmb", "query", halves(5, 1, 2, 2 * SIZE), ValueError, "heads of 16"),
    ("ApplyRotaryPosEmb", "query", np.zeros((5, HEADS * SIZE), np.int8), TypeError, "int8"),
    ("ApplyRotaryPosEmb", "cos_format", 4, ValueError, "0 to 3"),
    ("RmsNorm", "gamma", halves(31), ValueError, "last dimensions"),
    ("RmsNorm", "gamma", halves(2, 3, 32), ValueError, "last dimensions"),
    ("RmsNorm", "gamma", np.zeros(32, I32), TypeError, "int32"),
    ("RmsNorm", "epsilon", -1.0, ValueError, ">= 0"),
    ("RmsNorm", "epsilon", float("nan"), ValueError, ">= 0"),
    ("RmsNorm", "x", np.zeros((3, 32), np.float64), TypeError, "float64"),
    ("RmsNorm", "x", np.zeros((0, 2**40, 32), H), ValueError, "at most 2147483648"),
    ("AddRmsNorm", "x2", halves(32), ValueError, "as x1 has"),
    ("AddRmsNorm", "x2", np.zeros((3, 32), F32), TypeError, "as x1 has"),
    ("QuantV2", "scale", halves(7), ValueError, "last dimension"),
    ("QuantV2", "scale", None, TypeError, "None"),
    ("QuantV2", "offset", np.zeros(8, I32), TypeError, "int32"),
    ("QuantV2", "sqrt_mode", 1, ValueError, "False"),
    ("QuantV2", "rounding_mode", 2, ValueError, "given FLOOR, expected ROUND"),
    ("QuantV2", "rounding_mode", 4, ValueError, "given 4, expected ROUND"),
    ("IndexSelect", "index", of([4, 0]), IndexError, "4 at 0"),
    ("IndexSelect", "index", of([0, -1]), IndexError, "-1 at 1"),
    ("IndexSelect", "index", np.zeros((1, 2), I32), ValueError, "index"),
    ("IndexSelect", "index", np.zeros(2, F32), TypeError, "float32"),
    ("IndexSelect", "input", np.zeros((4, 5), np.complex64), TypeError, "given complex64"),
    ("IndexSelect", "dim", 2, ValueError, "-2 to 1"),
    ("RepeatInterleaveInt", "repeats", -1, ValueError, "0 or more"),
    ("RepeatInterleaveInt", "repeats", HUGE, ValueError, "output 0"),
    ("RepeatInterleaveInt", "output_size", 7, ValueError, "8, the rows"),
    ("RepeatInterleaveInt", "dim", -3, ValueError, "-2 to 1"),
    ("SliceExt", "dim", 2, ValueError, "-2 to 1"),
    ("SliceExt", "step", 0, ValueError, "1 or more"),
    ("SliceExt", "step", -HUGE, ValueError, "1 or more"),
    ("SliceExt", "start", None, TypeError, "None"),
    ("SliceExt", "end", 2, ValueError, "output 0"),
    ("CumsumExt", "dim", -3, ValueError, "-2 to 1"),
    ("CumsumExt", "dim", None, TypeError, "None"),
    ("CumsumExt", "input", np.zeros((4, 5), np.uint32), TypeError, "uint32"),
    ("ArgMaxExt", "dim", 7, ValueError, "-2 to 1"),
    ("ArgMaxExt", "input", np.zeros((0, 5), H), ValueError, "one number or more"),
    ("ArgMaxExt", "input", np.zeros((4, 5), np.uint64), TypeError, "uint64"),
    ("ArgMaxExt", "input", np.zeros((4, 5), np.complex128), TypeError, "given complex128"),
]


@pytest.mark.parametrize("name", sorted(CALLS))
def test_calls_run_before_they_are_broken(builtins, name):
    assert builtins(name, list(CALLS[name].values()), OUTPUTS[name])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[1]}")
def test_a_broken_argument_is_named(builtins, case):
    name, argument, given, error, sentence = case
    with pytest.raises(error, match=sentence) as raised:
        builtins(name, list({**CALLS[name], argument: given}.values()), OUTPUTS[name])
    said = str(raised.value)
    assert said.startswith(f"{name}") and "expected" in said
    if "output" not in said and argument not in ("cos", "antiquant_scale", "kv_cache_quant_mode", "sparse_mode"):
        assert f"{name}'s {argument}:" in said or argument in ("query", "head_num")


def test_what_two_arguments_refuse_together(builtins):
    empty = [halves(0, 5), 0, of([0])]
    with pytest.raises(IndexError, match="index: given 0 at 0, expected no index: input has no rows"):
        builtins("IndexSelect", empty, [((1, 5), H)])
    none = {name: PAGED[name][:0] for name in ("key_cache", "value_cache")}
    with pytest.raises(IndexError, match=r"5 at \[0, 0\], expected a context_lens of 0, since key_cache has no blocks"):
        builtins("PagedAttention", list({**PAGED, **none}.values()), OUTPUTS["PagedAttention"])
    table = {**ROTARY, "position_ids": of([0, 0])}
    with pytest.raises(ValueError, match=r"cos: given \[9, 16\], expected 5 rows, one for each token"):
        builtins("ApplyRotaryPosEmb", list(table.values()), OUTPUTS["ApplyRotaryPosEmb"])
    codes = np.zeros((6, BLOCK_SIZE, KV_HEADS, SIZE), np.int8)
    latent = {"key_cache": codes, "value_cache": codes, "antiquant_scale": halves(2, KV_HEADS * SIZE), "mla_v_dim": 8}
    with pytest.raises(ValueError, match=r"antiquant_scale: .* one head_size.* keys have 16, values 8"):
        builtins("PagedAttention", list({**PAGED, **latent}.values()), [((3, HEADS * 8), H)])


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("given", [[], ["twice"]], ids=["none", "more"])
def test_another_number_of_arguments(builtins, name, given):
    arguments = [*CALLS[name].values(), 1] if given else []
    with pytest.raises(TypeError, match=f"{name}: given {len(arguments)} arguments, expected {len(CALLS[name])}"):
        builtins(name, arguments, OUTPUTS[name])


def paged(builtins: Callable[..., list[np.ndarray]], **changes: Any) -> np.ndarray:
    call = {**PAGED, **changes}
    (out,) = builtins("PagedAttention", list(call.values()), [(call["query"].shape, H)])
    return out


def test_index_dtypes_and_query_shapes_do_not_matter(builtins):
    want = paged(builtins)
    for dtype in (np.int32, np.int64):
        names = ("block_tables", "context_lens", "q_seq_lens")
        np.testing.assert_array_equal(paged(builtins, **{name: PAGED[name].astype(dtype) for name in names}), want)
    for shape in ((3, HEADS, SIZE), (1, 3, HEADS * SIZE), (3, 1, HEADS, SIZE), (3, HEADS, 1, SIZE)):
        got = paged(builtins, query=PAGED["query"].reshape(shape))
        np.testing.assert_array_equal(got.reshape(want.shape), want)


def test_an_empty_batch_and_empty_contexts(builtins):
    none = {name: PAGED[name][:0] for name in ("query", "block_tables", "context_lens", "q_seq_lens")}
    assert paged(builtins, **none).size == 0
    out = paged(builtins, context_lens=of([0, 0]), block_tables=np.zeros((2, 0), I32))
    np.testing.assert_array_equal(out, np.zeros_like(out))
    assert np.isfinite(paged(builtins, context_lens=of([0, 3]))).all()
    empty = {**FLASH, "query": halves(0, HEADS * SIZE), "actual_seq_qlen": of([0, 0])}
    outputs = [((0, 32), F32), ((0, 32), F32), ((1,), H), ((0, HEADS * SIZE), H)]
    builtins("FlashAttentionScore", list(empty.values()), outputs)
    for shape in ((0, 32), (2, 0)):
        x, gamma = np.zeros(shape, H), np.ones(shape[-1:], H)
        builtins("RmsNorm", [x, gamma, 1e-5], [(shape, H), ((shape[0], 1), F32)])


@pytest.mark.parametrize(("pre", "after"), [(-5, 9), (-9, 40), (3, -2), (-(2**63), 2**63 - 1), (2**63 - 1, -(2**63))])
def test_bands_beside_the_diagonal(builtins, product, pre, after):
    """Of negative and extreme widths: keys that a query does not see are not read, behind the last ones neither."""
    queries, keys, heads, size = 40, 13, 2, 16
    query, key, value = (halves(1, n, heads, size) for n in (queries, keys, keys))
    inputs = [query, key, value, *[None] * 7, heads, 1.0, 0.25, pre, after, 0, 3, 4]
    statistics = ((1, heads, queries, 8), F32)
    *_, out = builtins("FlashAttentionScore", inputs, [statistics, statistics, ((1,), H), (query.shape, H)])
    corner = keys - queries

    def see(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return np.array(
            [[b - a >= corner - pre and b - a <= corner + after for b in j[0].tolist()] for a in i[:, 0].tolist()]
        )

    want = dense.attention(query[0], key[0], value[0], 0.25, see)
    np.testing.assert_allclose(out[0].astype(np.float64), want, rtol=2e-3, atol=2e-3)


def test_int8_caches_by_token(builtins):
    """kv_cache_quant_mode PERTOKEN: key t of sequence b has the scale [0, b, t], value t [1, b, t]. As int64 a scale is the
    bits of a float32; as float32 it is such an int64's memory."""
    rng = np.random.default_rng(8)
    stored = rng.integers(-128, 128, (2, 6, BLOCK_SIZE, KV_HEADS, SIZE)).astype(np.int8)
    scale = (rng.random((2, 3, 11)) * 0.02).astype(H)
    offset = rng.integers(-3, 4, (2, 3, 11)).astype(H)
    names = {"key_cache": stored[0], "value_cache": stored[1], "antiquant_scale": scale, "antiquant_offset": offset}
    got = paged(builtins, **names, kv_cache_quant_mode=1)
    bits = scale.astype(np.float32).view(np.uint32).astype(np.int64)
    integers = {"antiquant_scale": bits, "antiquant_offset": offset.astype(np.int32)}
    for form in (bits, bits.reshape(2, 3, 11, 1, 1, 1), bits.view(np.float32)):
        same = paged(builtins, **{**names, **integers, "antiquant_scale": form}, kv_cache_quant_mode=1)
        np.testing.assert_array_equal(same, got)
    rows, at = [], 0
    for b, (length, queries) in enumerate(zip([7, 3], [2, 1], strict=True)):
        sides = []
        for i in range(2):
            whole = dense.rows_of(stored[i], PAGED["block_tables"][b], length).astype(np.float64)
            sides.append((whole + offset[i, b, :length, None, None]) * scale[i, b, :length, None, None])
        query = PAGED["query"][at : at + queries].reshape(queries, HEADS, SIZE)
        rows.append(dense.attention(query, *sides, 0.25, dense.everything))
        at += queries
    want = np.concatenate(rows).reshape(got.shape)
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=4e-3, atol=4e-3)
    for bad in (scale[:, :1], scale[:, :, :6], scale[0], scale.reshape(2, -1)):
        with pytest.raises(ValueError, match=r"antiquant_scale: .* expected \[2, 2 or more, 7 or more\]"):
            paged(builtins, **{**names, "antiquant_scale": bad}, kv_cache_quant_mode=1)
    for bad in (bits + (1 << 32), scale.astype(np.float32), np.repeat(scale, 2, axis=2).astype(np.float32)):
        with pytest.raises(ValueError, match=r"antiquant_scale: .*(a 0 behind|0 above)"):
            paged(builtins, **{**names, **integers, "antiquant_scale": bad}, kv_cache_quant_mode=1)


def test_masks_of_paged_attention_that_no_npu_takes(builtins):
    """[1, 1] says nothing of a chunk, and a mask beside alibi_mask is refused by MindSpore's own kernel."""
    alibi = np.ones((3, 8), H)
    with pytest.raises(ValueError, match=r"attn_mask: given \[1, 1\], expected \[3, 7 or more\]"):
        paged(builtins, attn_mask=np.zeros((1, 1), H))
    with pytest.raises(ValueError, match=r"attn_mask: given \[3, 7\], expected None beside alibi_mask"):
        paged(builtins, attn_mask=np.zeros((3, 7), H), alibi_mask=alibi)
    with pytest.raises(
        ValueError, match=r"alibi_mask: given \[2, 3, 8\].*\[3, 7 or more\] or \[2, 4, queries, 7 or more\]"
    ):
        paged(builtins, alibi_mask=np.ones((2, 3, 8), H))


def rotated(
    builtins: Callable[..., list[np.ndarray]], tokens: int, cos: np.ndarray, sin: np.ndarray, ids: list[int]
) -> Any:
    query, key = halves(tokens, HEADS * SIZE), halves(tokens, KV_HEADS * SIZE)
    outputs = [(query.shape, H), (key.shape, H)]
    return query, builtins("ApplyRotaryPosEmb", [query, key, cos, sin, of(ids, I32), 2], outputs)[0]


@pytest.mark.parametrize(
    ("lens", "positions"),
    [
        ([2, 2, 1, 1], [1, 1, 0, 0, 0, 0]),  # decode of four sequences, two rows left empty
        ([1, 2], [0, 1, 0]),
        ([1, 1, 1], [0, 0, 0]),
        ([3, 2, 1], [0, 1, 2, 0, 1, 0]),  # prefill
        ([2, 2], [4, 5, 4, 5]),
    ],
    ids=str,
)
def test_gathered_rows_whose_lengths_add_up_to_the_tokens(builtins, lens, positions):
    """A row for each token is used as that, though it has as many rows as a table of T positions would."""
    query, got = rotated(builtins, len(positions), COS[positions], SIN[positions], lens)
    want = dense.rotate(query.reshape(len(query), HEADS, SIZE), COS[positions], SIN[positions])
    np.testing.assert_allclose(got.reshape(want.shape).astype(np.float64), want, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("lens", "positions"),
    [
        ([3, 2], [0, 1, 2, 5, 6]),  # the second sequence goes on
        ([3, 2], [0, 1, 2, 3, 4]),
        ([1, 1, 1], [0, 5, 6]),  # decode
        ([1, 1, 1], [0, 4, 4]),
        ([4, 5], [*range(9)]),  # a table, or the second sequence goes on
    ],
    ids=str,
)
def test_rows_that_may_be_a_table_or_gathered_are_refused(builtins, lens, positions):
    """Lengths of the steps are not told from lengths of the context; with those, or with 0, the same rows are used."""
    with pytest.raises(ValueError, match=r"position_ids: given lengths .* may be a table or a row for each token"):
        rotated(builtins, len(positions), COS[positions], SIN[positions], lens)
    for ids in ([lens[0], *(n + 5 for n in lens[1:])], [0] * len(lens)):
        query, got = rotated(builtins, len(positions), COS[positions], SIN[positions], ids)
        want = dense.rotate(query.reshape(len(query), HEADS, SIZE), COS[positions], SIN[positions])
        np.testing.assert_allclose(got.reshape(want.shape).astype(np.float64), want, rtol=2e-3, atol=2e-3)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lens=st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(sum), data=st.data())
def test_gathered_rows_are_never_taken_for_a_table(builtins, lens, data):
    """Whatever positions rows were gathered from and whatever the lengths add up to: right, or refused."""
    tokens = sum(lens)
    positions = data.draw(st.lists(st.integers(0, len(COS) - 1), min_size=tokens, max_size=tokens))
    try:
        query, got = rotated(builtins, tokens, COS[positions], SIN[positions], lens)
    except ValueError as error:
        assert "may be a table or a row for each token" in str(error)
        assert positions.count(0) == 1 and positions[0] == 0
        return
    want = dense.rotate(query.reshape(tokens, HEADS, SIZE), COS[positions], SIN[positions])
    np.testing.assert_allclose(got.reshape(want.shape).astype(np.float64), want, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("lens", "height"), [([9], 9), ([4, 5], 8), ([4, 4], 9)], ids=str)
def test_a_table_about_as_high_as_there_are_tokens(builtins, lens, height):
    rows = [position for length in lens for position in range(length)]
    query, got = rotated(builtins, len(rows), COS[:height], SIN[:height], lens)
    want = dense.rotate(query.reshape(len(rows), HEADS, SIZE), COS[rows], SIN[rows])
    np.testing.assert_allclose(got.reshape(want.shape).astype(np.float64), want, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    "out", [np.int8, np.uint8, np.int16, np.int32, np.int64, F32, np.float64, H, BFLOAT16], ids=str
)
@pytest.mark.parametrize("given", [np.float32, np.float64, H, np.int64, np.int8, np.bool_], ids=str)
def test_cumsum_in_another_dtype(builtins, given, out):
    """mint.cumsum's dtype: numbers become it first, and are added up there."""
    x = np.array([[1.75, 0.5, 2.25], [3.5, 1.0, 0.25]]).astype(given)
    (got,) = builtins("CumsumExt", [x, 1, None], [(x.shape, out)])
    assert got.dtype == np.dtype(out)
    np.testing.assert_array_equal(got, np.cumsum(x.astype(out).astype(np.float64), axis=1).astype(out))


def test_cumsum_of_integers_wraps(builtins):
    x = np.array([2**63 - 1, 1, 1])
    (got,) = builtins("CumsumExt", [x, 0, None], [((3,), np.int64)])
    np.testing.assert_array_equal(got, np.cumsum(x))
    (got,) = builtins("CumsumExt", [np.array([np.nan, np.inf, -np.inf], F32), 0, None], [((3,), np.int64)])
    np.testing.assert_array_equal(got, [0, 2**63 - 1, -1])
    for dtype in (np.bool_, np.uint16, np.uint64):
        with pytest.raises(TypeError, match="CumsumExt's dtype: given"):
            builtins("CumsumExt", [x, 0, None], [((3,), dtype)])
