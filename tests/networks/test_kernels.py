"""Every kernel alone against NumPy in float64, on every instruction set, through the plain C interface."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ms_scatter_pa.compat.names import BUILTINS

from . import dense
from .library import BFLOAT16

FLOATS = {"float16": np.dtype(np.float16), "bfloat16": BFLOAT16, "float32": np.dtype(np.float32)}
# One rounding of a result near 1, and what float32 sums add to it.
STEP = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-22}
MAX = 2147483647
TH, TND, BSH, BNSD, SBH, BSND = 5, 4, 0, 1, 2, 3

many = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
dtypes = st.sampled_from(sorted(FLOATS))
seeds = st.integers(0, 2**32 - 1)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(FLOATS[dtype])


def close(got: np.ndarray, want: np.ndarray, dtype: str, factor: float = 8.0) -> None:
    step = STEP[dtype] * factor
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=step, atol=step)


# One rounding to the dtype, and of numbers below its smallest normal one.
ROUNDOFF = {"float16": (2.0**-11, 2.0**-25), "bfloat16": (2.0**-8, 2.0**-134), "float32": (2.0**-24, 2.0**-150)}


def within(got: np.ndarray, want: np.ndarray, error: np.ndarray, dtype: str) -> None:
    """No further off than float32 may be, and one rounding of that."""
    relative, least = ROUNDOFF[dtype]
    off = abs(got.astype(np.float64).reshape(want.shape) - want)
    allowed = error + relative * (abs(want) + error) + least
    assert (off <= allowed).all(), f"off by {(off / allowed).max():.2f} of what is allowed"


def test_the_table_and_the_package_name_the_same_operators(builtins):
    assert sorted([*builtins.names(), "ReshapeAndCache"]) == sorted(BUILTINS)


@many
@given(
    data=st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 7, 16, 33, 64, 129]), dtypes, dtypes, seeds),
    added=st.booleans(),
)
def test_rms_norm(instruction_set, builtins, stores, data, added):
    rows, width, dtype, gamma_dtype, seed = data
    rng = np.random.default_rng(seed)
    x, gamma = numbers(rng, (rows, 3, width), dtype), numbers(rng, (width,), gamma_dtype)
    outputs = [((rows, 3, width), FLOATS[dtype]), ((rows, 3, 1), np.float32)]
    if added:
        other = numbers(rng, x.shape, dtype)
        y, factor, total = builtins("AddRmsNorm", [x, other, gamma, 1e-5], [*outputs, outputs[0]])
        x = (x.astype(np.float32) + other.astype(np.float32)).astype(FLOATS[dtype])
        np.testing.assert_array_equal(total, x)
    else:
        y, factor = builtins("RmsNorm", [x, gamma, 1e-5], outputs)
    want, want_factor = dense.rms_norm(x, gamma, 1e-5)
    close(factor, want_factor, "float32", 32)
    np.testing.assert_allclose(
        y.astype(np.float64), want, rtol=2 * STEP[dtype], atol=1e-6 if dtype == "float32" else 1e-7
    )


@many
@given(
    lens=st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(sum),
    kind=st.sampled_from(["table", "gathered", "rows", "positions"]),
    neighbours=st.booleans(),
    size=st.sampled_from([2, 4, 16, 64, 66]),
    data=st.tuples(dtypes, st.booleans(), seeds),
)
def test_rotary(instruction_set, builtins, stores, lens, kind, neighbours, size, data):
    dtype, wide_table, seed = data
    rng = np.random.default_rng(seed)
    tokens, heads, kv_heads = sum(lens), 4, 2
    table_dtype = "float32" if wide_table else dtype
    starts = np.concatenate([np.arange(length) for length in lens])
    height = tokens if kind != "table" else max(lens) + int(rng.integers(0, 20))
    height += kind == "table" and height == tokens  # may be gathered rows too, and is refused
    angles = np.arange(height)[:, None] / 100.0 ** (np.arange(size)[None] / size)
    cos, sin = np.cos(angles).astype(FLOATS[table_dtype]), np.sin(angles).astype(FLOATS[table_dtype])
    rows, ids = starts, np.array(lens, np.int32)
    if kind == "gathered":
        cos, sin, rows = cos[starts], sin[starts], np.arange(tokens)
    elif kind == "rows":
        rows, ids = np.arange(tokens), np.full(tokens, 9, np.int32)
    elif kind == "positions":
        rows = rng.integers(0, tokens, tokens)
        ids = rows.astype(np.int64)
    query, key = (numbers(rng, (tokens, n * size), dtype) for n in (heads, kv_heads))
    mode = (0 if kind == "positions" else 2) + int(neighbours)
    outputs = [(array.shape, array.dtype) for array in (query, key)]
    got = builtins("ApplyRotaryPosEmb", [query, key, cos, sin, ids, mode], outputs)
    for result, array in zip(got, (query, key), strict=True):
        want = dense.rotate(array.reshape(tokens, -1, size), cos[rows], sin[rows], neighbours=neighbours)
        close(result.reshape(want.shape), want, dtype, 4)


@st.composite
def paged(draw) -> dict:
    heads, group = draw(st.sampled_from([(1, 1), (1, 4), (2, 3), (3, 1), (2, 8), (1, 33)]))
    block_size = draw(st.sampled_from([1, 3, 16, 128]))
    q_lens = draw(st.lists(st.integers(0, 9) | st.integers(1, 1), min_size=1, max_size=3).filter(sum))
    lens = [q + draw(st.integers(0, 150)) if q or draw(st.booleans()) else 0 for q in q_lens]
    return {
        "kv_heads": heads,
        "group": group,
        "block_size": block_size,
        "q_lens": q_lens,
        "lens": lens,
        "sizes": draw(st.sampled_from([(16, 16), (8, 24), (128, 128), (5, 7), (72, 64)])),
        "dtype": draw(dtypes),
        "seed": draw(seeds),
    }


def paged_case(case: dict, *, mla: bool = False):
    rng = np.random.default_rng(case["seed"])
    size, value_size = case["sizes"]
    pages = [-(-length // case["block_size"]) for length in case["lens"]]
    blocks = sum(pages) + 2
    width = max([*pages, 1]) + 1
    order, taken = rng.permutation(blocks), 0
    tables = np.full((len(pages), width), -1, np.int32)
    for b, count in enumerate(pages):
        tables[b, :count] = order[taken : taken + count]
        taken += count
    shape = (blocks, case["block_size"], case["kv_heads"])
    keys = numbers(rng, (*shape, size), case["dtype"])
    values = keys[..., :value_size] if mla else numbers(rng, (*shape, value_size), case["dtype"])
    # What no sequence owns is not read.
    for cache in (keys,) if mla else (keys, values):
        cache[order[taken:]] = np.nan
    heads = case["kv_heads"] * case["group"]
    query = numbers(rng, (sum(case["q_lens"]), heads * size), case["dtype"])
    return rng, query, keys, values, tables, heads


@many
@given(
    case=paged(),
    kind=st.sampled_from(
        ["no mask", "tree", "batched tree", "MLA", "trapezoidal", "flat caches", "alibi", "alibi of heads"]
    ),
)
def test_paged_attention(instruction_set, product, builtins, case, kind):
    """attn_mask counts where a sequence has more queries than one."""
    if kind == "MLA":
        case["kv_heads"], case["group"] = 1, case["kv_heads"] * case["group"]
        case["sizes"] = (max(case["sizes"]), min(case["sizes"]))
    if kind == "batched tree":
        case["q_lens"] = [max(case["q_lens"])] * len(case["lens"])
        case["lens"] = [max(pair) for pair in zip(case["q_lens"], case["lens"], strict=True)]
    rng, query, keys, values, tables, heads = paged_case(case, mla=kind == "MLA")
    size, value_size = keys.shape[-1], values.shape[-1]
    tokens, scale, queries, columns = len(query), 1 / np.sqrt(size), max(case["q_lens"]), max(case["lens"]) + 3
    mask = alibi = added = None
    if kind == "trapezoidal":
        mask = np.zeros((tokens, 5), np.float16)
    elif kind in ("tree", "batched tree"):
        mask = np.where(rng.random((tokens, columns)) < 0.5, -10000, 0).astype(np.float16)
        added = mask if queries > 1 else None
        mask = mask.reshape(-1, queries, columns) if kind == "batched tree" else mask
    elif kind == "alibi":
        added = alibi = numbers(rng, (tokens, columns), case["dtype"])
    elif kind == "alibi of heads":
        alibi = numbers(rng, (len(case["lens"]), heads, queries, columns), case["dtype"])
        added = np.concatenate([rows[:, :count] for rows, count in zip(alibi, case["q_lens"], strict=True)], axis=1)
    given_keys, given_values = keys, None if kind == "MLA" else values
    if kind == "flat caches":
        given_keys, given_values = (cache.reshape(*cache.shape[:2], -1) for cache in (keys, values))
    inputs = [query, given_keys, given_values, tables, np.array(case["lens"], np.int32), None, None, mask]
    inputs += [np.array(case["q_lens"], np.int32), alibi, heads, scale, case["kv_heads"], 0, int(kind == "trapezoidal")]
    shape = (tokens, heads * value_size)
    (got,) = builtins("PagedAttention", [*inputs, value_size if kind == "MLA" else 0], [(shape, FLOATS[case["dtype"]])])
    want, error = dense.paged_attention_and_error(
        query.reshape(tokens, heads, size),
        keys,
        values,
        tables,
        case["lens"],
        case["q_lens"],
        scale,
        added,
        kind == "trapezoidal",
    )
    within(got, want, error, case["dtype"])


@many
@given(case=paged(), integers=st.booleans())
def test_paged_attention_with_int8_caches(instruction_set, builtins, case, integers):
    case["sizes"] = (case["sizes"][0],) * 2
    rng, query, keys, _, tables, heads = paged_case({**case, "dtype": "float16"})
    size = keys.shape[-1]
    stored = rng.integers(-128, 128, (2, *keys.shape)).astype(np.int8)
    scale = (rng.random((2, case["kv_heads"] * size)) * 0.02).astype(np.float16)
    offset = rng.integers(-5, 6, scale.shape).astype(np.float16)
    given_numbers = (scale, offset)
    if integers:  # as Ascend's integer products have them
        given_numbers = (scale.astype(np.float32).view(np.uint32).astype(np.int64), offset.astype(np.int32))
    inputs = [query, *stored, tables, np.array(case["lens"], np.int32), *given_numbers, None]
    inputs += [np.array(case["q_lens"], np.int32), None, heads, 0.2, case["kv_heads"], 0, 0, 0]
    (got,) = builtins("PagedAttention", inputs, [(query.shape, np.float16)])
    wide = [
        (cache.astype(np.float64) + offset[i].reshape(case["kv_heads"], size))
        * scale[i].reshape(case["kv_heads"], size)
        for i, cache in enumerate(stored)
    ]
    tokens = len(query)
    shaped = query.reshape(tokens, heads, size)
    want, error = dense.paged_attention_and_error(shaped, *wide, tables, case["lens"], case["q_lens"], 0.2)
    within(got, want, error, "float16")


@many
@given(case=paged())
def test_paged_attention_mask(instruction_set, builtins, case):
    case["q_lens"], case["lens"] = [1] * len(case["lens"]), [max(1, length) for length in case["lens"]]
    rng, query, keys, values, tables, heads = paged_case(case)
    batch, size = len(query), keys.shape[-1]
    bias = numbers(rng, (batch, heads, 1, max(case["lens"]) + 2), case["dtype"])
    inputs = [query, keys, values, tables, np.array(case["lens"], np.int32), None, None, bias, heads, 0.3]
    shape = (batch, heads * values.shape[-1])
    (got,) = builtins("PagedAttentionMask", [*inputs, case["kv_heads"], 0], [(shape, FLOATS[case["dtype"]])])
    for b, length in enumerate(case["lens"]):
        rows = [dense.rows_of(cache, tables[b], length) for cache in (keys, values)]
        one = query[b].reshape(1, heads, size)
        added = bias[b, :, :, :length].astype(np.float64)
        within(got[b], *dense.attention_and_error(one, *rows, 0.3, dense.everything, added), case["dtype"])


def to_layout(x: np.ndarray, layout: int) -> np.ndarray:
    """From [B, S, N, D]."""
    b, s, n, d = x.shape
    shaped = {
        BSH: x.reshape(b, s, n * d),
        BNSD: x.transpose(0, 2, 1, 3),
        SBH: x.transpose(1, 0, 2, 3).reshape(s, b, n * d),
        BSND: x,
        TH: x.reshape(b * s, n * d),
        TND: x.reshape(b * s, n, d),
    }
    return np.ascontiguousarray(shaped[layout])


def flash(builtins, query, key, value, layout, heads, scale, **more):
    """The fourth output and the first two; query, key and value as the layout has them."""
    given_numbers = {"pre": MAX, "next": MAX, "sparse": 0, "q_lens": None, "kv_lens": None, "mask": None, "shift": None}
    call = {**given_numbers, **more}
    tokens = query.size // (query.shape[-1] if layout in (BSH, SBH, TH) else heads * query.shape[-1])
    inputs = [query, key, value, call["shift"], None, None, call["mask"], None, call["q_lens"], call["kv_lens"]]
    inputs += [heads, 1.0, scale, call["pre"], call["next"], 0, layout, call["sparse"]]
    statistics = ((tokens * heads * 8,), np.float32)
    width = query.shape[-1] // heads if layout in (BSH, SBH, TH) else query.shape[-1]
    kv_width = value.shape[-1]
    if layout in (BSH, SBH, TH):
        kv_width = value.shape[-1] // (key.shape[-1] // width)
    shape = (*query.shape[:-1], query.shape[-1] // width * kv_width)
    most, total, _, out = builtins(
        "FlashAttentionScore", inputs, [statistics, statistics, ((1,), query.dtype), (shape, query.dtype)]
    )
    return out, most, total


@many
@given(
    layout=st.sampled_from([BSH, BNSD, SBH, BSND]),
    shape=st.tuples(
        st.integers(1, 2), st.sampled_from([1, 5, 37, 150]), st.sampled_from([1, 6, 40, 600]), st.integers(1, 2)
    ),
    group=st.sampled_from([1, 3]),
    sizes=st.sampled_from([(16, 16), (64, 64), (6, 10)]),
    mask=st.sampled_from(["none", "2-D", "batch", "heads", "float", "left", "right", "band", "shift"]),
    data=st.tuples(dtypes, seeds),
)
def test_flash_attention(instruction_set, product, builtins, layout, shape, group, sizes, mask, data):
    (batch, queries, keys, kv_heads), (dtype, seed) = shape, data
    rng, heads = np.random.default_rng(seed), kv_heads * group
    query = numbers(rng, (batch, queries, heads, sizes[0]), dtype)
    key, value = (numbers(rng, (batch, keys, kv_heads, size), dtype) for size in sizes)
    scale, more, see = 0.3, {}, [dense.everything] * batch
    bias = np.zeros((batch, heads, queries, keys))
    if mask in ("2-D", "batch", "heads"):
        lead = {"2-D": (), "batch": (batch, 1), "heads": (batch, heads)}[mask]
        hidden = rng.random((*lead, queries, keys)) < 0.4
        more["mask"] = hidden if seed % 2 else hidden.astype(np.uint8)
        bias = np.where(np.broadcast_to(hidden, bias.shape), -np.inf, 0)
    elif mask == "float":
        hidden = rng.random((queries, keys)) < 0.4
        more["mask"] = np.where(hidden, -10000, 0).astype(np.float16)
        bias = np.broadcast_to(more["mask"].astype(np.float64), bias.shape)
    elif mask == "shift":
        more["shift"] = numbers(rng, (1 if seed % 2 else batch, heads, queries, keys), dtype)
        bias = np.broadcast_to(more["shift"].astype(np.float64) * scale, bias.shape)
    elif mask == "left":
        more["sparse"], see = 2, [dense.causal(0)] * batch
    elif mask == "right":
        more["sparse"], see = 3, [dense.causal(keys - queries)] * batch
    elif mask == "band":
        before, after = int(rng.integers(0, keys + 2)), int(rng.integers(0, keys + 2))
        more |= {"sparse": 4, "pre": before, "next": after}
        corner = keys - queries
        see = [lambda i, j: (j >= i + corner - before) & (j <= i + corner + after)] * batch
    out, most, total = flash(
        builtins, *(to_layout(x, layout) for x in (query, key, value)), layout, heads, scale, **more
    )
    with np.errstate(invalid="ignore"):
        parts = [dense.attention_and_error(query[b], key[b], value[b], scale, see[b], bias[b]) for b in range(batch)]
    want, error = (to_layout(np.stack(part), layout) for part in zip(*parts, strict=True))
    within(out, want, error, dtype)
    assert most.size == total.size == batch * heads * queries * 8
    if mask == "none":
        scores = (
            np.einsum("bqnd,bknd->bnqk", query.astype(np.float64), np.repeat(key.astype(np.float64), group, axis=2))
            * scale
        )
        close(most.reshape(batch, heads, queries, 8), np.repeat(scores.max(-1)[..., None], 8, -1), "float32", 256)
        sums = np.exp(scores - scores.max(-1, keepdims=True)).sum(-1)
        np.testing.assert_allclose(total.reshape(batch, heads, queries, 8)[..., 0], sums, rtol=1e-4)


@many
@given(
    lens=st.lists(st.integers(0, 40) | st.just(200), min_size=1, max_size=4).filter(sum),
    layout=st.sampled_from([TH, TND]),
    mask=st.sampled_from(["triangle", "next_tokens", "none", "full"]),
    data=st.tuples(dtypes, seeds),
)
def test_flash_attention_of_lengths(instruction_set, product, builtins, lens, layout, mask, data):
    dtype, seed = data
    rng, heads, kv_heads, size = np.random.default_rng(seed), 4, 2, 16
    tokens = sum(lens)
    query, key, value = (numbers(rng, (1, tokens, n, size), dtype) for n in (heads, kv_heads, kv_heads))
    given_lens = np.cumsum(lens) if layout == TND else np.array(lens)
    more = {"q_lens": given_lens.astype(np.int64), "kv_lens": given_lens.astype(np.int32)}
    triangle = np.triu(np.ones((128, 128), np.float32), 1)
    is_causal = mask in ("triangle", "next_tokens") or (mask == "full" and seed % 2)
    if mask == "full" or layout == TND:
        longest = max(lens)
        hidden = np.triu(np.ones((longest, longest), bool), 1) if is_causal else rng.random((longest, longest)) < 0.3
        if mask == "none":
            hidden[:] = False
        more["mask"] = hidden
    elif mask != "none":
        number = 1 if dtype == "bfloat16" else -10000
        more["mask"] = (triangle * number).astype(FLOATS[dtype if dtype != "float32" else "float16"])
        if mask == "next_tokens":
            more["next"] = 0
    out, _, _ = flash(builtins, *(to_layout(x, layout) for x in (query, key, value)), layout, heads, 0.25, **more)
    at, want = 0, []
    for length in lens:
        part = slice(at, at + length)
        see = dense.causal(0) if is_causal else dense.everything
        bias = 0.0
        if mask == "full" and not is_causal:
            bias = np.where(more["mask"][:length, :length], -np.inf, 0)[None]
        with np.errstate(invalid="ignore"):
            want.append(dense.attention_and_error(query[0, part], key[0, part], value[0, part], 0.25, see, bias))
        at += length
    within(out, *(to_layout(np.concatenate(part)[None], layout) for part in zip(*want, strict=True)), dtype)


MASKING = {"bool": (1,), "uint8": (1, 2), "float16": (-10000, -60000, -np.inf), "float32": (-10000, -1e30, -np.inf)}
MASKING["bfloat16"] = (1, -10000, -9990, -60000, -1e30, -np.inf)
ADDED = {"bool": (), "uint8": (), "float16": (-9984, -5, -0.5, 0.5, 1, 2, "almost", "noise")}
ADDED |= {"float32": (-9999, -5, 1, "almost", "noise"), "bfloat16": (-9920, -5, -0.5, 2, "almost", "noise")}


@pytest.mark.parametrize("length", [6, 128, 140])
@pytest.mark.parametrize(("dtype", "number"), [(d, n) for d in sorted(MASKING) for n in MASKING[d] + ADDED[d]], ids=str)
def test_only_numbers_that_mask_make_the_triangle_causal(builtins, dtype, length, number):
    """Others are added where the mask is as long as the sequence, or refused."""
    rng, kind = np.random.default_rng(length), {**FLOATS, "bool": np.dtype(bool), "uint8": np.dtype(np.uint8)}[dtype]
    query, key, value = (numbers(rng, (length, n * 16), "float16") for n in (4, 2, 2))
    above = np.triu(np.ones((128, 128), bool), 1)
    if number == "noise":
        mask = rng.standard_normal((128, 128)).astype(kind)
    else:
        mask = np.where(above, -10000 if number == "almost" else number, 0).astype(kind)
        mask[0, 1] = 0 if number == "almost" else mask[0, 1]
    masks = number in MASKING[dtype]
    lens = np.array([length])
    given_arrays = (query, key, value, TH, 4, 0.25)
    taken = masks or (length <= 128 and (dtype != "bfloat16" or number == "almost"))
    if not taken:
        with pytest.raises(ValueError, match=r"attn_mask: given .* expected"):
            flash(builtins, *given_arrays, q_lens=lens, kv_lens=lens, mask=mask)
        return
    out, _, _ = flash(builtins, *given_arrays, q_lens=lens, kv_lens=lens, mask=mask)
    see = dense.causal(0) if masks else dense.everything
    bias = 0.0 if masks else mask[:length, :length].astype(np.float64)[None]
    shaped = [x.reshape(length, -1, 16) for x in (query, key, value)]
    within(out, *(x.reshape(length, -1) for x in dense.attention_and_error(*shaped, 0.25, see, bias)), "float16")


@pytest.mark.parametrize("sparse", [2, 3, 4])
def test_sparse_modes_take_a_triangle_alone(builtins, sparse):
    """As MindSpore's documents have it, 2048 x 2048; another mask would say something else than the mode."""
    rng, lead = np.random.default_rng(sparse), (1,) * (2 * (sparse - 2))
    query, key, value = (numbers(rng, (1, 6, n * 16), "float16") for n in (4, 2, 2))
    more = {"sparse": sparse, "pre": 3, "next": 0}
    want, _, _ = flash(builtins, query, key, value, BSH, 4, 0.25, **more)
    triangle = np.triu(np.ones((*lead, 2048, 2048), np.uint8), 1)
    for mask in (triangle, triangle.astype(bool), triangle[..., :6, :6] * np.float16(-10000)):
        out, _, _ = flash(builtins, query, key, value, BSH, 4, 0.25, mask=np.ascontiguousarray(mask), **more)
        np.testing.assert_array_equal(out, want)
    beyond, hole = triangle.copy(), triangle.copy()
    beyond[..., 3, 1000] = beyond[..., 1000, 3] = 2
    out, _, _ = flash(builtins, query, key, value, BSH, 4, 0.25, mask=beyond, **more)  # of six tokens it says nothing
    np.testing.assert_array_equal(out, want)
    hole[..., 3, 5] = 0
    wrong = [
        hole,
        0 * triangle,
        np.swapaxes(triangle, -1, -2),
        triangle[..., :6, :7],
        triangle[..., :6, :6] * np.float16(-5),
    ]
    for mask in wrong:
        with pytest.raises(
            ValueError, match=r"attn_mask: given \[[0-9, ]+\](| of other numbers), expected None or a causal triangle"
        ):
            flash(builtins, query, key, value, BSH, 4, 0.25, mask=np.ascontiguousarray(mask), **more)


@pytest.mark.parametrize("number", [1, -10000, -np.inf])
def test_what_masks_in_bfloat16_where_mla_is(builtins, number):
    rng = np.random.default_rng(3)
    query, keys = numbers(rng, (5, 4 * 16), "bfloat16"), numbers(rng, (6, 4, 1, 16), "bfloat16")
    tables, lens, q_lens = np.arange(6, dtype=np.int32).reshape(2, 3), np.array([5, 12]), np.array([2, 3])
    hidden = rng.random((5, 12)) < 0.4
    hidden[:, 0] = False

    def run(mask):
        inputs = [query, keys, keys, tables, lens, None, None, mask.astype(BFLOAT16), q_lens, None, 4, 0.3, 1, 0, 0, 8]
        return builtins("PagedAttention", inputs, [((5, 4 * 8), BFLOAT16)])[0]

    mask = np.where(hidden, -10000, 0)
    want = dense.paged_attention_and_error(
        query.reshape(5, 4, 16), keys, keys[..., :8], tables, lens.tolist(), q_lens.tolist(), 0.3, mask
    )
    within(run(np.where(hidden, number, 0)), *want, "bfloat16")
    for other in (0.5, -5, 1 if number != 1 else -10000):
        wrong = np.where(hidden, number, 0)
        wrong[0, 0] = other
        with pytest.raises(ValueError, match=r"attn_mask: given .* in bfloat16"):
            run(wrong if isinstance(other, int) else np.where(hidden, other, 0))


@many
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(["int32", "int64", "int8", "bool", "float16", "float32", "float64", "bfloat16"]),
    data=st.tuples(st.integers(-3, 2), seeds),
)
def test_cumsum_argmax_and_select(builtins, shape, dtype, data):
    dim, seed = data[0] % len(shape) - (len(shape) if data[0] < 0 else 0), data[1]
    rng = np.random.default_rng(seed)
    kind = FLOATS.get(dtype, np.dtype(dtype) if dtype != "bfloat16" else BFLOAT16)
    x = rng.integers(0, 2 if dtype == "bool" else 9, shape).astype(kind)
    out_type = np.int64 if dtype in ("int32", "int64", "int8", "bool") else kind
    (sums,) = builtins("CumsumExt", [x, dim, None], [(shape, out_type)])
    wide = x.astype(np.int64 if out_type is np.int64 else np.float64)
    np.testing.assert_array_equal(sums.astype(wide.dtype), np.cumsum(wide, axis=dim))
    reduced = tuple(n for d, n in enumerate(shape) if d != dim % len(shape))
    (best,) = builtins("ArgMaxExt", [x, dim, False], [(reduced, np.int64)])
    np.testing.assert_array_equal(best, np.argmax(x.astype(np.float64), axis=dim))
    (first,) = builtins("ArgMaxExt", [x, None, False], [((), np.int64)])
    assert first == np.argmax(x.astype(np.float64))
    index = rng.integers(0, shape[dim], int(rng.integers(0, 6))).astype(np.int32 if seed % 2 else np.int64)
    want = np.take(x, index, axis=dim)
    (got,) = builtins("IndexSelect", [x, dim, index], [(want.shape, kind)])
    np.testing.assert_array_equal(got, want)
    repeats = int(rng.integers(0, 4))
    for axis in (dim, None):
        want = np.repeat(x, repeats, axis=axis)
        (got,) = builtins("RepeatInterleaveInt", [x, repeats, axis, None], [(want.shape, kind)])
        np.testing.assert_array_equal(got, want)
    start, end = (int(n) for n in rng.integers(-shape[dim] - 2, shape[dim] + 3, 2))
    step = int(rng.integers(1, 4))
    cut = [slice(None)] * len(shape)
    cut[dim] = slice(start, end, step)
    want = x[tuple(cut)]
    (got,) = builtins("SliceExt", [x, dim, start, end, step], [(want.shape, kind)])
    np.testing.assert_array_equal(got, want)
    (moved,) = builtins("MoveTo", [x, None, False], [(shape, kind)])
    np.testing.assert_array_equal(moved, x)


def test_argmax_gives_the_first_nan(builtins):
    x = np.array([[1, np.nan, 3, np.nan], [np.inf, 1, np.inf, -1]], np.float16)
    (best,) = builtins("ArgMaxExt", [x, -1, False], [((2,), np.int64)])
    assert best.tolist() == [1, 0]


@many
@given(data=st.tuples(dtypes, seeds), rows=st.integers(0, 4), width=st.sampled_from([1, 5, 64]), one=st.booleans())
def test_quant(builtins, data, rows, width, one):
    """A scale multiplies beside a float offset and divides beside one of int8, which is added to what is rounded."""
    dtype, seed = data
    rng = np.random.default_rng(seed)
    x = (numbers(rng, (rows, 2, width), dtype).astype(np.float32) * 50).astype(FLOATS[dtype])
    scale, offset = (numbers(rng, (1 if one else width,), dtype) for _ in range(2))
    (got,) = builtins("QuantV2", [x, scale, offset, False, 0, None], [(x.shape, np.int8)])
    exact = x.astype(np.float32) * scale.astype(np.float32) + offset.astype(np.float32)
    np.testing.assert_array_equal(got, np.clip(np.rint(exact), -128, 127).astype(np.int8))
    zero_point = rng.integers(-128, 128, offset.shape).astype(np.int8)
    scale[scale == 0] = 1
    (got,) = builtins("QuantV2", [x, scale, zero_point, False, 0, None], [(x.shape, np.int8)])
    exact = np.rint(x.astype(np.float32) / scale.astype(np.float32)) + zero_point
    np.testing.assert_array_equal(got, np.clip(exact, -128, 127).astype(np.int8))


@pytest.mark.parametrize("name", ["RmsNorm", "PagedAttention"])
def test_not_a_number_stays_one(instruction_set, product, builtins, name):
    """Of the rows that have it, and of no other."""
    x = np.ones((3, 64), np.float16)
    x[1, 5] = np.nan
    if name == "RmsNorm":
        (y, _) = builtins(name, [x, np.ones(64, np.float16), 1e-6], [(x.shape, x.dtype), ((3, 1), np.float32)])
    else:
        cache = np.ones((3, 4, 1, 64), np.float16)
        tables, lens = np.arange(3, dtype=np.int32)[:, None], np.array([4, 3, 2], np.int32)
        inputs = [x, cache, cache, tables, lens, None, None, None, None, None, 1, 0.1, 1, 0, 0, 0]
        (y,) = builtins(name, inputs, [(x.shape, x.dtype)])
    assert np.isnan(y[1]).any() and not np.isnan(y[[0, 2]]).any()


def test_scores_of_any_size_do_not_overflow(instruction_set, product, builtins):
    """A softmax that did not take the maximum away would."""
    query = np.full((2, 2 * 16), 300, np.float16)
    cache = np.full((2, 8, 1, 16), 300, np.float16)
    cache[:, 1::2] *= -1
    value = (np.arange(2 * 8 * 16).reshape(2, 8, 1, 16) / 256).astype(np.float16)
    tables, lens = np.array([[0], [1]], np.int32), np.array([8, 7], np.int32)
    inputs = [query, cache, value, tables, lens, None, None, None, None, None, 2, 1.0, 1, 0, 0, 0]
    (got,) = builtins("PagedAttention", inputs, [(query.shape, np.float16)])
    want = dense.paged_attention(query.reshape(2, 2, 16), cache, value, tables, [8, 7], [1, 1], 1.0)
    close(got.reshape(want.shape), want, "float16")
