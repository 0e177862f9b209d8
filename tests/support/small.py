"""A small Norm cache and the NumPy arrays it is compared with, for tests about modes and memory instead of layouts."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from .arrays import Array

T, N, D, NB, BS = 5, 2, 16, 4, 8
CAPACITY = NB * BS
CACHE = (NB, BS, N, D)


def rows(seed: int, tokens: int = T) -> Array:
    return np.random.default_rng(seed).standard_normal((tokens, N, D)).astype(np.float16)


def cache_array(seed: int) -> Array:
    return np.random.default_rng([seed, 1]).standard_normal(CACHE).astype(np.float16)


def slots(seed: int, tokens: int = T) -> Array:
    """Distinct slots; where there are enough of them, one is negative."""
    found = np.random.default_rng([seed, 2]).permutation(CAPACITY)[:tokens].astype(np.int32)
    if tokens > 2:
        found[1] = -1
    return found


def put(cache: Array, slot_mapping: Array, new: Array) -> Array:
    """A copy of the cache after the write."""
    after = cache.copy()
    flat = after.reshape(-1, *cache.shape[2:])
    for slot, row in zip(slot_mapping, new, strict=True):
        if slot >= 0:
            flat[slot] = row
    return after


def parameters(seed: int, *, prefix: str = "") -> tuple[Any, Any]:
    key_cache, value_cache = cache_array(seed), cache_array(seed + 1000)
    return (
        Parameter(Tensor(key_cache), name=f"{prefix}key_cache", requires_grad=False),
        Parameter(Tensor(value_cache), name=f"{prefix}value_cache", requires_grad=False),
    )


def same(tensor: Any, array: Array) -> bool:
    return bool(np.array_equal(tensor.asnumpy(), array))


def snapshot(tensor: Any) -> Array:
    """The content now; ``asnumpy`` alone shares the tensor's memory and would see later writes."""
    return np.array(tensor.asnumpy(), copy=True)


def step(seed: int, tokens: int = T) -> tuple[Array, Array, Array]:
    """key, value and slot_mapping."""
    return rows(seed, tokens), rows(seed + 500, tokens), slots(seed, tokens)


def tensors(*arrays: Array) -> list[Any]:
    return [Tensor(array) for array in arrays]


def dynamic(*shape: int | None, dtype: Any = ms.float16) -> Any:
    return Tensor(shape=list(shape), dtype=dtype)
