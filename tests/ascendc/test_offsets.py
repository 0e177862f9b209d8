"""Offsets and values beyond 32 bits: rows and caches of 6 GiB in every mode, slots beyond 2**32, strides over 4 GiB.

The arrays are sparse: only the pages that are written take memory, and every one of them is compared.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ms_scatter_pa.reference import write_reference
from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES
from tests.ascendc import ascendc_cases as cases
from tests.ascendc.host_model.runner import PARTS, Call, HostModel
from tests.ascendc.sparse_memory import Array, SparseArray, sparse_rows
from tests.ascendc.test_compressed import check as check_pairs
from tests.ascendc.test_compressed import make_call
from tests.ascendc.test_tokens import _call as tokens_call
from tests.ascendc.test_tokens import check as check_tokens
from tests.support.arrays import random_array
from tests.support.shapes import cache_shape

GIB = 2**30


def check_sparse(host_model: HostModel, make: Callable[[], tuple[Call, list[SparseArray]]], cores: int = 7) -> None:
    """The kernel on one call, the definition on an equal one; then every page of the caches."""
    got, got_caches = make()
    run = host_model.run(got, PARTS["950"], cores=cores)
    want, want_caches = make()
    status = write_reference(
        want.key,
        want.value,
        want.key_cache,
        want.value_cache,
        want.slot_mapping,
        layout=want.layout,
        scatter_mode=want.scatter_mode,
        compress_lens=want.compress_lens,
        compress_seq_offsets=want.compress_seq_offsets,
        seq_lens=want.seq_lens,
    )
    assert run.status == status == [0, 0, 0, 0]
    for got_cache, want_cache in zip(got_caches, want_caches, strict=True):
        pages = want_cache.pages()
        assert pages, "the case writes something"
        assert got_cache.pages() == pages


def _numbered(rows: Array) -> None:
    """Different numbers in the rows that are given, none of them zero."""
    rows[...] = np.arange(1, rows.size + 1).reshape(rows.shape).astype(np.uint16)


def large_tokens(layout: str) -> tuple[Call, list[SparseArray]]:
    """6 GiB of rows, nearly all of them padding, and two caches of 6 GiB."""
    num_head, head_size, block_size = 8, 4096, 64
    row = num_head * head_size * 2
    num_blocks = 6 * GIB // (row * block_size)
    tokens = 6 * GIB // row
    capacity, border = num_blocks * block_size, 2**32 // row
    shape = cache_shape(layout, num_blocks, block_size, num_head, head_size, "float16")
    caches = [SparseArray(shape, np.uint16) for _ in range(2)]
    sides = [sparse_rows((tokens, num_head, head_size), np.uint16) for _ in range(2)]
    slots = np.full(tokens, -1, np.int64)
    wanted = {
        0: capacity - 1,
        1: 3,
        border - 1: border,
        border: border + 1,  # a run across the border, from rows on both sides of it
        border + 1: border + 2,
        border + 7: 9,
        tokens - 2: border - 1,
        tokens - 1: capacity - 2,
    }
    for token, slot in wanted.items():
        slots[token] = slot
        for side in sides:
            _numbered(side[token])
            side[token, 0, 0] = token % 60_000 + 1
    return Call(sides[0], sides[1], caches[0].array, caches[1].array, slots, layout), caches


def large_pairs(mode: str, packed: bool) -> tuple[Call, list[SparseArray]]:
    """6 GiB of rows of which the last batch is written, and two caches of 6 GiB."""
    num_head, head_size, block_size, batch = 2, 1024, 128, 6
    per_batch = GIB // (num_head * head_size * 2)
    rows = batch * per_batch
    num_blocks = 6 * GIB // (block_size * head_size * 2)
    capacity, border = num_blocks * block_size, 2**32 // (head_size * 2)
    caches = [SparseArray((num_blocks, block_size, 1, head_size), np.uint16) for _ in range(2)]
    shape = (rows,) if packed else (batch, per_batch)
    sides = [sparse_rows((*shape, num_head, head_size), np.uint16) for _ in range(2)]
    length = 12
    lengths = np.full(batch, length, np.int64)
    slots = np.full((batch, num_head), -1, np.int64)
    first = (batch - 1) * per_batch
    if packed:
        lengths[:-1] = per_batch
        lengths[-2] += per_batch - length
        first = rows - length
    for side in sides:
        _numbered(side.reshape(-1, num_head, head_size)[first : first + length])
    slots[-1] = [capacity - length, border - 2]
    counts, offsets = np.zeros((batch, num_head), np.int64), np.full(batch * num_head, -1, np.int64)
    counts[-1] = [5, 7]
    offsets[-2:] = [4, 1]
    has_offsets = mode != "Alibi"
    call = Call(
        sides[0],
        sides[1],
        caches[0].array,
        caches[1].array,
        slots,
        "Norm",
        mode,
        packed,
        counts,
        offsets if has_offsets else None,
        lengths,
    )
    return call, caches


def many_slots(mode: str) -> tuple[Call, list[SparseArray]]:
    """More than 2**32 slots, of one byte each."""
    num_blocks, block_size = 2**25 + 2, 128
    caches = [SparseArray((num_blocks, block_size, 1, 1), np.uint8)]
    wanted = [2**32 + 5, 2**32 - 40, 2**31, 2**31 - 40, 4, num_blocks * block_size - 20]
    key = np.arange(1, 1 + 6 * 12, dtype=np.uint8)
    if mode == "None":
        slots = np.array([slot + i for slot in wanted for i in range(12)], np.int64)
        return Call(key.reshape(72, 1, 1), None, caches[0].array, None, slots, "Norm"), caches
    ones = np.ones((6, 1), np.int64)
    offsets = None if mode == "Alibi" else np.arange(6)
    slots = np.array(wanted, np.int64).reshape(6, 1)
    lengths = np.full(6, 12, np.int64)
    return (
        Call(
            key.reshape(6, 12, 1, 1),
            None,
            caches[0].array,
            None,
            slots,
            "Norm",
            mode,
            False,
            4 * ones,
            offsets,
            lengths,
        ),
        caches,
    )


def long_blocks(layout: str) -> tuple[Call, list[SparseArray]]:
    """Blocks so long that a token's two groups lie more than 4 GiB apart."""
    block_size = 2**27 + 8
    num_head, head_size = (1, 32) if layout == "PA_NZ" else (2, 16)
    shape = cache_shape(layout, 1, block_size, num_head, head_size, "float16")
    caches = [SparseArray(shape, np.uint16)]
    slots = np.array([block_size - 1, 3, 4, 5, 2**26, block_size - 5, block_size - 4, 0, -1, 9], np.int64)
    key = np.arange(1, 1 + 10 * 32, dtype=np.uint16).reshape(10, num_head, head_size)
    return Call(key, None, caches[0].array, None, slots, layout), caches


@pytest.mark.parametrize("layout", CACHE_MODES)
def test_rows_and_caches_of_6_gib(host_model: HostModel, layout: str) -> None:
    check_sparse(host_model, lambda: large_tokens(layout))


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
@pytest.mark.parametrize("packed", [False, True])
def test_compressed_rows_and_caches_of_6_gib(host_model: HostModel, mode: str, packed: bool) -> None:
    check_sparse(host_model, lambda: large_pairs(mode, packed))


@pytest.mark.parametrize("mode", ["None", *COMPRESSED_MODES])
def test_slots_beyond_2_to_the_32(host_model: HostModel, mode: str) -> None:
    check_sparse(host_model, lambda: many_slots(mode))


@pytest.mark.parametrize("layout", ["PA_NZ", "NHSD"])
def test_strides_of_more_than_4_gib(host_model: HostModel, layout: str) -> None:
    check_sparse(host_model, lambda: long_blocks(layout), cores=2)


# Cut to 32 bits each of them is a slot or a length that fits; 2**63 - 1 overflows where anything is added to it.
WIDE = (2**31, 2**32 + 1, 2**32 + 5, 2**63 - 1, -(2**32) + 5, -(2**63))


@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("wide", WIDE)
def test_slots_are_never_narrowed(host_model: HostModel, layout: str, wide: int) -> None:
    call = tokens_call(layout, 6, 2, 32, 4, [8, 9, 10, 0, 1, 2], 3)
    slots = call.slot_mapping.astype(np.int64)
    slots[3] = wide
    for cores in (1, 5):
        check_tokens(host_model, replace(call, slot_mapping=slots), cores=cores)


INDEX_ARRAYS = [
    (mode, array)
    for mode in COMPRESSED_MODES
    for array in ("slot_mapping", "compress_lens", "compress_seq_offsets", "seq_lens")
    if mode != "Alibi" or array != "compress_seq_offsets"
]


@pytest.mark.parametrize(("mode", "array"), INDEX_ARRAYS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wide", WIDE)
def test_no_index_is_ever_narrowed(host_model: HostModel, mode: str, packed: bool, array: str, wide: int) -> None:
    call = make_call(np.random.default_rng(8), mode, packed, "int8", 2, 9, 2, (32, 8), 16, "int64")
    getattr(call, array).reshape(-1)[1] = wide
    for cores in (1, 5):
        check_pairs(host_model, call, cores=cores)


def test_no_copy_needs_more_bursts_than_one_instruction_takes(host_model: HostModel) -> None:
    """4095 at most. The parts' buffers hold fewer, 248 KiB in four at 32 bytes each; those of a part of 2 MiB could hold
    more. Heads of 32 bytes that lie apart take as many as they get; token modes stop at their 1024 slots."""
    assert 248 * 1024 // 4 // 32 < 4095
    rng = np.random.default_rng(4)
    lengths = np.full((1, 2), 20_000)
    key, cache = random_array(rng, (1, 20_000, 2, 32), "int8"), random_array(rng, (20, 2048, 1, 32), "int8")
    call = Call(key, None, cache, None, np.array([[0, 20_000]]), "Norm", "Alibi", False, lengths, None,
                lengths[0, :1], key_dtype="int8")  # fmt: skip
    want = cases.expect(call)
    got = host_model.run(call, PARTS["950"], cores=1, unified_buffer_bytes=2 * 2**20)
    assert got.status == want.status == [0, 0, 0, 0]
    assert call.key_cache.tobytes() == want.key_cache.tobytes()
