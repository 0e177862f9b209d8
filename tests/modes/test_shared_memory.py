"""Where the arguments of a call lie: drawn by hypothesis, through every entry, in both modes.

All arguments are cut out of one allocation, apart from each other or anywhere: by views of views of other dtypes, or by
NumPy. A call whose arguments share no byte with a cache writes what NumPy says; any other is refused, names a pair that
does share bytes, and leaves the allocation as it was. Statuses lie there too, where an entry takes them.
"""

import ctypes
import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Parameter, Tensor, nn, ops

from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache, reshape_and_cache
from ms_scatter_pa.backends.cpu import eager, library
from ms_scatter_pa.rules.options import options_of
from ms_scatter_pa.rules.scenario import Arguments
from ms_scatter_pa.rules.table import CACHE_MODES
from tests.support.entries import graph_mode

TOKENS, BLOCKS, BLOCK_SIZE, SIZE = 3, 3, 4, 32
BYTES, STEP = 1 << 13, 8  # every argument begins at a multiple of the widest item
ITEM_SIZES = {"int8": 1, "uint8": 1, "float16": 2, "int16": 2, "float32": 4, "int32": 4}
BASES = {"uint8": 1, "float16": 2, "float32": 4, "int64": 8}
INDEX_SIZES = {"int32": 4, "int64": 8}
NAMES = ("key", "value", "key_cache", "value_cache", "slot_mapping", "last_status", "status")
PLACES = {"key": 0, "value": 1, "key_cache": 2, "value_cache": 3, "slot_mapping": 4, "last_status": 8, "status": 9}
CACHES = ("key_cache", "value_cache")


def cache_shape(layout: str, item: int) -> tuple[int, ...]:
    shapes = {"Norm": (BLOCKS, BLOCK_SIZE, 1, SIZE), "NHSD": (BLOCKS, 1, BLOCK_SIZE, SIZE)}
    return shapes.get(layout, (BLOCKS, item, BLOCK_SIZE, 32 // item))


class Arena:
    """One allocation and where the arguments of one call lie in it."""

    def __init__(self, draw: st.DrawFn, layout: str, dtype: str, index: str, names: tuple[str, ...]) -> None:
        item = ITEM_SIZES[dtype]
        rows, cache = (TOKENS, 1, SIZE), cache_shape(layout, item)
        self.layout, self.dtype, self.index = layout, dtype, index
        self.shapes = dict(zip(NAMES, (rows, rows, cache, cache, (TOKENS,), (4,), (4,)), strict=True))
        self.dtypes = dict(zip(NAMES, (dtype, dtype, dtype, dtype, index, "int64", "int64"), strict=True))
        self.bytes = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, BYTES).astype(np.uint8)
        self.begins: dict[str, int] = {}
        at = 0
        for name in draw(st.permutations(names), label="order"):
            at = (at + STEP - 1) // STEP * STEP + draw(st.integers(0, 5)) * STEP
            self.begins[name] = at
            at += self.size(name)
        assert at <= BYTES
        for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True), label="moved"):
            other = draw(st.sampled_from(names), label=f"{name} near")
            near = self.begins[other] + draw(st.integers(-self.size(name), self.size(other)))
            self.begins[name] = min(max(near, 0), BYTES - self.size(name)) // STEP * STEP
        self.slots = draw(st.permutations(range(-1, BLOCKS * BLOCK_SIZE)), label="slots")[:TOKENS]
        self.array("slot_mapping")[...] = self.slots
        self.before = self.bytes.copy()

    def size(self, name: str) -> int:
        item = INDEX_SIZES.get(self.dtypes[name], 8) if name in NAMES[4:] else ITEM_SIZES[self.dtypes[name]]
        return int(np.prod(self.shapes[name])) * item

    def array(self, name: str, source: Any = None) -> Any:
        part = (self.bytes if source is None else source)[self.begins[name] : self.begins[name] + self.size(name)]
        return part.view(self.dtypes[name]).reshape(self.shapes[name])

    def from_numpy(self, name: str) -> Any:
        return Tensor.from_numpy(self.array(name))

    def view(self, name: str, base: str, through: str | None) -> Any:
        """A view of the whole allocation; ``through``: of a part of a view of another dtype."""
        whole, begin = Tensor.from_numpy(self.bytes.view(base)), self.begins[name]
        if through is not None and begin >= 64:
            whole, begin = whole.view(getattr(ms, through))[64 // BASES[through] :], begin - 64
        dtype = self.dtypes[name]
        item = np.dtype(dtype).itemsize
        part = whole.view(getattr(ms, dtype))[begin // item : (begin + self.size(name)) // item]
        return part.view(self.shapes[name])

    def share(self, one: str, other: str) -> bool:
        a, b = self.begins[one], self.begins[other]
        return a < b + self.size(other) and b < a + self.size(one)

    @property
    def overlaps(self) -> bool:
        return any(self.share(c, name) for c, name in itertools.product(CACHES, self.begins) if c != name)

    def after(self) -> Any:
        """The allocation after a good call."""
        want = self.before.copy()
        for rows, cache in zip(("key", "value"), CACHES, strict=True):
            into, given = self.array(cache, want), self.array(rows, self.before)
            for token, slot in enumerate(self.slots):
                if slot >= 0:
                    block, offset = divmod(slot, BLOCK_SIZE)
                    row = given[token, 0]
                    place = into[block, :, offset] if self.layout != "Norm" else into[block, offset]
                    place[...] = row.reshape(place.shape)
        return want

    def check_refused(self, status: list[int]) -> None:
        """The status tells a cache and an argument that share bytes; both statuses are stored where no cache lies."""
        code, position, value, limit = status
        named = {place: name for name, place in PLACES.items()}
        cache, other = named[position], named[-1 - value]
        assert (code, limit) == (4, -1) and cache in CACHES and cache != other and self.share(cache, other), status
        want = self.before.copy()
        for name in ("last_status", "status"):
            if name in self.begins and not any(self.share(name, c) for c in CACHES):
                self.array(name, want)[...] = status
        assert np.array_equal(self.bytes, want)


def tensors(arena: Arena, make: Callable[[str], Any]) -> list[Any]:
    return [make(name) for name in NAMES[:5]]


def functional(arena: Arena, given: list[Any], on_error: str) -> Any:
    return npu_scatter_pa_kv_cache(*given, cache_mode=arena.layout, on_error=on_error)


def queued(arena: Arena, given: list[Any], on_error: str) -> Any:
    busy = Tensor(np.ones((200, 200), np.float32))
    for _ in range(3):
        busy = ops.matmul(busy, busy) * 1e-3
    return functional(arena, given, on_error)


def pointers(arena: Arena, given: list[Any], on_error: str) -> Any:
    return eager.call_through_pointers(*given, None, None, None, arena.layout, None, on_error, False, None)


def compat(arena: Arena, given: list[Any], on_error: str) -> Any:
    return reshape_and_cache(*given, cache_mode=1 if arena.layout == "PA_NZ" else 0)


PYNATIVE = {"functional": functional, "queued": queued, "pointers": pointers, "reshape_and_cache": compat}


@pytest.mark.parametrize("entry", PYNATIVE)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_pynative(entry: str, data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(("Norm", "PA_NZ") if entry == "reshape_and_cache" else CACHE_MODES))
    dtype, index = data.draw(st.sampled_from(sorted(ITEM_SIZES))), data.draw(st.sampled_from(sorted(INDEX_SIZES)))
    arena = Arena(data.draw, layout, dtype, index, NAMES[:5])
    base = data.draw(st.sampled_from(sorted(BASES)), label="base")
    through = data.draw(st.sampled_from([None, *BASES]), label="through")
    given = tensors(arena, lambda name: arena.view(name, base, through))
    on_error = "raise" if entry == "reshape_and_cache" else data.draw(st.sampled_from(["raise", "record"]))
    if not arena.overlaps:
        assert PYNATIVE[entry](arena, given, on_error).asnumpy().tolist() == [0, 0, 0, 0]
        assert np.array_equal(arena.bytes, arena.after())
    elif on_error == "record":
        arena.check_refused(PYNATIVE[entry](arena, given, on_error).asnumpy().tolist())
    else:
        with pytest.raises(ValueError, match=r"^(key|value)_cache overlaps [a-z_]+ in memory"):
            PYNATIVE[entry](arena, given, on_error).asnumpy()
        assert np.array_equal(arena.bytes, arena.before)


def run_plainly(given: dict[str, Any], layout: str, status: int, last_status: int) -> list[int]:
    """A recording call of these arrays, with both statuses at these addresses."""
    structs = (eager._Tensor * 8)()
    for name, array in given.items():
        struct = structs[NAMES.index(name)]
        struct.data, struct.ndim = array.ctypes.data, array.ndim
        struct.shape = (ctypes.c_int64 * 8)(*array.shape)
    arrays = [given.get(name) for name in NAMES[:5]] + [None] * 3
    shapes = tuple(None if array is None else array.shape for array in arrays)
    dtypes = tuple(None if array is None else array.dtype.name for array in arrays)
    options = options_of(Arguments(shapes, dtypes, layout, None), "record", False, True)
    message = ctypes.create_string_buffer(1024)
    run = library.load().MsspRun
    run.restype = eager.Status
    found: list[int] = run(
        structs,
        (ctypes.c_int64 * len(options))(*options),
        ctypes.c_void_p(status),
        ctypes.c_void_p(last_status),
        message,
        ctypes.c_int64(1024),
    ).as_list()
    return found


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_plain_c_interface(data: st.DataObject) -> None:
    """With both statuses in the allocation."""
    layout = data.draw(st.sampled_from(CACHE_MODES))
    dtype, index = data.draw(st.sampled_from(sorted(ITEM_SIZES))), data.draw(st.sampled_from(sorted(INDEX_SIZES)))
    arena = Arena(data.draw, layout, dtype, index, NAMES)
    given = {name: arena.array(name) for name in NAMES[:5]}
    status, last_status = (arena.bytes.ctypes.data + arena.begins[name] for name in ("status", "last_status"))
    found = run_plainly(given, layout, status, last_status)
    if arena.overlaps:
        if not arena.share("status", "last_status"):
            arena.check_refused(found)
        return
    assert found == [0, 0, 0, 0]
    want = arena.after()
    arena.array("status", want)[...] = 0
    assert np.array_equal(arena.bytes, want)


class Wrapped(nn.Cell):  # type: ignore[misc]
    def __init__(self, write: ScatterPaKvCache) -> None:
        super().__init__()
        self.write = write

    def construct(self, key: Any, value: Any, slot_mapping: Any) -> Any:
        return self.write(key, value, slot_mapping)


@lru_cache(maxsize=32)
def cell_of(mode: str, layout: str, dtype: str, index: str) -> Wrapped:
    caches = [
        Parameter(
            Tensor(np.zeros(cache_shape(layout, ITEM_SIZES[dtype]), dtype)), name=f"{name}.{mode}.{dtype}.{index}"
        )
        for name in CACHES
    ]
    return Wrapped(ScatterPaKvCache(*caches, cache_mode=layout, on_error="record"))


def check_cell(data: st.DataObject, mode: str, layout: str, dtype: str, index: str) -> None:
    arena = Arena(data.draw, layout, dtype, index, NAMES[:6])
    net = cell_of(mode, layout, dtype, index)
    held = (net.write.key_cache, net.write.value_cache, net.write.last_status)
    for parameter, name in zip(held, (*CACHES, "last_status"), strict=True):
        parameter.set_data(arena.from_numpy(name))
    status = net(*(arena.from_numpy(name) for name in ("key", "value", "slot_mapping"))).asnumpy().tolist()
    if arena.overlaps:
        arena.check_refused(status)
    else:
        assert status == [0, 0, 0, 0]
        assert np.array_equal(arena.bytes, arena.after())


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_cell(data: st.DataObject) -> None:
    dtype, index = data.draw(st.sampled_from(sorted(ITEM_SIZES))), data.draw(st.sampled_from(sorted(INDEX_SIZES)))
    check_cell(data, "pynative", data.draw(st.sampled_from(CACHE_MODES)), dtype, index)


# One graph each: an item size, a layout, an index dtype.
GRAPHS = [("PA_NZ", "int8", "int64"), ("Norm", "float16", "int32"), ("NHSD", "float32", "int64")]


@pytest.mark.parametrize(("layout", "dtype", "index"), GRAPHS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_cell_in_a_graph(layout: str, dtype: str, index: str, data: st.DataObject) -> None:
    with graph_mode():
        check_cell(data, "graph", layout, dtype, index)


@lru_cache(maxsize=8)
def graph_of(layout: str) -> Any:
    @ms.jit
    def write(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any) -> Any:
        return npu_scatter_pa_kv_cache(
            key, value, key_cache, value_cache, slot_mapping, cache_mode=layout, on_error="record"
        )

    return write


@lru_cache(maxsize=8)
def compat_graph_of(cache_mode: int) -> Any:
    @ms.jit
    def write(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any) -> Any:
        return reshape_and_cache(key, value, key_cache, value_cache, slot_mapping, cache_mode)

    return write


@pytest.mark.parametrize(("layout", "dtype", "index"), GRAPHS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_graph(layout: str, dtype: str, index: str, data: st.DataObject) -> None:
    """Caches passed as arguments; rows and indices may be views, which MindSpore copies for a graph."""
    arena = Arena(data.draw, layout, dtype, index, NAMES[:5])
    base = data.draw(st.sampled_from([None, *BASES]), label="rows are views of") if not arena.overlaps else None
    through = data.draw(st.sampled_from([None, *BASES]), label="through")

    def make(name: str) -> Any:
        return arena.from_numpy(name) if base is None or name in CACHES else arena.view(name, base, through)

    uses_compat = not arena.overlaps and layout != "NHSD" and data.draw(st.booleans(), label="reshape_and_cache")
    write = compat_graph_of(1 if layout == "PA_NZ" else 0) if uses_compat else graph_of(layout)
    status = write(*tensors(arena, make)).asnumpy().tolist()
    if arena.overlaps:
        arena.check_refused(status)
    else:
        assert status == [0, 0, 0, 0]
        assert np.array_equal(arena.bytes, arena.after())


def test_a_status_that_lies_in_a_cache_is_not_stored_whatever_else_does() -> None:
    """The message names the slots; the last status, which lies in the same cache, is as little written."""
    memory = np.zeros(512, np.uint8)
    cache = memory[:384].view(np.int8).reshape(BLOCKS, BLOCK_SIZE, 1, SIZE)
    slots, last_status = memory[64:88].view(np.int64), memory[128:160].view(np.int64)
    key, status = np.ones((TOKENS, 1, SIZE), np.int8), np.zeros(4, np.int64)
    slots[...] = range(TOKENS)
    before = memory.copy()
    given = {"key": key, "key_cache": cache, "slot_mapping": slots}
    assert run_plainly(given, "Norm", status.ctypes.data, last_status.ctypes.data) == [4, 2, -5, -1]
    assert status.tolist() == [4, 2, -5, -1]
    assert np.array_equal(memory, before)
