"""A tensor keeps its shape when its storage is made smaller (``untyped_storage().resize_``): what trusts the shape reads and
writes what is no longer the tensor's. Every PyNative entry refuses such a call, whichever argument it is."""

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint

from ms_scatter_pa import (
    PagedKVCache,
    ScatterPaKvCache,
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    quant_scatter_pa_kv_cache,
)
from ms_scatter_pa.backends.cpu import eager

ROWS, BLOCKS = (3, 1, 16), (8, 4, 1, 16)


def shrink(tensor: Any, size: int) -> Any:
    tensor.asnumpy()
    tensor.untyped_storage().resize_(size)
    return tensor


def arguments(dtype: Any = ms.float32) -> dict[str, Any]:
    slots = mint.add(mint.zeros((3,), dtype=ms.int64), 30)
    caches = {name: mint.zeros(BLOCKS, dtype=dtype) for name in ("key_cache", "value_cache")}
    return {"key": mint.ones(ROWS), "value": mint.ones(ROWS), **caches, "slot_mapping": slots}


def through_function(tensors: dict[str, Any], on_error: str) -> Any:
    return npu_scatter_pa_kv_cache(*tensors.values(), cache_mode="Norm", on_error=on_error)


def through_queue(tensors: dict[str, Any], on_error: str) -> Any:
    large = Tensor(np.ones((1500, 1500), np.float32))
    mint.matmul(mint.matmul(large, large), large)
    status = through_function(tensors, on_error)
    status.asnumpy()
    return status


def through_cell(tensors: dict[str, Any], on_error: str) -> Any:
    held = []
    for name in ("key_cache", "value_cache"):
        held.append(Parameter(Tensor([0.0], ms.float32), name=name, requires_grad=False))
        held[-1].set_data(tensors[name])
    rows = (tensors[name] for name in ("key", "value", "slot_mapping"))
    return ScatterPaKvCache(*held, cache_mode="Norm", on_error=on_error)(*rows)


def through_pointers(tensors: dict[str, Any], on_error: str) -> Any:
    return eager.call_through_pointers(*tensors.values(), None, None, None, "Norm", None, on_error, False, None)


ENTRIES = [through_function, through_queue, through_cell, through_pointers]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", list(arguments()))
def test_the_write(entry: Callable[..., Any], name: str) -> None:
    assert entry(arguments(), "raise").asnumpy().tolist() == [0, 0, 0, 0]
    tensors = arguments()
    shrink(tensors[name], 8)
    place = list(tensors).index(name)
    needed = {"key": 192, "value": 192, "slot_mapping": 24}.get(name, 2048)
    assert entry(tensors, "record").asnumpy().tolist() == [4, place, 8, needed]
    with pytest.raises(ValueError, match=rf"^{name}: given a storage of 8 bytes, expected {needed}.*wrote nothing"):
        entry(tensors, "raise")
    whole = [tensor for other, tensor in tensors.items() if "cache" in other and other != name]
    assert not any(tensor.asnumpy().any() for tensor in whole)


def test_a_view_counts_from_where_it_begins() -> None:
    tensors = arguments()
    base = mint.zeros((2, *BLOCKS))
    tensors["key_cache"] = base[1]
    shrink(base, 2048 + 2044)
    with pytest.raises(ValueError, match=r"^key_cache: given a storage of 4092 bytes, expected 4096"):
        through_function(tensors, "raise")
    tensors["key_cache"] = base[0]
    assert through_function(tensors, "raise").asnumpy().tolist() == [0, 0, 0, 0]


def test_blocks_that_lie_apart_and_strided_rows() -> None:
    tensors = arguments()
    pool, fused = mint.zeros((8, 2, *BLOCKS[1:])), mint.ones((3, 2, 16))
    tensors["key_cache"], tensors["key"] = pool[:, 1], fused[:, 1:]
    assert through_function(tensors, "raise").asnumpy().tolist() == [0, 0, 0, 0]
    shrink(fused, 380)
    with pytest.raises(ValueError, match=r"^key: given a storage of 380 bytes, expected 384"):
        through_function(tensors, "raise")
    tensors["key"] = mint.ones(ROWS)
    shrink(pool, 4092)
    with pytest.raises(ValueError, match=r"^key_cache: given a storage of 4092 bytes, expected 4096"):
        through_function(tensors, "raise")


@pytest.mark.parametrize("name", ["key", "key_cache", "block_tables", "seq_lens"])
def test_the_gather(name: str) -> None:
    tensors = {"key_cache": mint.ones(BLOCKS), "block_tables": mint.zeros((1, 1), dtype=ms.int64)}
    tensors |= {"seq_lens": mint.add(mint.zeros((1,), dtype=ms.int64), 3), "key": mint.zeros(ROWS)}
    shrink(tensors[name], 4)
    cache, tables, lengths, key = tensors.values()
    with pytest.raises(ValueError, match=f"^{name}: given a storage of 4 bytes"):
        npu_gather_pa_kv_cache(cache, None, tables, lengths, key, None, cache_mode="Norm")


@pytest.mark.parametrize("name", ["key", "key_cache", "slot_mapping", "key_scale_cache"])
def test_the_quantising_write(name: str) -> None:
    tensors = arguments(ms.int8) | {"key_scale_cache": mint.zeros(BLOCKS[:3])}
    shrink(tensors[name], 4)
    call = {part: tensors[part] for part in ("key", "key_cache", "slot_mapping", "key_scale_cache")}
    with pytest.raises(ValueError, match=f"^{name}: given a storage of 4 bytes"):
        quant_scatter_pa_kv_cache(value=None, value_cache=None, **call, cache_mode="Norm")


@pytest.mark.parametrize("how", ["resize_", "set_data", "strided"])
def test_the_pages_of_a_cache_whose_memory_was_changed(how: str) -> None:
    shape = {
        "num_layers": 1,
        "num_blocks": 8,
        "block_size": 4,
        "num_kv_heads": 1,
        "head_size": 16,
        "num_host_blocks": 8,
    }
    pages = PagedKVCache(**shape, dtype="float32", layout="Norm")
    pages.allocate("a", 30)
    cache: Any = pages.key_caches[0]
    if how == "resize_":
        shrink(cache, 64)
    elif how == "set_data":
        cache.set_data(Tensor(np.zeros((1, 4, 1, 16), np.float32)), slice_shape=True)
    else:
        cache.set_data(mint.zeros((8, 2, 4, 1, 16))[:, 0])
    for operation in (lambda: pages.read("a", 0), lambda: pages.swap_out("a")):
        with pytest.raises(ValueError, match="memory was changed"):
            operation()
