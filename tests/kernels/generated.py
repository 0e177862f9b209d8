"""Random calls of the write in memory of every kind, and their judgement by ``ms_scatter_pa.reference``."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from ms_scatter_pa import reference
from ms_scatter_pa.backends.cpu.bindings import Call, CoreLibrary, make_call
from ms_scatter_pa.reference import write_reference
from tests.support.arrays import Array, is_nan, storage
from tests.support.cases import NAMES, Case
from tests.support.random_calls import CORE, Drawn, draw_case, draw_spec, seeds, seldom, spoil

SCENARIOS = (
    ("Norm", "None"),
    ("PA_NZ", "None"),
    ("NHSD", "None"),
    ("Norm", "Alibi"),
    ("Norm", "Rope"),
    ("Norm", "Omni"),
)
CPU_PATHS = ("portable", "avx2", "avx512", "neon")


@dataclass(repr=False)
class Generated:
    """A call and the memory around it.

    Attributes:
        sides: rows and cache of K and, unless the write is key-only, of V.
        buffers: the bytes that each cache lies in, with a margin on both sides, and bytes between blocks that lie
            apart, that nothing may touch; one and the same buffer where K and V are interleaved in it.
        options: keyword arguments of ``write_reference`` and ``make_call``.
    """

    sides: list[tuple[Array, Array]]
    buffers: list[Array]
    slots: Array
    options: dict[str, Any]
    dtype: str
    keep: list[Array] = field(default_factory=list)

    def arguments(self, caches: Sequence[Array]) -> tuple[Array, Array | None, Array, Array | None, Array]:
        key, value = self.sides[0][0], self.sides[1][0] if len(self.sides) > 1 else None
        return key, value, caches[0], caches[1] if len(self.sides) > 1 else None, self.slots

    def judge(self) -> tuple[list[int], list[Array]]:
        """The reference's status and what the buffers should hold."""
        copies = self._copies()
        caches = [_same_view(cache, buffer, copy) for (_, cache), buffer, copy in self._triples(copies)]
        status = write_reference(*self.arguments(caches), dtype=self.dtype, **self.options)
        return status, copies

    def run(self, library: CoreLibrary, num_threads: int = 1) -> tuple[list[int], list[Array], str]:
        """The library's status, the buffers after it, and its sentence about the status."""
        copies = self._copies()
        caches = [_same_view(cache, buffer, copy) for (_, cache), buffer, copy in self._triples(copies)]
        call = self.call(caches, num_threads)
        status = library.scatter(call)
        return status, copies, library.message(call, status)

    def call(self, caches: Sequence[Array], num_threads: int = 1) -> Call:
        return make_call(*self.arguments(caches), dtype=self.dtype, num_threads=num_threads, **self.options)

    def same(self, got: Array, want: Array, cache: Array, buffer: Array) -> bool:
        """Bit for bit; in mean rows (Rope) any NaN equals any NaN."""
        if got.tobytes() == want.tobytes():
            return True
        if self.options["scatter_mode"] != "Rope":
            return False
        inside = [_same_view(cache, buffer, array) for array in (got, want)]
        caches = [c for (_, c), b in zip(self.sides, self.buffers, strict=True) if b is buffer]
        margins = [_without(array, caches, buffer) for array in (got, want)]
        differs = inside[0].view(f"u{cache.itemsize}") != inside[1].view(f"u{cache.itemsize}")
        return bool(margins[0] == margins[1] and all(is_nan(array[differs], self.dtype).all() for array in inside))

    def _copies(self) -> list[Array]:
        copies = {id(buffer): _copy_of(buffer) for buffer in self.buffers}
        return [copies[id(buffer)] for buffer in self.buffers]

    def _triples(self, copies: Sequence[Array]) -> list[tuple[tuple[Array, Array], Array, Array]]:
        return list(zip(self.sides, self.buffers, copies, strict=True))


def _copy_of(buffer: Array) -> Array:
    """Its bytes, as far from a cache line's border as they were."""
    memory = np.empty(buffer.nbytes + 64, np.uint8)
    begin = (buffer.ctypes.data - memory.ctypes.data) % 64
    copy = memory[begin : begin + buffer.nbytes].view(buffer.dtype).reshape(buffer.shape)
    copy[...] = buffer
    return copy


def _offset(cache: Array, buffer: Array) -> int:
    return cache.ctypes.data - buffer.ctypes.data


def _same_view(cache: Array, buffer: Array, other: Array) -> Array:
    return np.ndarray(cache.shape, cache.dtype, other, _offset(cache, buffer), cache.strides)


def _without(array: Array, caches: Sequence[Array], buffer: Array) -> bytes:
    rest = array.copy()
    for cache in caches:
        _same_view(cache, buffer, rest).view(f"u{cache.itemsize}")[...] = 0
    return rest.tobytes()


@st.composite
def calls(
    draw: st.DrawFn, layout: str, scatter_mode: str, dtype: str, *, duplicates: bool = False, bad: bool = True
) -> Generated:
    """A call in the given scenario.

    Args:
        draw: hypothesis's.
        layout: cache_mode.
        scatter_mode: as the operator's.
        dtype: of key and value.
        duplicates: slots may repeat, and the call checks for it; otherwise slots are distinct.
        bad: now and then a slot or a length is out of range.
    """
    choices = Drawn(draw)
    row = layout if scatter_mode == "None" else scatter_mode
    packed = scatter_mode != "None" and draw(st.booleans(), label="packed")
    spec = draw_spec(choices, row, (dtype,), CORE, value_dtype=None, packed=packed)
    case = draw_case(choices, spec, repeat=duplicates and draw(st.booleans()), check_duplicates=duplicates)
    spoiled = bad and seldom(choices, 4)
    if spoiled:
        spoil(choices, case)
    generated = _placed(draw, case)
    if spoiled and not duplicates:
        checked = replace(generated, options=generated.options | {"check_duplicates": True})
        assume(checked.judge()[0][0] != reference.DUPLICATE)  # what is written then is undefined
    return generated


def _placed(draw: st.DrawFn, case: Case) -> Generated:
    """The case's rows with strides, its caches at any address, V's blocks perhaps between K's."""
    rng, spec, arrays = np.random.default_rng(draw(seeds, label="memory")), case.spec, case.arrays
    options: dict[str, Any] = {
        "layout": spec.layout,
        "scatter_mode": spec.row if spec.compressed else "None",
        "check_duplicates": case.check_duplicates,
        **{name: arrays[name] for name in NAMES[5:] if arrays[name] is not None},
    }
    sides, buffers, keep = [], [], []
    for name in ("key", "value"):
        content, inside = arrays[name], arrays[f"{name}_cache"]
        if content is None or inside is None:
            continue
        rows, base = _strided_rows(draw, rng, content)
        cache, buffer = draw(caches(rng, inside.shape, spec.dtype))
        if sides and sides[0][1].shape == cache.shape and _has_room(sides[0][1]) and draw(st.booleans()):
            first, buffer = sides[0][1], buffers[0]  # V's blocks behind K's
            at = _offset(first, buffer) + first[0].nbytes
            cache = np.ndarray(cache.shape, cache.dtype, buffer, at, first.strides)
        cache[...] = inside
        sides.append((rows, cache))
        buffers.append(buffer)
        keep.append(base)
    slots = arrays["slot_mapping"]
    assert slots is not None
    return Generated(sides, buffers, slots, options, spec.dtype, keep)


def _strided_rows(draw: st.DrawFn, rng: np.random.Generator, content: Array) -> tuple[Array, Array]:
    """The rows, contiguous in the innermost dimension only, and the array that owns their memory."""
    style = draw(st.sampled_from(("contiguous", "fused", "padded heads", "heads first", "reversed")), label="strides")
    *outer, tokens, heads, size = content.shape

    def memory(*shape: int) -> Array:
        bits = rng.integers(0, 256, int(np.prod(shape, dtype=np.int64)) * content.itemsize, dtype=np.uint8)
        return bits.view(content.dtype).reshape(shape)

    if style == "fused":  # a part of what one projection made of q, k and v
        base = memory(*outer, tokens, 3 * heads, size)
        rows = base[..., heads : 2 * heads, :]
    elif style == "padded heads":
        base = memory(*outer, tokens, heads, size + 5)
        rows = base[..., 2 : 2 + size]
    elif style == "heads first":
        base = memory(*outer, heads, tokens, size)
        rows = base.swapaxes(-2, -3)
    else:
        base = memory(*content.shape)
        rows = base[..., ::-1, :] if style == "reversed" else base
    rows[...] = content
    return rows, base


@st.composite
def caches(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
    """A cache at some distance from a 64-byte border, full of random bytes, and the buffer around it.

    Its blocks follow one another or lie apart: interleaved with others of their size, or with gaps.
    """
    distance = draw(st.sampled_from((0, 0, 16, 16, 32, 48, 8, 2, 1, 63)), label="bytes past a line")
    block = int(np.prod(shape[1:], dtype=np.int64))
    gap = draw(st.sampled_from((0, 0, block, block, 1, 7, 3 * block)), label="elements between blocks")
    kind = storage(dtype)
    nbytes = shape[0] * (block + gap) * kind.itemsize
    buffer = rng.integers(0, 256, nbytes + 256, dtype=np.uint8)
    begin = 64 + (distance - buffer.ctypes.data - 64) % 64
    strides = np.empty(shape, np.uint8).strides[1:]
    strides = ((block + gap) * kind.itemsize, *(stride * kind.itemsize for stride in strides))
    return np.ndarray(shape, kind, buffer, begin, strides), buffer


def _has_room(cache: Array) -> bool:
    """Whether between two blocks there is room for another."""
    return bool(cache.strides[0] >= 2 * cache[0].nbytes) if len(cache) else False
