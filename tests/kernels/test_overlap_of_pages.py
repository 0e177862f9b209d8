"""The gather and the quantising write: no argument shares a byte with what they write, and index arrays are copied before
they are checked; through the plain C interface."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ms_scatter_pa.backends.cpu import paged_bindings
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary
from ms_scatter_pa.rules.table import CACHE_MODES, GATHER_PA, QUANT_SCATTER_PA

BAD_SHAPES = 4
SPACING = 1 << 13  # more than any argument here takes, so that one which is moved touches one other only
BLOCKS, BLOCK_SIZE, HEADS, SIZE, TOKENS = 3, 4, 2, 32, 5
SIDE_FIELDS = {"": "rows", "_cache": "cache"}
SCALING_FIELDS = {"_scale": "scale", "_offset": "offset", "_scale_cache": "scale_cache"}
Taker = Callable[..., np.ndarray]


def cache_shape(layout: str, item: int) -> tuple[int, ...]:
    return {
        "Norm": (BLOCKS, BLOCK_SIZE, HEADS, SIZE),
        "NHSD": (BLOCKS, HEADS, BLOCK_SIZE, SIZE),
        "PA_NZ": (BLOCKS, HEADS * SIZE * item // 32, BLOCK_SIZE, 32 // item),
    }[layout]


def scales_of(scaling: str, layout: str, side: str, take: Taker) -> dict[str, np.ndarray]:
    if scaling == "static":
        found = {f"{side}_{name}": take(f"{side}_{name}", "float32", HEADS) for name in ("scale", "offset")}
        found[f"{side}_scale"][...] = 0.5
        return found
    if scaling == "dynamic":
        shape = (BLOCKS, HEADS, BLOCK_SIZE, 1) if layout == "NHSD" else (BLOCKS, BLOCK_SIZE, HEADS)
        return {f"{side}_scale_cache": take(f"{side}_scale_cache", "float32", *shape)}
    return {}


def gather_call(layout: str, dtype: str, scaling: str, take: Taker) -> Any:
    codes = "int8" if scaling else dtype
    shape = cache_shape(layout, np.dtype(codes).itemsize)
    caches = [take(f"{side}_cache", codes, *shape) for side in ("key", "value")]
    tables, lengths = take("block_tables", "int32", 2, 2), take("seq_lens", "int32", 2)
    offsets = take("seq_offset", "int32", 2)
    rows = [take(side, "float32" if scaling else dtype, TOKENS, HEADS, SIZE) for side in ("key", "value")]
    tables[...], lengths[...], offsets[...] = [[1, 2], [0, 0]], [3, 2], [BLOCK_SIZE, 0]
    scales = {
        name: array for side in ("key", "value") for name, array in scales_of(scaling, layout, side, take).items()
    }
    return paged_bindings.make_gather_call(*caches, tables, lengths, *rows, layout=layout, seq_offset=offsets, **scales)


def quant_call(layout: str, dtype: str, scaling: str, take: Taker) -> Any:
    rows = [take(side, dtype if scaling else "int8", TOKENS, HEADS, SIZE) for side in ("key", "value")]
    caches = [take(f"{side}_cache", "int8", *cache_shape(layout, 1)) for side in ("key", "value")]
    slots = take("slot_mapping", "int64", TOKENS)
    slots[...] = np.arange(TOKENS) * 2
    scales = {
        name: array for side in ("key", "value") for name, array in scales_of(scaling, layout, side, take).items()
    }
    return paged_bindings.make_quant_call(*rows, *caches, slots, layout=layout, **scales)


MAKERS = {"gather": (gather_call, GATHER_PA), "quantise": (quant_call, QUANT_SCATTER_PA)}


def point(call: Any, name: str, address: int) -> None:
    for side in ("key", "value"):
        rest = name.removeprefix(side)
        if name.startswith(side) and rest in SIDE_FIELDS:
            return setattr(getattr(call, side), SIDE_FIELDS[rest], address)
        if name.startswith(side):
            return setattr(getattr(call, side).scaling, SCALING_FIELDS[rest], address)
    return setattr(call, name, address)


@pytest.mark.parametrize("scaling", ["", "static", "dynamic"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("layout", CACHE_MODES)
@pytest.mark.parametrize("operator", MAKERS)
def test_every_pair_at_every_border(library: CoreLibrary, operator: str, layout: str, dtype: str, scaling: str) -> None:
    make, schema = MAKERS[operator]
    names = [argument.name for argument in schema.arguments]
    arena = np.zeros((len(names) + 1) * SPACING, np.uint8)

    def a_call() -> tuple[Any, dict[str, tuple[int, int]]]:
        places: dict[str, tuple[int, int]] = {}

        def take(name: str, kind: str, *shape: int) -> np.ndarray:
            begin, size = 64 + len(places) * SPACING, int(np.prod(shape)) * np.dtype(kind).itemsize
            places[name] = begin, size
            return arena[begin : begin + size].view(kind).reshape(shape)

        return make(layout, dtype, scaling, take), places

    call, places = a_call()
    assert paged_bindings.run(library, call) == ([0, 0, 0, 0], "")
    for written in [name for name in places if name in schema.written]:
        begin, size = places[written]
        for other, (_, length) in places.items():
            if other == written:
                continue
            for offset in {1 - length, -(length // 2), 0, size // 2, size - 1}:
                call, _ = a_call()
                point(call, other, arena.ctypes.data + begin + offset)
                before = arena.tobytes()
                (code, position, value, limit), message = paged_bindings.run(library, call)
                named = {names[position], names[-1 - value]}
                assert (code, limit, named) == (BAD_SHAPES, -1, {written, other}), (written, other, offset)
                assert message.startswith(f"ValueError: {names[position]} overlaps {names[-1 - value]} in memory")
                assert names[position] in schema.written
                assert arena.tobytes() == before


@pytest.mark.parametrize("operator", MAKERS)
def test_pointers_that_wrap_around_are_refused(library: CoreLibrary, operator: str) -> None:
    make, _ = MAKERS[operator]

    def a_call() -> tuple[Any, list[str]]:
        arrays: dict[str, np.ndarray] = {}
        call = make("Norm", "float32", "static", lambda name, kind, *n: arrays.setdefault(name, np.zeros(n, kind)))
        call.keep_arrays = arrays
        return call, list(arrays)

    for name in a_call()[1]:
        call, _ = a_call()
        point(call, name, 2**64 - 4)
        assert paged_bindings.run(library, call)[0][0] == BAD_SHAPES, name
    if operator == "gather":
        call, _ = a_call()
        call.batch, call.table_width, call.num_tokens = 1 << 48, 0, 0
        assert paged_bindings.run(library, call)[0][0] == BAD_SHAPES


def test_interleaved_parts_of_one_pool_are_apart(library: CoreLibrary) -> None:
    """Caches and rows whose blocks lie between each other's share no byte."""
    pool = np.random.default_rng(0).integers(0, 256, (BLOCKS, 2, BLOCK_SIZE, 1, 16)).astype(np.uint8)
    rows = np.zeros((4, 2, 1, 16), np.uint8)
    tables, lengths = np.array([[2]]), np.array([4])
    call = paged_bindings.make_gather_call(
        pool[:, 0], pool[:, 1], tables, lengths, rows[:, 0], rows[:, 1], layout="Norm"
    )
    assert paged_bindings.run(library, call)[0] == [0, 0, 0, 0]
    assert rows.tobytes() == np.stack([pool[2, 0], pool[2, 1]], 1).tobytes()


@pytest.mark.parametrize("operator", MAKERS)
def test_values_that_are_checked_are_the_values_that_are_used(library: CoreLibrary, operator: str) -> None:
    """Another thread changes the indices all the time: a call is refused, or stays inside; guards see what is not."""
    guard, big = 1 << 16, 1 << 40
    arena = np.full(guard * 2 + (1 << 20), 7, np.uint8)
    body = arena[guard:-guard]
    tokens = 2048
    rows = np.ones((tokens, 1, 16), np.uint8)
    cache = body[: tokens * 16].reshape(tokens // 16, 16, 1, 16)
    good = np.arange(tokens // 16).reshape(1, -1) if operator == "gather" else np.arange(tokens)
    indices, bad = good.copy(), good.copy()
    bad.reshape(-1)[-1] = big
    if operator == "gather":
        call = paged_bindings.make_gather_call(
            cache, None, indices, np.array([tokens]), rows, None, layout="Norm", num_threads=1
        )
    else:
        call = paged_bindings.make_quant_call(
            rows.view(np.int8), None, cache.view(np.int8), None, indices, layout="Norm", num_threads=1
        )
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            indices[...] = bad
            indices[...] = good

    thread = threading.Thread(target=change)
    thread.start()
    codes = set()
    try:
        for _ in range(3000):
            codes.add(paged_bindings.run(library, call)[0][0])
    finally:
        stop.set()
        thread.join()
    assert codes <= {0, 1}
    assert not (arena[:guard] != 7).any() and not (arena[-guard:] != 7).any()


def test_scale_caches_whose_blocks_overlap_are_refused(library: CoreLibrary) -> None:
    rows, cache = np.ones((2, 1, 4), np.float32), np.zeros((2, 2, 1, 4), np.int8)
    scales = np.zeros((2, 2, 1), np.float32)
    call = paged_bindings.make_quant_call(
        rows, None, cache, None, np.array([0, 2]), layout="Norm", key_scale_cache=scales
    )
    call.key.scaling.scale_block_stride = 1
    status, sentence = paged_bindings.run(library, call)
    assert status == [BAD_SHAPES, 9, 1, 2]
    assert sentence.startswith("ValueError: key_scale_cache")
    assert not cache.any() and not scales.any()
