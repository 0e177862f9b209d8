"""What refuses a place in a cache that has none says so, instead of a range that ends before it begins."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor

from ms_scatter_pa import (
    npu_gather_pa_kv_cache,
    npu_scatter_pa_kv_cache,
    paged_cache_load,
    quant_scatter_pa_kv_cache,
    read_status,
)
from ms_scatter_pa.backends.cpu.blocks import copy_blocks
from ms_scatter_pa.cache import read_rows
from ms_scatter_pa.pages import Occupancy, Pages
from ms_scatter_pa.pages.moving import blocks_of
from ms_scatter_pa.rules.table import OPERATORS

OPTIONS = settings(deadline=None, derandomize=True, max_examples=150)
# A range that holds nothing: an end below 0, or nothing below 0.
IMPOSSIBLE = re.compile(r"(to|= |-|below|<) ?-\d|below [^=]*= 0\b|< 0\b")


def tensor(*shape: int, dtype: Any = np.float16) -> Tensor:
    return Tensor(np.zeros(shape, dtype))


def integers(values: Any) -> Tensor:
    return Tensor(np.array(values, np.int64))


def write(num_blocks: int) -> Any:
    caches = (tensor(num_blocks, 2, 1, 8), None)
    return npu_scatter_pa_kv_cache(tensor(1, 1, 8), None, *caches, integers([0]), cache_mode="Norm")


def write_run(num_blocks: int) -> Any:
    lengths = {"compress_lens": integers([[3]]), "seq_lens": integers([4])}
    caches = (tensor(num_blocks, 2, 1, 8), None)
    return npu_scatter_pa_kv_cache(tensor(1, 4, 1, 8), None, *caches, integers([[0]]), cache_mode="Norm", **lengths)


def quantise(num_blocks: int) -> Any:
    caches = (tensor(num_blocks, 2, 1, 8, dtype=np.int8), None)
    scale = Tensor(np.ones(1, np.float32))
    return quant_scatter_pa_kv_cache(tensor(1, 1, 8), None, *caches, integers([0]), key_scale=scale, cache_mode="Norm")


def gather(num_blocks: int) -> Any:
    caches, rows = (tensor(num_blocks, 2, 1, 8), None), (tensor(1, 1, 8), None)
    return npu_gather_pa_kv_cache(*caches, integers([[0]]), integers([1]), *rows, cache_mode="Norm")


def load(num_blocks: int) -> Any:
    cache = tensor(num_blocks, 2, 1, 8)
    return paged_cache_load(cache, cache, integers([[0]]), integers([1]))


def copy(num_blocks: int) -> None:
    blocks = blocks_of(np.zeros((num_blocks, 8), np.uint8))
    copy_blocks([(blocks, blocks)], [0], [0])


def read(num_blocks: int) -> Any:
    return read_rows(tensor(num_blocks, 2, 1, 8), [0], "Norm")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (write, "slot_mapping[0] = 0 is outside the cache, which has no blocks: expected a negative slot to skip"),
        (write_run, "slot_mapping[0] = 0 starts a run of 3 rows, which no place in the cache holds"),
        (quantise, "slot_mapping[0] = 0 is outside the cache, which has no blocks: expected a negative slot to skip"),
        (gather, "block_tables[0, 0] = 0, and the cache has no blocks: expected lengths of 0"),
        (load, "block_tables[0, 0] = 0, and the cache has no blocks: expected lengths of 0"),
        (copy, "blocks[0] = 0, expected no block, since there are none"),
        (read, "slots[0] = 0, expected no slot, since the cache has no blocks"),
    ],
    ids=lambda of: of.__name__ if callable(of) else "",
)
def test_a_cache_without_blocks(call: Any, words: str) -> None:
    with pytest.raises(IndexError, match=re.escape(words)) as refused:
        call(0)
    assert not IMPOSSIBLE.search(str(refused.value))
    if call is not write_run:
        call(1)


def test_a_snapshot_without_blocks() -> None:
    problems = Occupancy(0, 4, (Pages("a", (3,), 4),), (), None, "").problems()
    assert problems == ["a has block 3, and the cache has none"]
    assert Occupancy(2, 4, (Pages("a", (3,), 4),), (), None, "").problems() == ["a has block 3, outside 0-1"]


@OPTIONS
@given(
    num_blocks=st.integers(0, 2),
    block_size=st.integers(1, 2),
    mode=st.sampled_from(["Alibi", "Rope", "Omni"]),
    slot=st.integers(0, 5),
    length=st.integers(0, 6),
    count=st.integers(0, 6),
    offset=st.integers(-1, 6),
)
def test_no_run_is_asked_to_begin_before_the_cache(
    num_blocks: int, block_size: int, mode: str, slot: int, length: int, count: int, offset: int
) -> None:
    """Runs of any length in caches that may be shorter."""
    offsets = {} if mode == "Alibi" else {"compress_seq_offsets": integers([offset])}
    try:
        npu_scatter_pa_kv_cache(
            tensor(1, 6, 1, 8),
            None,
            tensor(num_blocks, block_size, 1, 8),
            None,
            integers([[slot]]),
            compress_lens=integers([[count]]),
            seq_lens=integers([length]),
            cache_mode="Norm",
            scatter_mode=mode,
            **offsets,
        ).asnumpy()
    except (ValueError, IndexError) as refused:
        said = str(refused).partition("; npu")[0]
        assert not IMPOSSIBLE.search(said.partition("expected")[2]), said


@OPTIONS
@given(
    operator=st.sampled_from([operator.name for operator in OPERATORS]),
    position=st.integers(0, 9),
    value=st.integers(0, 9),
    limit=st.integers(0, 3),
)
def test_no_status_of_a_bad_place_asks_for_the_impossible(operator: str, position: int, value: int, limit: int) -> None:
    said = read_status([1, position, value, limit], operator=operator)
    assert not IMPOSSIBLE.search(said.partition("expected")[2]), said
