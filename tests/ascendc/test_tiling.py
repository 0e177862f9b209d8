"""op_host's arithmetic for shapes far larger than any memory: coverage, balance, buffers and fields."""

import ctypes
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ms_scatter_pa.rules.table import CACHE_MODES, COMPRESSED_MODES, SCATTER_MODES, dtype_named
from tests.ascendc.host_model.runner import HostModel, Tiling, TilingError
from tests.support.arrays import DTYPE_NAMES
from tests.support.shapes import cache_shape

Shapes = list[tuple[int, ...]]


def shapes_of(
    layout: str,
    tokens: int,
    num_head: int,
    sizes: tuple[int, int],
    block_size: int,
    num_blocks: int,
    dtype: str = "float16",
    key_only: bool = False,
) -> Shapes:
    def cache(head_size: int) -> tuple[int, ...]:
        return cache_shape(layout, num_blocks, block_size, num_head, head_size, dtype)

    one = (1,)
    value = one if key_only else (tokens, num_head, sizes[1])
    value_cache = one if key_only else cache(sizes[1])
    mode = (1 + CACHE_MODES.index(layout), 1, 1 + key_only, 1)
    return [(tokens, num_head, sizes[0]), value, cache(sizes[0]), value_cache, (tokens,), one, one, one, mode, one]


MOST_BYTES = 2**58  # of keys, of values or of a cache: more is refused, which other tests show


@st.composite
def token_shapes(draw: st.DrawFn, *, even_rows: bool = False) -> tuple[Shapes, str, int, int]:
    layout = "Norm" if even_rows else draw(st.sampled_from(list(CACHE_MODES)))
    dtype = draw(st.sampled_from(DTYPE_NAMES))
    unit = dtype_named(dtype).elements_per_32_bytes * 16 if even_rows else 1
    if layout == "PA_NZ":
        unit = dtype_named(dtype).elements_per_32_bytes
    size = st.one_of(st.integers(1, 40), st.integers(1, 3000), st.integers(1, 2**20)).map(lambda x: x * unit)
    sizes = (draw(size), draw(size))
    num_head = draw(st.integers(1, 200))
    row = num_head * max(sizes) * dtype_named(dtype).itemsize
    tokens = min(draw(st.one_of(st.integers(0, 300), st.integers(0, 2**33))), MOST_BYTES // row)
    block_size = draw(st.one_of(st.sampled_from([1, 16, 128]), st.integers(1, 2**20)))
    num_blocks = min(draw(st.integers(1, 2**24)), max(MOST_BYTES // row // block_size, 1))
    shapes = shapes_of(layout, tokens, num_head, sizes, block_size, num_blocks, dtype, draw(st.booleans()))
    return shapes, dtype, draw(st.integers(1, 80)), draw(st.sampled_from([192, 248])) * 1024


def tile(host_model: HostModel, given_shapes: tuple[Shapes, str, int, int]) -> Tiling:
    shapes, dtype, cores, buffer = given_shapes
    return host_model.tiling_of_shapes(shapes, dtype, dtype, "int32", cores, buffer)


def parts(host_model: HostModel, tiling: Tiling, side: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    out = (ctypes.c_int64 * 4)()
    result = []
    for core in range(tiling.used_cores):
        host_model.library.HostModelPart(ctypes.byref(tiling), ctypes.c_int32(side), ctypes.c_int64(core), out)
        result.append(((out[0], out[1]), (out[2], out[3])))
    return result


def bytes_before(tiling: Tiling, side: int, point: tuple[int, int]) -> int:
    """How much of the side's work comes before a cut; every tile is [tokens of the tile] x [columns]."""
    per_tile, row = tiling.tokens_per_tile, tiling.side[side].row_bytes
    first = min(point[0] * per_tile, tiling.num_tokens)
    return first * row + point[1] * min(per_tile, tiling.num_tokens - first)


@given(given_shapes=token_shapes())
@settings(max_examples=200, deadline=None)
def test_every_byte_is_covered_once_and_cores_differ_by_a_tenth(
    host_model: HostModel, given_shapes: tuple[Shapes, str, int, int]
) -> None:
    tiling = tile(host_model, given_shapes)
    work = np.zeros(tiling.used_cores, object)
    for side in (0, 1):
        row = tiling.side[side].row_bytes
        if row == 0:
            continue
        cuts = parts(host_model, tiling, side)
        assert cuts[0][0] == (0, 0)
        assert bytes_before(tiling, side, cuts[-1][1]) == tiling.num_tokens * row
        assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(cuts))
        assert all(begin <= end and 0 <= begin[1] < row for begin, end in cuts)
        work += [bytes_before(tiling, side, end) - bytes_before(tiling, side, begin) for begin, end in cuts]
    total = sum(work)
    cores = tiling.used_cores
    assert cores == max(1, min(given_shapes[2], -(-total // 512))), "all cores, when each gets 512 bytes"
    if cores == 1:
        return
    unit = max(min(s.column_unit, s.row_bytes) for s in tiling.side) * tiling.tokens_per_tile
    first = first_share(tiling, total)
    assert work[0] <= first
    assert max(work[1:]) - min(work[1:]) <= 2 * unit
    assert 10 * (cores - 1) * max(work[1:]) <= 11 * (total - first)
    assert min(work[1:]) > 0, "a core that is started has something to do"


def first_share(tiling: Tiling, total: int) -> int:
    """Core 0 looks at every slot too: each but the first 256 counts as 32 bytes of rows. Tiles of many tokens are shared
    out evenly while that is at most a third of a share."""
    slots = min(32 * max(tiling.num_tokens - 256, 0), total)
    if tiling.tokens_per_tile > 1 and slots <= total // tiling.used_cores // 3:
        slots = 0
    return max((total + slots) // tiling.used_cores - slots, 0)


@given(given_shapes=token_shapes(even_rows=True))
@settings(max_examples=150, deadline=None)
def test_rows_cut_evenly_differ_by_one_unit_at_most(
    host_model: HostModel, given_shapes: tuple[Shapes, str, int, int]
) -> None:
    """Where rows are whole units, the shares are floor(n) and ceil(n) units: nobody idles beside two more units."""
    tiling = tile(host_model, given_shapes)
    sides = [side for side in tiling.side if side.row_bytes]
    unit = sides[0].column_unit
    assert all(side.row_bytes % unit == 0 and side.column_unit == unit for side in sides)
    work = [0] * tiling.used_cores
    for index, _ in enumerate(sides):
        for core, (begin, end) in enumerate(parts(host_model, tiling, index)):
            work[core] += bytes_before(tiling, index, end) - bytes_before(tiling, index, begin)
    rest = work[1:] if tiling.num_tokens > 256 else work
    assert not rest or max(rest) - min(rest) <= unit


@given(given_shapes=token_shapes())
@settings(max_examples=100, deadline=None)
def test_buffers_fit_and_fields_hold(host_model: HostModel, given_shapes: tuple[Shapes, str, int, int]) -> None:
    tiling = tile(host_model, given_shapes)
    status = 32
    used = 4 * tiling.copy_buffer_bytes + 4 * tiling.tile_buffer_bytes + tiling.index_window * 8 + status
    assert used <= given_shapes[3] - 1024
    assert tiling.copy_buffer_bytes % 32 == 0
    assert tiling.copy_buffer_bytes >= 4096
    assert tiling.tile_buffer_bytes % 32 == 0
    assert (tiling.tile_buffer_bytes > 0) == (tiling.layout != 0)
    assert tiling.tile_buffer_bytes // 32 < 2**16, "strides inside the unified buffer are 16 bits, of 32 bytes"
    assert tiling.tokens_per_tile in (1, 2, 4, 8, 16, 32, 64, 128)


@pytest.mark.parametrize("cores", [1, 48])
@pytest.mark.parametrize("buffer", [192, 248])
def test_ropes_buffers_fit(host_model: HostModel, cores: int, buffer: int) -> None:
    shapes: Shapes = [
        (2, 4096, 8, 128),
        (2, 4096, 8, 128),
        (600, 128, 1, 128),
        (600, 128, 1, 128),
        (2, 8),
        (2, 8),
        (16,),
        (2,),
        (1, 1 + SCATTER_MODES.index("Rope"), 1, 1),
        (4,),
    ]
    tiling = host_model.tiling_of_shapes(shapes, "float16", "float16", "int64", cores, buffer * 1024)
    mean = 6 * tiling.mean_buffer_bytes + 12 * tiling.mean_elements + 1024
    assert 4 * tiling.copy_buffer_bytes + mean + 4 * 8 * tiling.index_window + 32 <= buffer * 1024 - 1024
    assert tiling.copy_buffer_bytes >= 4 * 1024


GOOD = shapes_of("PA_NZ", 5, 2, (32, 64), 4, 3)


REFUSED = [
    (0, (5, 64), "key: expected"),
    (1, (5, 3, 64), "value: differs from key"),
    (1, (5, 2, 64, 1), "value: expected as many"),
    (1, (5, 2, 0), "empty heads"),
    (2, (3, 5, 4, 16), "key_cache: its shape"),
    (2, (3, 4, 4, 15), "key_cache: its shape"),
    (2, (3, 8, 4, 8), "key_cache: its shape"),  # as many channels, in units of 16 bytes
    (2, (3, 4), "key_cache: its shape"),
    (2, (2**61, 4, 4, 16), "key_cache: its shape"),
    (3, (4, 8, 4, 16), "num_blocks or block_size"),
    (3, (3, 8, 5, 16), "num_blocks or block_size"),
    (4, (6,), "slot_mapping"),
    (4, (2, 2), "slot_mapping"),
    (8, (2, 1, 1), "mode: expected 4"),
    (8, (4, 1, 1, 1), "names no mode"),
    (8, (2, 2, 1, 1), "need the Norm layout"),
    (8, (2, 1, 1, 2), "packed rows need"),
    (8, (0, 1, 1, 1), "names no mode"),
    (9, (3,), r"last_status: expected \[4\]"),
]


@pytest.mark.parametrize(("index", "shape", "message"), REFUSED)
def test_shapes_that_disagree_are_refused(
    host_model: HostModel, index: int, shape: tuple[int, ...], message: str
) -> None:
    host_model.tiling_of_shapes(GOOD, "float16", "float16", "int32", 8)
    shapes = list(GOOD)
    shapes[index] = shape
    with pytest.raises(TilingError, match=message):
        host_model.tiling_of_shapes(shapes, "float16", "float16", "int32", 8)


ROPE: Shapes = [(2, 9, 3, 16), (2, 9, 3, 8), (5, 4, 1, 16), (5, 4, 1, 8), (2, 3), (6,), (6,), (2,), (1, 3, 1, 1), (4,)]


@pytest.mark.parametrize("rows", [(6,), (1, 6), (2, 3)])
@pytest.mark.parametrize(
    ("layout", "cache", "heads"),
    [
        ("Norm", (4, 8, 2, 32), 2),
        ("Norm", (4, 8, 64), 1),
        ("NHSD", (4, 2, 8, 32), 2),
        ("PA_NZ", (4, 4, 8, 16), 1),
        ("PA_NZ", (4, 2, 2, 8, 16), 2),
    ],
)
def test_flattened_rows_have_the_caches_heads(
    host_model: HostModel, layout: str, cache: tuple[int, ...], heads: int, rows: tuple[int, ...]
) -> None:
    """Where the cache's shape does not tell heads apart, its memory does not depend on them."""
    flat, one = (*rows, 64), (1,)
    mode = (1 + CACHE_MODES.index(layout), 1, 1, 3)
    shapes: Shapes = [flat, flat, cache, cache, (6,), one, one, one, mode, one]
    tiling = host_model.tiling_of_shapes(shapes, "float16", "float16", "int32", 8)
    assert (tiling.num_tokens, tiling.num_head) == (6, heads)
    assert [(side.row_bytes, side.head_bytes) for side in tiling.side] == [(128, 128 // heads)] * 2


FLAT: Shapes = [(6, 64), (6, 64), (4, 8, 2, 32), (4, 8, 2, 32), (6,), (1,), (1,), (1,), (1, 1, 1, 3), (1,)]


REFUSED_FLAT = [
    (0, (6, 2, 2, 16), r"key: expected \[T, N\*D\]"),
    (0, (6, 63), r"expected N\*D channels"),
    (1, (6, 63), r"expected N\*D channels"),
    (1, (6, 32), "value_cache: its shape"),
    (4, (5,), "slot_mapping"),
    (8, (1, 2, 1, 3), "take no flattened rows"),
]


@pytest.mark.parametrize(("index", "shape", "message"), REFUSED_FLAT)
def test_flattened_shapes_that_disagree_are_refused(
    host_model: HostModel, index: int, shape: tuple[int, ...], message: str
) -> None:
    host_model.tiling_of_shapes(FLAT, "float16", "float16", "int32", 8)
    shapes = list(FLAT)
    shapes[index] = shape
    with pytest.raises(TilingError, match=message):
        host_model.tiling_of_shapes(shapes, "float16", "float16", "int32", 8)


REFUSED_COMPRESSED = [
    (0, (18, 3, 16), "key: expected"),
    (2, (5, 4, 3, 16), "key_cache: its shape"),
    (2, (5, 4, 48), "key_cache: its shape"),
    (4, (2, 2), "slot_mapping"),
    (5, (5,), "compress_lens"),
    (6, (7,), "compress_seq_offsets"),
    (7, (3,), "seq_lens"),
    (8, (1, 3, 1, 2), "key: expected"),
]


@pytest.mark.parametrize(("index", "shape", "message"), REFUSED_COMPRESSED)
def test_compressed_shapes_that_disagree_are_refused(
    host_model: HostModel, index: int, shape: tuple[int, ...], message: str
) -> None:
    host_model.tiling_of_shapes(ROPE, "int8", "int8", "int64", 8)
    shapes = list(ROPE)
    shapes[index] = shape
    with pytest.raises(TilingError, match=message):
        host_model.tiling_of_shapes(shapes, "int8", "int8", "int64", 8)


def test_products_that_overflow_are_refused(host_model: HostModel) -> None:
    with pytest.raises(TilingError, match="too large"):
        host_model.tiling_of_shapes(shapes_of("Norm", 2**40, 2**12, (2**12, 1), 1, 1), "int8", "int8", "int32", 8)


def test_5_d_pa_nz_shapes_that_disagree_are_refused(host_model: HostModel) -> None:
    """[NB, N, D / LD, BS, LD]: heads and columns each on their own, also where their product fits."""
    good = [*GOOD[:2], (3, 2, 2, 4, 16), (3, 2, 4, 4, 16), *GOOD[4:]]
    host_model.tiling_of_shapes(good, "float16", "float16", "int32", 8)
    for shape in (
        (3, 3, 2, 4, 16),
        (3, 4, 1, 4, 16),
        (3, 1, 4, 4, 16),
        (3, 2, 2, 4, 8),
        (3, 2, 4, 4, 8),
        (3, 2, 3, 4, 16),
    ):
        shapes = [*good[:2], shape, *good[3:]]
        with pytest.raises(TilingError, match="key_cache: its shape"):
            host_model.tiling_of_shapes(shapes, "float16", "float16", "int32", 8)


@pytest.mark.parametrize("mode", COMPRESSED_MODES)
def test_a_padded_call_of_one_batch_takes_all_cores(host_model: HostModel, mode: str) -> None:
    shapes: Shapes = [
        (1, 4096, 8, 128), (1, 4096, 8, 128), (300, 128, 1, 128), (300, 128, 1, 128), (1, 8), (8,), (8,), (1,),
        (1, 1 + SCATTER_MODES.index(mode), 1, 1), (1,),
    ]  # fmt: skip
    assert host_model.tiling_of_shapes(shapes, "float16", "float16", "int64", 40).used_cores == 40
