"""No argument shares a byte with a cache: every pair of arguments, layout and item size, through the plain C interface,
at every distance around the borders."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ms_scatter_pa.backends.cpu.bindings import Call, CoreLibrary, make_call
from ms_scatter_pa.rules.table import ARGUMENTS, CACHE_MODES, COMPRESSED_MODES

BAD_SHAPES = 4
SPACING = 1 << 13  # more than any argument here takes, so that one which is moved touches one other only
FIELDS = {
    "key": ("key", "rows"),
    "value": ("value", "rows"),
    "key_cache": ("key", "cache"),
    "value_cache": ("value", "cache"),
}
NAMES = [argument.name for argument in ARGUMENTS]


def a_call(mode: str, dtype: str, arena: np.ndarray) -> tuple[Call, dict[str, tuple[int, int]]]:
    """A good call whose arguments lie apart in ``arena``, and each one's place: begin and size."""
    places: dict[str, tuple[int, int]] = {}
    at = 64

    def take(name: str, kind: str, *shape: int) -> np.ndarray:
        nonlocal at
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        places[name] = (at, size)
        view = arena[at : at + size].view(kind).reshape(shape)
        at += SPACING
        return view

    compressed = mode in COMPRESSED_MODES
    rows = (2, 3, 2, 32) if compressed else (5, 2, 32)
    item = np.dtype(dtype).itemsize
    shapes = {"Norm": (3, 4, 2, 32), "PA_NZ": (3, 2 * item, 4, 32 // item), "NHSD": (3, 2, 4, 32)}
    cache = (4, 4, 1, 32) if compressed else shapes[mode]
    arrays = [take("key", dtype, *rows), take("value", dtype, *rows)]
    arrays += [take("key_cache", dtype, *cache), take("value_cache", dtype, *cache)]
    slots = take("slot_mapping", "int64", *((2, 2) if compressed else (5,)))
    more = {}
    if compressed:
        names = ["compress_lens", "seq_lens"] + ([] if mode == "Alibi" else ["compress_seq_offsets"])
        more = {name: take(name, "int64", *((2,) if name == "seq_lens" else (2, 2))) for name in names}
        slots[...] = [[0, 4], [8, 12]]
        more["seq_lens"][...] = 2
        more["compress_lens"][...] = 1
    else:
        slots[...] = np.arange(5)
    layout = "Norm" if compressed else mode
    scatter_mode = mode if compressed else "None"
    return make_call(*arrays, slots, layout=layout, scatter_mode=scatter_mode, **more), places


def point(call: Call, name: str, address: int) -> None:
    if name in FIELDS:
        side, field = FIELDS[name]
        setattr(getattr(call, side), field, address)
    else:
        setattr(call, name, address)


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
@pytest.mark.parametrize("mode", ["Norm", "PA_NZ", "NHSD", "Alibi", "Rope", "Omni"])
def test_every_pair_at_every_border(library: CoreLibrary, mode: str, dtype: str) -> None:
    arena = np.zeros(9 * SPACING, np.uint8)
    call, places = a_call(mode, dtype, arena)
    assert library.scatter(call) == [0, 0, 0, 0]
    for cache in ("key_cache", "value_cache"):
        begin, size = places[cache]
        for other, (_, length) in places.items():
            if other == cache:
                continue
            offsets = {1 - length, -(length // 2), 0, size // 2, size - 1}
            for offset in offsets:
                call, _ = a_call(mode, dtype, arena)
                point(call, other, arena.ctypes.data + begin + offset)
                before = arena.tobytes()
                code, position, value, limit = library.scatter(call)
                named = {NAMES[position], NAMES[-1 - value]}
                assert (code, limit, named) == (BAD_SHAPES, -1, {cache, other}), (cache, other, offset)
                assert NAMES[position].endswith("_cache")
                message = library.message(call, [code, position, value, limit])
                assert message.startswith(f"ValueError: {NAMES[position]} overlaps {NAMES[-1 - value]} in memory")
                assert arena.tobytes() == before


@pytest.mark.parametrize("gap", [0, 1, 64])
def test_neighbours_do_not_overlap(library: CoreLibrary, gap: int) -> None:
    """Key, cache, slot_mapping side by side."""
    arena = np.zeros(4096, np.uint8)
    key = arena[: 3 * 16].view(np.int8).reshape(3, 1, 16)
    cache = arena[48 + gap : 48 + gap + 128].view(np.int8).reshape(2, 4, 1, 16)
    slots = arena[176 + 2 * gap : 176 + 2 * gap + 24].view(np.int64)
    key[...] = np.arange(48).reshape(3, 1, 16)
    slots[...] = [7, 0, 3]
    assert library.scatter(make_call(key, None, cache, None, slots, layout="Norm")) == [0, 0, 0, 0]
    assert cache.reshape(8, 16)[[7, 0, 3]].tobytes() == key.tobytes()


def test_memory_shared_by_what_is_only_read(library: CoreLibrary) -> None:
    arena = np.arange(64, dtype=np.int64)
    arena[:4] = [3, 1, 2, 0]
    slots = arena[:4]
    key = arena.view(np.int32)[:64].reshape(4, 1, 16)
    cache = np.zeros((1, 4, 1, 16), np.int32)
    assert library.scatter(make_call(key, None, cache, None, slots, layout="Norm")) == [0, 0, 0, 0]
    assert cache.reshape(4, 16)[[3, 1, 2, 0]].tobytes() == key.tobytes()


@pytest.mark.parametrize("mode", CACHE_MODES)
@pytest.mark.parametrize("gap", [0, 1, 40])
def test_blocks_of_a_pool_touch_what_they_hold(library: CoreLibrary, mode: str, gap: int) -> None:
    """V's cache moved through a pool byte by byte: it overlaps K's where a byte is in a block of both."""
    blocks, block = 3, 4 * 32
    shape = {"Norm": (blocks, 4, 1, 32), "PA_NZ": (blocks, 1, 4, 32), "NHSD": (blocks, 1, 4, 32)}[mode]
    strides = (2 * block + gap, *np.empty(shape, np.int8).strides[1:])
    arena = np.zeros(4096, np.uint8)
    key = np.ones((2, 1, 32), np.int8)
    slots = np.array([0, 5], np.int64)

    def cache(at: int) -> np.ndarray:
        return np.ndarray(shape, np.int8, arena, at, strides)

    first = 1024
    held = {first + b * strides[0] + i for b in range(blocks) for i in range(block)}
    for at in range(first - 3 * block, first + blocks * strides[0] + 3):
        touches = any(at + b * strides[0] + i in held for b in range(blocks) for i in (0, block - 1))
        status = library.scatter(make_call(key, key, cache(first), cache(at), slots, layout=mode))
        assert status == ([BAD_SHAPES, 3, -3, -1] if touches else [0, 0, 0, 0]), at - first


def pieces(draw: st.DrawFn, count: int, size: int) -> tuple[int, int]:
    """Where the first of ``count`` pieces of ``size`` bytes begins in the arena, and how far apart they are."""
    stride = draw(st.integers(size, 4 * size + 40))
    return draw(st.integers(0, ARENA - (count - 1) * stride - size)), stride


ARENA = 4096


def bytes_of(begin: int, stride: int, count: int, size: int) -> set[int]:
    return {begin + i * stride + k for i in range(count) for k in range(size)}


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_two_pools(library: CoreLibrary, data: st.DataObject) -> None:
    """K and V with strides, sizes and places of their own: refused exactly where a byte is in both."""
    blocks = data.draw(st.integers(1, 9))
    sizes = [data.draw(st.integers(1, 24)) for _ in range(2)]
    arena, slots = np.zeros(ARENA, np.uint8), np.array([0, blocks - 1], np.int64)
    places = [data.draw(st.composite(pieces)(blocks, size)) for size in sizes]
    caches = [
        np.ndarray((blocks, 1, 1, size), np.int8, arena, begin, (stride, size, size, 1))
        for size, (begin, stride) in zip(sizes, places, strict=True)
    ]
    rows = [np.ones((2, 1, size), np.int8) for size in sizes]
    held = [bytes_of(*place, blocks, size) for place, size in zip(places, sizes, strict=True)]
    status = library.scatter(make_call(*rows, *caches, slots, layout="Norm"))
    assert status == ([BAD_SHAPES, 3, -3, -1] if held[0] & held[1] else [0, 0, 0, 0]), (places, sizes)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rows_between_blocks(library: CoreLibrary, data: st.DataObject) -> None:
    """Rows at a distance, as a slice of a fused projection or the other half of a pool, count as what they are."""
    blocks, tokens, size = (data.draw(st.integers(1, n)) for n in (9, 9, 24))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    arena = rng.integers(0, 255, ARENA, np.uint8)
    begin, stride = data.draw(st.composite(pieces)(blocks, size))
    first, step = data.draw(st.composite(pieces)(tokens, size))
    cache = np.ndarray((blocks, 1, 1, size), np.uint8, arena, begin, (stride, size, size, 1))
    key = np.ndarray((tokens, 1, size), np.uint8, arena, first, (step, size, 1))
    slots = np.arange(tokens, dtype=np.int64)
    slots[slots >= blocks] = -1
    want = arena.copy()
    for slot in range(min(tokens, blocks)):
        want[begin + slot * stride :][:size] = arena[first + slot * step :][:size]
    status = library.scatter(make_call(key, None, cache, None, slots, layout="Norm"))
    if bytes_of(begin, stride, blocks, size) & bytes_of(first, step, tokens, size):
        assert status == [BAD_SHAPES, 2, -1, -1]
    else:
        assert status == [0, 0, 0, 0]
        assert arena.tobytes() == want.tobytes()


@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pools_as_large_as_memory(library: CoreLibrary, data: st.DataObject) -> None:
    """Strides up to 2^40 bytes that are near multiples of one another. Every slot is skipped, so that nothing is touched."""
    unit = data.draw(st.integers(1, 1 << 20))
    sizes = [data.draw(st.integers(1, 2 * unit)) for _ in range(2)]
    near = st.integers(-3, 3)
    strides = [size + unit * data.draw(st.integers(0, 1 << 20)) + abs(data.draw(near)) for size in sizes]
    blocks = data.draw(st.integers(1, 60))
    hull = (blocks - 1) * strides[0] + sizes[0]
    begins = [1 << 50, (1 << 50) + data.draw(st.integers(-strides[1] * blocks, hull)) // unit * unit + data.draw(near)]
    small = np.zeros((1, 1, 1, 1), np.int8)
    call = make_call(small[0], small[0], small, small.copy(), np.array([-1]), layout="Norm")
    call.num_blocks = blocks
    sides = (call.key, call.value)
    for side, begin, stride, size in zip(sides, begins, strides, sizes, strict=True):
        side.cache, side.block_stride, side.head_size = begin, stride, size
    touches = any(
        begins[0] + i * strides[0] < begins[1] + j * strides[1] + sizes[1]
        and begins[1] + j * strides[1] < begins[0] + i * strides[0] + sizes[0]
        for i in range(blocks)
        for j in range(blocks)
    )
    assert library.scatter(call) == ([BAD_SHAPES, 3, -3, -1] if touches else [0, 0, 0, 0])


def test_blocks_that_overlap_one_another_are_refused(library: CoreLibrary) -> None:
    cache = np.zeros((3, 4, 1, 16), np.int8)
    call = make_call(np.ones((2, 1, 16), np.int8), None, cache, None, np.array([0, 5]), layout="Norm")
    for stride in (63, 1, -64, -(1 << 62)):
        call.key.block_stride = stride
        status = library.scatter(call)
        assert status == [BAD_SHAPES, 2, stride, 64]
        text = f"ValueError: key_cache has blocks that overlap: got a block stride of {stride} elements, expected at least 64"
        assert library.message(call, status) == text
    for stride in (1 << 47, (1 << 62) + 1):
        call.key.block_stride = stride
        assert library.scatter(call)[:2] == [BAD_SHAPES, 2]
    assert not cache.any()
