"""What the operators mean, in NumPy and float64: whole matrices, one sequence at a time, nothing shared with C++."""

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray


def rms_norm(x: Array, gamma: Array, epsilon: float) -> tuple[Array, Array]:
    wide, axes = x.astype(np.float64), tuple(range(x.ndim - gamma.ndim, x.ndim))
    factor = 1 / np.sqrt((wide**2).mean(axis=axes, keepdims=True) + epsilon)
    return wide * factor * gamma.astype(np.float64), factor


def rotate(x: Array, cos: Array, sin: Array, *, neighbours: bool = False) -> Array:
    """x [T, N, D]; cos and sin [T, D]."""
    x, cos, sin = (array.astype(np.float64) for array in (x, cos, sin))
    other = np.empty_like(x)
    if neighbours:
        other[..., 0::2], other[..., 1::2] = -x[..., 1::2], x[..., 0::2]
    else:
        half = x.shape[-1] // 2
        other[..., :half], other[..., half:] = -x[..., half:], x[..., :half]
    return x * cos[:, None] + other * sin[:, None]


def softmax(scores: Array) -> Array:
    """Rows that see nothing (-inf everywhere) give zeros."""
    most = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - np.where(np.isneginf(most), 0, most))
    total = weights.sum(axis=-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total != 0)


def attention_and_error(
    query: Array,
    key: Array,
    value: Array,
    scale: float,
    see: Callable[[Array, Array], Array],
    bias: Array | float = 0.0,
) -> tuple[Array, Array]:
    """As ``attention``, and how far float32 may be from it before the result is rounded.

    Dot products of n numbers in any order are off by n roundings of the sum of magnitudes, a score by that and two of its
    own, a sum over the keys by one for each; an error e of a score changes its weight p by p * e.
    """
    roundoff = 2.0**-24
    heads, group = query.shape[1], query.shape[1] // key.shape[1]
    query, key, value = (array.astype(np.float64) for array in (query, key, value))
    key, value = (np.repeat(array, group, axis=1) for array in (key, value))
    scores = np.einsum("qnd,knd->nqk", query, key) * scale + bias
    i, j = np.arange(len(query))[:, None], np.arange(len(key))[None]
    scores = np.where(np.broadcast_to(see(i, j), (heads, len(query), len(key))), scores, -np.inf)
    weights = softmax(scores)
    want = np.einsum("nqk,knd->qnd", weights, value)
    # What discards a key (-inf, as a bias or by see) has no error.
    sizes = np.einsum("qnd,knd->nqk", abs(query), abs(key)) * abs(scale)
    seen = np.isfinite(scores)
    off = (query.shape[-1] + 8) * sizes + 4 * (abs(np.where(seen, scores, 0)) + abs(np.where(seen, bias, 0)))
    most = np.where(seen, scores, 0).max(axis=-1, keepdims=True, initial=0)
    off = np.where(seen, roundoff * (off + abs(np.where(seen, scores, 0) - most)), 0)
    error = np.einsum("nqk,knd->qnd", weights * off, abs(value))
    error += np.einsum("nqk->qn", weights * off)[..., None] * abs(want)
    sums = (len(key) + 16) * roundoff
    return want, 1.1 * (error + sums * np.einsum("nqk,knd->qnd", weights, abs(value))) + 1e-30


def attention(
    query: Array,
    key: Array,
    value: Array,
    scale: float,
    see: Callable[[Array, Array], Array],
    bias: Array | float = 0.0,
) -> Array:
    """query [Tq, N, D], key [Tk, Nkv, D], value [Tk, Nkv, Dv]; see(i, j) says which keys a query sees; bias [N, Tq, Tk]
    is added to the scaled scores."""
    return attention_and_error(query, key, value, scale, see, bias)[0]


def everything(i: Array, j: Array) -> Array:
    return np.ones(np.broadcast(i, j).shape, bool)


def causal(offset: int) -> Callable[[Array, Array], Array]:
    """Query i sees keys up to i + offset."""
    return lambda i, j: j <= i + offset


def rows_of(cache: Array, table: Array, length: int) -> Array:
    """The first ``length`` rows of a sequence, [length, N, D], from a cache [NB, BS, N, D]."""
    size = cache.shape[1]
    return np.stack([cache[table[t // size], t % size] for t in range(length)]) if length else cache[:0, 0]


def paged_attention(
    query: Array,
    key_cache: Array,
    value_cache: Array,
    tables: Array,
    lens: Sequence[int],
    q_lens: Sequence[int],
    scale: float,
    mask: Array | None = None,
    trapezoidal: bool = False,
) -> Array:
    """query [T, N, D]; caches [NB, BS, Nkv, D]. A mask [T, max_len], or [N, T, max_len], is added. Without one every query
    sees every key, but the trapezoidal mode, in which the last query does and each before it sees one less."""
    return paged_attention_and_error(query, key_cache, value_cache, tables, lens, q_lens, scale, mask, trapezoidal)[0]


def paged_attention_and_error(
    query: Array,
    key_cache: Array,
    value_cache: Array,
    tables: Array,
    lens: Sequence[int],
    q_lens: Sequence[int],
    scale: float,
    mask: Array | None = None,
    trapezoidal: bool = False,
) -> tuple[Array, Array]:
    """As ``paged_attention``, with ``attention_and_error``'s error."""
    outs, token = [], 0
    for table, length, q_len in zip(tables, lens, q_lens, strict=True):
        keys, values = (rows_of(cache, table, length) for cache in (key_cache, value_cache))
        part = query[token : token + q_len]
        see = causal(length - q_len) if trapezoidal else everything
        bias: Array | float = 0.0
        if mask is not None:
            bias = np.atleast_3d(mask.T).T[:, token : token + q_len, :length].astype(np.float64)
        outs.append(attention_and_error(part, keys, values, scale, see, bias))
        token += q_len
    if not outs:
        outs.append((query[:, :, : value_cache.shape[-1]],) * 2)
    want, error = (np.concatenate(part) for part in zip(*outs, strict=True))
    return want, error
