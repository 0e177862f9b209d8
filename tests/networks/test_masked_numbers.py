"""A NaN or an infinity in a key or value that a query does not see does not reach its row; one that it sees does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import dense
from .test_kernels import BSND, FLOATS, MAX, TH, TND, dtypes, flash, many, numbers, paged, paged_case, seeds, within

SCALE = 0.3
POISONS = (np.nan, np.inf, -np.inf)
INFINITE = {"float16": np.float16, "float32": np.float32}


def poisoned(rng: np.random.Generator, keys: np.ndarray, values: np.ndarray, bad: np.ndarray, side: str) -> None:
    """Plants numbers into some channels of the rows ``bad`` of keys or values [T, N, D]."""
    for name, rows in (("keys", keys), ("values", values)):
        if side not in (name, "both"):
            continue
        places = rng.random((int(bad.sum()), *rows.shape[1:])) < 0.4
        places[..., int(rng.integers(rows.shape[-1]))] = True
        filled = rows[bad]
        filled[places] = rng.choice(POISONS, int(places.sum())).astype(rows.dtype)
        rows[bad] = filled


def check(got, query, clean, bad, see, dtype, bias=0.0, *, shown: bool = True) -> None:
    """Rows that see no bad key are those of the clean ones; others, where ``shown``, are no numbers throughout.

    see [Tq, Tk] or [N, Tq, Tk]."""
    heads = query.shape[1]
    seen = np.broadcast_to(see, (heads, len(query), len(bad)))
    keys, values = (np.where(bad[:, None, None], 0, rows.astype(np.float64)) for rows in clean)
    with np.errstate(invalid="ignore"):
        want, error = dense.attention_and_error(query, keys, values, SCALE, lambda i, j: seen, bias)
    free = ~(seen & bad).any(-1).T  # [Tq, N]
    got = got.reshape(want.shape)
    within(got[free], want[free], error[free], dtype)
    if shown:
        assert not np.isfinite(got[~free].astype(np.float64)).all(-1).any()


@many
@given(
    shape=st.tuples(st.sampled_from([1, 5, 33, 140]), st.sampled_from([6, 32, 65, 300, 700]), st.sampled_from([1, 2])),
    group=st.sampled_from([1, 3]),
    mask=st.sampled_from(["left", "right", "band", "bool", "heads", "infinite", "window"]),
    side=st.sampled_from(["keys", "values", "both"]),
    share=st.sampled_from([0.02, 0.5]),
    data=st.tuples(dtypes, seeds),
)
def test_flash_attention(instruction_set, product, builtins, shape, group, mask, side, share, data):
    (queries, keys, kv_heads), (dtype, seed) = shape, data
    rng, heads = np.random.default_rng(seed), kv_heads * group
    query = numbers(rng, (1, queries, heads, 16), dtype)
    key, value = numbers(rng, (1, keys, kv_heads, 16), dtype), numbers(rng, (1, keys, kv_heads, 24), dtype)
    i, j, corner = np.arange(queries)[:, None], np.arange(keys)[None], keys - queries
    before, after = int(rng.integers(0, keys + 2)), int(rng.integers(0, 9))
    hidden = rng.random((heads if mask == "heads" else 1, queries, keys)) < 0.5
    more: dict = {"pre": before, "next": after} if mask in ("band", "window") else {}
    if mask == "left":
        more["sparse"], see = 2, j <= i
    elif mask == "right":
        more["sparse"], see = 3, j <= i + corner
    elif mask == "band":
        more["sparse"], see = 4, (j >= i + corner - before) & (j <= i + corner + after)
    elif mask == "window":
        more["mask"], see = np.zeros((queries, keys), bool), (j >= i - before) & (j <= i + after)
    elif mask == "infinite":
        kind = INFINITE.get(dtype, np.float32)
        more["mask"], see = np.where(hidden[0], -np.inf, 0).astype(kind), ~hidden[0]
    else:
        more["mask"], see = hidden[None] if mask == "heads" else hidden[0].astype(np.uint8), ~hidden
    clean = key[0].copy(), value[0].copy()
    bad = rng.random(keys) < share
    poisoned(rng, key[0], value[0], bad, side)
    out, most, total = flash(builtins, query, key, value, BSND, heads, SCALE, **more)
    check(out, query[0], clean, bad, see, dtype, shown=side == "values")
    free = ~(np.broadcast_to(see, (heads, queries, keys)) & bad).any(-1)
    for statistic in (most, total):
        assert not np.isnan(statistic.reshape(heads, queries, 8)[free]).any()


@many
@given(
    lens=st.lists(st.integers(0, 40) | st.just(200), min_size=1, max_size=4).filter(sum),
    layout=st.sampled_from([TH, TND]),
    side=st.sampled_from(["keys", "values", "both"]),
    data=st.tuples(dtypes, seeds),
)
def test_flash_attention_of_lengths(instruction_set, product, builtins, lens, layout, side, data):
    """Neither what a triangle masks nor another sequence."""
    dtype, seed = data
    rng, tokens = np.random.default_rng(seed), sum(lens)
    query, key, value = (numbers(rng, (tokens, n, 16), dtype) for n in (4, 2, 2))
    clean = key.copy(), value.copy()
    bad = rng.random(tokens) < 0.1
    poisoned(rng, key, value, bad, side)
    ends = np.cumsum(lens)
    lengths = np.array(lens if layout == TH else ends)
    more: dict = {"q_lens": lengths, "kv_lens": lengths, "pre": MAX, "next": MAX}
    if layout == TH:
        more["mask"] = (np.triu(np.ones((128, 128), np.float32), 1) * -10000).astype(np.float16)
    else:
        more["sparse"] = 3
    shaped = [x.reshape(tokens, -1) if layout == TH else x for x in (query, key, value)]
    out, _, _ = flash(builtins, *shaped, layout, 4, SCALE, **more)
    owner = np.searchsorted(ends, np.arange(tokens), side="right")
    see = (owner[:, None] == owner[None]) & (np.arange(tokens)[None] <= np.arange(tokens)[:, None])
    check(out, query, clean, bad, see, dtype, shown=side == "values")


@many
@given(
    case=paged(),
    kind=st.sampled_from(["none", "trapezoidal", "infinite", "alibi", "int8", "by token", "MLA", "PagedAttentionMask"]),
    side=st.sampled_from(["keys", "values", "both"]),
    seed=seeds,
)
def test_paged_attention(instruction_set, product, builtins, case, kind, side, seed):
    """What lies in a page behind the context, and in a page that no table names, is not read."""
    alone, codes = kind == "PagedAttentionMask", kind in ("int8", "by token")
    if alone:
        case["q_lens"] = [1] * len(case["lens"])
        case["lens"] = [max(1, length) for length in case["lens"]]
    if kind == "MLA":
        case["kv_heads"], case["group"], case["sizes"] = 1, case["kv_heads"] * case["group"], (24, 8)
    if codes:
        case["sizes"], case["dtype"] = (case["sizes"][0],) * 2, "float16"
    rng, query, keys, values, tables, heads = paged_case(case, mla=kind == "MLA")
    rng, dtype, lens, q_lens = np.random.default_rng(seed), case["dtype"], case["lens"], case["q_lens"]
    tokens, columns, block_size = len(query), max(lens) + 3, case["block_size"]
    hidden = rng.random((heads if alone else 1, tokens, columns)) < 0.4
    mask_kind = INFINITE.get(dtype, FLOATS["float32"])
    mask = np.where(hidden, -np.inf, 0).astype(mask_kind)
    if codes:
        keys, values = (rng.integers(-128, 128, cache.shape).astype(np.int8) for cache in (keys, values))
    numbers_of = [None, None]
    if kind == "int8":
        numbers_of = [np.full((2, case["kv_heads"] * keys.shape[-1]), x, np.float16) for x in (0.02, 3)]
    elif kind == "by token":
        numbers_of = [np.full((2, len(lens) + 1, columns), x, np.float16) for x in (0.02, 3)]
        for b, length in enumerate(lens):
            numbers_of[0][:, b, length:] = np.nan
    # Everything that no context covers.
    covered = np.zeros(keys.shape[:2], bool)
    for b, length in enumerate(lens):
        places = np.arange(length)
        covered[tables[b, places // block_size], places % block_size] = True
    clean_keys, clean_values = keys.copy(), values.copy()
    if not codes:
        for cache in (keys,) if kind == "MLA" else (keys, values):
            cache[~covered] = rng.choice(POISONS, cache[~covered].shape).astype(cache.dtype)
    bad_slots = covered & (rng.random(covered.shape) < 0.1) & (not codes)
    flat = [cache.reshape(-1, *cache.shape[2:]) for cache in ((keys, keys) if kind == "MLA" else (keys, values))]
    poisoned(rng, *flat, bad_slots.reshape(-1), "keys" if kind == "MLA" else side)
    inputs = [query, keys, None if kind == "MLA" else values, tables, np.array(lens, np.int32), *numbers_of]
    if alone:
        by_head = np.ascontiguousarray(mask.transpose(1, 0, 2))[:, :, None]
        inputs += [by_head, heads, SCALE, case["kv_heads"], 0]
    else:
        given_masks = {"infinite": (mask[0], None), "MLA": (mask[0], None), "alibi": (None, mask[0])}.get(
            kind, (None, None)
        )
        inputs += [given_masks[0], np.array(q_lens, np.int32), given_masks[1], heads, SCALE, case["kv_heads"]]
        inputs += [int(kind == "by token"), int(kind == "trapezoidal"), values.shape[-1] if kind == "MLA" else 0]
    shape = (tokens, heads * values.shape[-1])
    (got,) = builtins("PagedAttentionMask" if alone else "PagedAttention", inputs, [(shape, FLOATS[dtype])])
    if codes:
        clean_keys, clean_values = ((cache + 3.0) * float(np.float16(0.02)) for cache in (clean_keys, clean_values))
    at, size = 0, keys.shape[-1]
    masked = alone or kind == "alibi" or (kind in ("infinite", "MLA") and max(q_lens) > 1)
    for b, (length, count) in enumerate(zip(lens, q_lens, strict=True)):
        rows = slice(at, at + count)
        at += count
        if count == 0 or length == 0:
            assert not got[rows].astype(np.float64).any()
            continue
        see = ~hidden[:, rows, :length] if masked else np.ones((1, count, length), bool)
        if kind == "trapezoidal":
            see = (np.arange(length)[None] <= np.arange(count)[:, None] + length - count)[None]
        clean = [dense.rows_of(cache, tables[b], length) for cache in (clean_keys, clean_values)]
        bad = dense.rows_of(bad_slots[..., None, None], tables[b], length)[:, 0, 0]
        part = query[rows].reshape(count, heads, size)
        check(got[rows], part, clean, bad, see, dtype, shown=side == "values" and kind != "MLA")


@pytest.mark.parametrize("number", POISONS)
def test_finite_numbers_that_mask_are_added(builtins, number):
    """-10000 is a number like any other: what it masks has a weight of 0, and 0 times an infinity is NaN, as in NumPy."""
    query, key, value = (np.ones((1, 3, n, 16), np.float16) for n in (2, 2, 2))
    value[0, 2] = number
    mask = np.where(np.triu(np.ones((3, 3), bool), 1), -10000, 0).astype(np.float16)
    out, _, _ = flash(builtins, query, key, value, BSND, 2, SCALE, mask=mask)
    assert np.isnan(out[0, :2]).all()
    mask[mask != 0] = -np.inf
    out, _, _ = flash(builtins, query, key, value, BSND, 2, SCALE, mask=mask)
    assert (out[0, :2] == 1).all() and not np.isfinite(out[0, 2]).any()
