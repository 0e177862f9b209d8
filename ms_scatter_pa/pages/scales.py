"""The scales of a quantised ``PagedKVCache``, and the rows that are written with them or without: what may be given."""

from typing import Any

import numpy as np
from mindspore import Tensor

from ..cache import Array
from ..float_environment import ieee_floats
from ..rules.options import dtype_name
from ..rules.table import CODES, SCALED_ROWS
from .storage import CacheGeometry

StaticScales = tuple[Array, Array | None]


def check_scales(scales: Any, dtypes: tuple[str, str]) -> bool:
    """Whether scales are computed and kept.

    Raises:
        ValueError: another word than ``dynamic``, or scales for a cache of another dtype than the quantised ones.
        TypeError: neither None, a word nor a pair.
    """
    if scales is None:
        return False
    for name, dtype in zip(("dtype", "value_dtype"), dtypes, strict=True):
        if dtype not in CODES:
            raise ValueError(f"{name}: given {dtype} with scales, expected one of {', '.join(CODES)}")
    if isinstance(scales, str):
        if scales != "dynamic":
            raise ValueError(f"scales: given {scales!r}, expected None, 'dynamic' or (key_scale, value_scale)")
        return True
    if not isinstance(scales, tuple) or len(scales) != 2:
        raise TypeError(f"scales: given {type(scales).__name__}, expected None, 'dynamic' or (key_scale, value_scale)")
    return False


def static_scales(scales: tuple[Any, Any], geometry: CacheGeometry) -> StaticScales:
    """The pair as float32 arrays that begin with the layer; None for a side that is absent.

    Raises:
        ValueError: a shape that does not fit, a scale that is not positive and finite, a side too many or too few.
    """
    found: list[Array | None] = []
    for name, scale, head_size in zip(("key_scale", "value_scale"), scales, geometry.head_sizes, strict=True):
        if (scale is None) != (head_size is None):
            given, expected = ("None", "an array") if scale is None else ("an array", "None, since there is no value")
            raise ValueError(f"scales: {name} given {given}, expected {expected}")
        if scale is None or head_size is None:
            found.append(None)
            continue
        with ieee_floats(), np.errstate(over="ignore"):  # what is too large for float32 is refused below
            array = np.array(scale.asnumpy() if hasattr(scale, "asnumpy") else scale, np.float32)
            usable = np.isfinite(array) & (array > 0)
        heads = geometry.num_kv_heads
        if array.shape[:1] != (geometry.num_layers,) or array.shape[1:] not in ((1,), (heads,), (heads, head_size)):
            raise ValueError(
                f"scales: {name} given shape {list(array.shape)}, expected [{geometry.num_layers}] layers of [1], "
                f"[{heads}] or [{heads}, {head_size}]"
            )
        if not usable.all():
            raise ValueError(f"scales: {name} given a number that is not positive and finite")
        found.append(array)
    key, value = found
    assert key is not None
    return key, value


def check_rows(name: str, rows: Any, cache: Any, is_quantised: bool) -> None:
    """Refuses, in the words of ``write``, rows that the operators refuse for want of scales, or for having some.

    Args:
        name: ``key`` or ``value``.
        rows, cache: as ``write`` was given them, and where they go.
        is_quantised: whether the cache was made with scales.

    Raises:
        TypeError: codes for a quantised cache, float rows for one that holds codes as they are.
    """
    if not isinstance(rows, Tensor) or cache is None:
        return
    given, held = dtype_name(rows.dtype), dtype_name(cache.dtype)
    if is_quantised and given not in SCALED_ROWS:
        raise TypeError(
            f"{name}: given dtype {given}, expected one of {', '.join(SCALED_ROWS)}: a cache with scales quantises float rows "
            f"itself. For rows that are {held} already make it without scales"
        )
    if not is_quantised and given in SCALED_ROWS and held in CODES:
        raise TypeError(
            f"{name}: given dtype {given}, expected {held} as the cache has, which was made without scales; with "
            "scales='dynamic' or (key_scale, value_scale) it quantises float rows"
        )
