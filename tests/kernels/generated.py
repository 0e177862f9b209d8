"""Random calls of the operator, drawn by hypothesis, and their judgement by ``ms_scatter_pa.reference``."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from hypothesis import assume
from hypothesis import strategies as st

from ms_scatter_pa import hifloat8, reference
from ms_scatter_pa.backends.cpu.bindings import Call, CoreLibrary, make_call
from ms_scatter_pa.reference import write_reference
from ms_scatter_pa.rules.table import DTYPES, dtype_named

Array = npt.NDArray[Any]

SCENARIOS = (
    ("Norm", "None"),
    ("PA_NZ", "None"),
    ("NHSD", "None"),
    ("Norm", "Alibi"),
    ("Norm", "Rope"),
    ("Norm", "Omni"),
)
DTYPE_NAMES = tuple(d.name for d in DTYPES)
CPU_PATHS = ("portable", "avx2", "avx512", "neon")
INDEX_TYPES = (np.int32, np.int64)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The dtype that holds the bits; uint8 for hifloat8, which NumPy does not have."""
    numpy_name = dtype_named(name).numpy_name or "uint8"
    return np.dtype(getattr(ml_dtypes, numpy_name, numpy_name))


def random_array(rng: np.random.Generator, shape: Sequence[int], name: str, *, any_bits: bool) -> Array:
    """Any bits at all (NaN payloads, infinities, subnormals), or ordinary numbers."""
    dtype, count = numpy_dtype(name), int(np.prod(shape, dtype=np.int64))
    if any_bits or dtype_named(name).kind == "int":
        return rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(dtype).reshape(shape)
    values = rng.normal(size=count).astype(np.float32).reshape(shape)
    return hifloat8.from_float32(values) if name == "hifloat8" else values.astype(dtype)


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
        return bool(margins[0] == margins[1] and all(_is_nan(array[differs], self.dtype).all() for array in inside))

    def _copies(self) -> list[Array]:
        copies = {id(buffer): buffer.copy() for buffer in self.buffers}
        return [copies[id(buffer)] for buffer in self.buffers]

    def _triples(self, copies: Sequence[Array]) -> list[tuple[tuple[Array, Array], Array, Array]]:
        return list(zip(self.sides, self.buffers, copies, strict=True))


def _offset(cache: Array, buffer: Array) -> int:
    return cache.ctypes.data - buffer.ctypes.data


def _same_view(cache: Array, buffer: Array, other: Array) -> Array:
    return np.ndarray(cache.shape, cache.dtype, other, _offset(cache, buffer), cache.strides)


def _without(array: Array, caches: Sequence[Array], buffer: Array) -> bytes:
    rest = array.copy()
    for cache in caches:
        _same_view(cache, buffer, rest).view(f"u{cache.itemsize}")[...] = 0
    return rest.tobytes()


def _is_nan(array: Array, dtype: str) -> npt.NDArray[np.bool_]:
    if dtype_named(dtype).kind == "int":
        return np.zeros(array.shape, bool)
    return np.isnan(hifloat8.to_float32(array) if dtype == "hifloat8" else array.astype(np.float32))


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
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    itemsize = dtype_named(dtype).itemsize
    num_head, block_size = draw(st.integers(1, 5)), draw(st.sampled_from((1, 2, 3, 4, 7, 8, 16, 33, 64)))
    head_sizes = [draw(st.sampled_from(_head_sizes(layout, num_head, itemsize))) for _ in range(2)]
    index = np.dtype(draw(st.sampled_from(INDEX_TYPES)))
    key_only = draw(st.booleans(), label="key only")
    options: dict[str, Any] = {"layout": layout, "scatter_mode": scatter_mode, "check_duplicates": duplicates}
    spoil = bad and draw(st.integers(0, 3)) == 0

    if scatter_mode == "None":
        num_blocks, slots = _token_slots(draw, rng, block_size, duplicates)
        shape: tuple[int, ...] = (len(slots), num_head)
    else:
        num_blocks, slots, lengths, counts, offsets = _pairs(draw, rng, num_head, block_size, duplicates)
        packed = draw(st.booleans(), label="packed")
        longest = int(lengths.max(initial=0)) + draw(st.integers(0, 2))
        shape = (int(lengths.sum()), num_head) if packed else (len(lengths), longest, num_head)
        if spoil:
            _spoil(draw, (lengths, counts, offsets), index)
        if not packed and len(lengths) and draw(st.integers(0, 3)) == 0:
            slots[0] = -1  # a batch element that is skipped may have any lengths
            lengths[0] = _extreme(draw, index)
        options |= {"seq_lens": lengths.astype(index), "compress_lens": counts.astype(index)}
        if scatter_mode != "Alibi":
            options["compress_seq_offsets"] = offsets.reshape(-1).astype(index)
    if spoil and slots.size:
        slots.reshape(-1)[draw(st.integers(0, slots.size - 1))] = draw(
            st.sampled_from((num_blocks * block_size, num_blocks * block_size - 1, -1, _extreme(draw, index)))
        )

    any_bits = draw(st.booleans(), label="any bits")
    sides, buffers, keep = [], [], []
    for head_size in head_sizes[: 1 if key_only else 2]:
        rows, base = _strided_rows(draw, rng, (*shape, head_size), dtype, any_bits)
        cache_shape = _cache_shape(layout, scatter_mode, num_blocks, block_size, num_head, head_size, itemsize)
        cache, buffer = draw(caches(rng, cache_shape, dtype))
        if sides and sides[0][1].shape == cache_shape and _has_room(sides[0][1]) and draw(st.booleans()):
            first, buffer = sides[0][1], buffers[0]  # V's blocks behind K's
            cache = np.ndarray(
                cache_shape, cache.dtype, buffer, _offset(first, buffer) + first[0].nbytes, first.strides
            )
        sides.append((rows, cache))
        buffers.append(buffer)
        keep.append(base)
    generated = Generated(sides, buffers, np.ascontiguousarray(slots.astype(index)), options, dtype, keep)
    if spoil and not duplicates:
        checked = replace(generated, options=options | {"check_duplicates": True})
        assume(checked.judge()[0][0] != reference.DUPLICATE)  # what is written then is undefined
    return generated


def _head_sizes(layout: str, num_head: int, itemsize: int) -> list[int]:
    sizes = [1, 3, 8, 16, 24, 64, 72, 128]
    if layout == "PA_NZ":
        sizes = [d for d in (*sizes, 32, 48, 96) if num_head * d * itemsize % 32 == 0]
    return sizes


def _cache_shape(
    layout: str, mode: str, num_blocks: int, block_size: int, num_head: int, head_size: int, itemsize: int
) -> tuple[int, ...]:
    if mode != "None":
        return (num_blocks, block_size, 1, head_size)
    if layout == "PA_NZ":
        return (num_blocks, num_head * head_size * itemsize // 32, block_size, 32 // itemsize)
    if layout == "NHSD":
        return (num_blocks, num_head, block_size, head_size)
    return (num_blocks, block_size, num_head, head_size)


def _token_slots(
    draw: st.DrawFn, rng: np.random.Generator, block_size: int, duplicates: bool
) -> tuple[int, npt.NDArray[np.int64]]:
    tokens = draw(st.integers(0, 70), label="T")
    num_blocks = -(-tokens // block_size) + draw(st.integers(0, 3)) + (tokens == 0)
    capacity = num_blocks * block_size
    style = draw(st.sampled_from(("random", "ascending", "descending", "pieces")), label="slots")
    if duplicates and draw(st.booleans()):
        slots = rng.integers(0, capacity, tokens)
    elif style == "ascending":
        slots = np.arange(tokens) + draw(st.integers(0, capacity - tokens))
    elif style == "descending":
        slots = np.arange(tokens)[::-1].copy()
    elif style == "pieces":  # runs of random lengths at random places
        cuts = np.sort(rng.integers(0, capacity + 1, draw(st.integers(0, 6))))
        pieces = np.split(np.arange(capacity), cuts)
        slots = np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])[:tokens]
    else:
        slots = rng.permutation(capacity)[:tokens]
    slots = slots.astype(np.int64)
    slots[rng.random(tokens) < draw(st.sampled_from((0.0, 0.2, 1.0)))] = -1
    return num_blocks, slots


def _pairs(
    draw: st.DrawFn, rng: np.random.Generator, num_head: int, block_size: int, duplicates: bool
) -> tuple[int, Array, Array, Array, Array]:
    """num_blocks, slots [B, N], lengths [B], counts [B, N], offsets [B, N]; all legal."""
    batch = draw(st.integers(0, 3), label="B")
    lengths = rng.integers(0, draw(st.sampled_from((1, 5, 30))) + 1, batch)
    offsets = np.array([[rng.integers(-1, n + 1) for _ in range(num_head)] for n in lengths]).reshape(batch, num_head)
    room = lengths[:, None] - np.maximum(offsets, 0)
    counts = rng.integers(0, room + 1) if batch else room
    # Runs take at most L rows; in a random order, with gaps, and now and then overlapping.
    slots, at = np.zeros((batch, num_head), np.int64), 0
    for i in rng.permutation(batch * num_head):
        slots[i // num_head, i % num_head] = at
        at += int(lengths[i // num_head]) + int(rng.integers(0, 3))
        if duplicates and rng.random() < 0.2:
            at = max(at - 2, 0)
    slots[rng.random((batch, num_head)) < draw(st.sampled_from((0.0, 0.3)))] = -1
    return at // block_size + 1, slots, lengths, counts, offsets


def _extreme(draw: st.DrawFn, index: np.dtype[Any]) -> int:
    info = np.iinfo(index)
    return draw(st.sampled_from((int(info.max), int(info.max) - 1, int(info.min), -2, 2**31 - 1)))


def _spoil(draw: st.DrawFn, arrays: Sequence[Array], index: np.dtype[Any]) -> None:
    array = draw(st.sampled_from(arrays))
    if array.size:
        at = draw(st.integers(0, array.size - 1))
        array.reshape(-1)[at] = draw(st.sampled_from((array.reshape(-1)[at] + 1, -1, -2, _extreme(draw, index))))


def _strided_rows(
    draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], dtype: str, any_bits: bool
) -> tuple[Array, Array]:
    """Rows of that shape, contiguous in the innermost dimension only, and the array that owns the memory."""
    style = draw(st.sampled_from(("contiguous", "fused", "padded heads", "heads first", "reversed")), label="strides")
    *outer, tokens, heads, size = shape
    if style == "fused":  # a part of what one projection made of q, k and v
        base = random_array(rng, (*outer, tokens, 3 * heads, size), dtype, any_bits=any_bits)
        return base[..., heads : 2 * heads, :], base
    if style == "padded heads":
        base = random_array(rng, (*outer, tokens, heads, size + 5), dtype, any_bits=any_bits)
        return base[..., 2 : 2 + size], base
    if style == "heads first":
        base = random_array(rng, (*outer, heads, tokens, size), dtype, any_bits=any_bits)
        return base.swapaxes(-2, -3), base
    base = random_array(rng, shape, dtype, any_bits=any_bits)
    return (base[..., ::-1, :] if style == "reversed" else base), base


@st.composite
def caches(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
    """A cache at some distance from a 64-byte border, full of random bytes, and the buffer around it.

    Its blocks follow one another or lie apart: interleaved with others of their size, or with gaps.
    """
    distance = draw(st.sampled_from((0, 0, 16, 16, 32, 48, 8, 2, 1, 63)), label="bytes past a line")
    block = int(np.prod(shape[1:], dtype=np.int64))
    gap = draw(st.sampled_from((0, 0, block, block, 1, 7, 3 * block)), label="elements between blocks")
    kind = numpy_dtype(dtype)
    nbytes = shape[0] * (block + gap) * kind.itemsize
    buffer = rng.integers(0, 256, nbytes + 256, dtype=np.uint8)
    begin = 64 + (distance - buffer.ctypes.data - 64) % 64
    strides = np.empty(shape, np.uint8).strides[1:]
    strides = ((block + gap) * kind.itemsize, *(stride * kind.itemsize for stride in strides))
    return np.ndarray(shape, kind, buffer, begin, strides), buffer


def _has_room(cache: Array) -> bool:
    """Whether between two blocks there is room for another."""
    return bool(cache.strides[0] >= 2 * cache[0].nbytes) if len(cache) else False
