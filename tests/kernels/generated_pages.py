"""Random calls of the gather and of the quantising write, drawn by hypothesis, and their judgement by the reference."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from ms_scatter_pa.rules.table import CODES, SCALED_ROWS
from tests.kernels.generated import DTYPE_NAMES, INDEX_TYPES, Array, numpy_dtype, random_array

NO_DTYPE = (None, None, None, None)


@dataclass
class Memory:
    """An array somewhere inside bytes that nothing else may touch."""

    buffer: Array
    begin: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    def array(self, buffer: Array) -> Array:
        return np.ndarray(self.shape, self.dtype, buffer, self.begin, self.strides)


def place(draw: st.DrawFn, rng: np.random.Generator, content: Array, *, by_blocks: bool = True) -> Memory:
    """``content`` at any address; with ``by_blocks`` now and then with bytes between the parts along axis 0."""
    gap = draw(st.sampled_from((0, 0, 4, 64))) if by_blocks and content.ndim > 1 else 0
    part = int(np.prod(content.shape[1:], dtype=np.int64)) * content.itemsize
    stride = part + gap * content.itemsize
    # Elements may begin at any multiple of their own size.
    begin = 64 + draw(st.sampled_from((0, 16, 32, 4))) * (1 if content.itemsize <= 4 else 2)
    buffer = rng.integers(0, 256, begin + stride * content.shape[0] + 64, dtype=np.uint8)
    strides = (stride, *content.strides[1:])
    memory = Memory(buffer, begin, content.shape, strides, content.dtype)
    memory.array(buffer)[...] = content
    return memory


def cache_shape(layout: str, blocks: int, block_size: int, heads: int, size: int, itemsize: int) -> tuple[int, ...]:
    if layout == "PA_NZ":
        return (blocks, heads * size * itemsize // 32, block_size, 32 // itemsize)
    return (blocks, heads, block_size, size) if layout == "NHSD" else (blocks, block_size, heads, size)


def scale_shape(layout: str, blocks: int, block_size: int, heads: int) -> tuple[int, ...]:
    return (blocks, heads, block_size, 1) if layout == "NHSD" else (blocks, block_size, heads)


def head_size(draw: st.DrawFn, layout: str, heads: int, itemsize: int) -> int:
    sizes = [d for d in (1, 3, 8, 16, 24, 32, 64, 72, 128) if layout != "PA_NZ" or heads * d * itemsize % 32 == 0]
    return draw(st.sampled_from(sizes))


def numbers(rng: np.random.Generator, shape: tuple[int, ...], style: str) -> npt.NDArray[np.float32]:
    """float32 of a style: ordinary, ties of many codes, any bits, or far apart in size."""
    if style == "bits":
        return rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    if style == "ties":
        return (rng.integers(-600, 601, shape) * np.float32(0.25)).astype(np.float32)
    x = rng.standard_normal(shape).astype(np.float32)
    if style == "wide":
        with np.errstate(over="ignore"):
            x = (x * np.exp2(rng.integers(-140, 128, shape)).astype(np.float32)).astype(np.float32)
    special = rng.random(shape) < 0.02
    x[special] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-44], np.float32), int(special.sum()))
    return x


STYLES = ("ordinary", "ties", "wide", "bits")


def float_rows(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """[T, N, D], its last axis contiguous, the others perhaps not."""
    x = numbers(rng, shape, draw(st.sampled_from(STYLES), label="style"))
    if draw(st.integers(0, 5)) == 0 and shape[0]:
        x[0] = 0  # a row of zeros
    with np.errstate(all="ignore"):
        return strided(draw, x.astype(numpy_dtype(dtype)))


def strided(draw: st.DrawFn, rows: Array) -> Array:
    style = draw(st.sampled_from(("contiguous", "heads first", "padded")), label="strides")
    tokens, heads, size = rows.shape
    if style == "heads first":
        base = np.zeros((heads, tokens, size), rows.dtype).transpose(1, 0, 2)
    elif style == "padded":
        base = np.zeros((tokens, heads + 1, size + 3), rows.dtype)[:, :heads, :size]
    else:
        return np.ascontiguousarray(rows)
    base[...] = rows
    return base


def static_scales(
    draw: st.DrawFn, rng: np.random.Generator, heads: int, size: int, dtype: str
) -> tuple[Array, Array | None]:
    shape = draw(st.sampled_from([(1,), (heads,), (heads, size)]), label="granularity")
    style = draw(st.sampled_from(("ordinary", "power", "tiny", "huge")), label="scales")
    scale = np.abs(rng.standard_normal(shape)).astype(np.float32) + np.float32(0.01)
    if style == "power":
        scale = np.exp2(rng.integers(-3, 3, shape)).astype(np.float32)
    scale = (scale * np.float32({"tiny": 1e-38, "huge": 1e30}.get(style, 1.0))).astype(np.float32)
    offset = None
    if dtype == "int8" and draw(st.booleans(), label="offset"):
        offset = rng.integers(-50, 50, shape).astype(np.float32) + draw(st.sampled_from(np.float32([0, 0.5, 1e6])))
    return scale, None if offset is None else offset.astype(np.float32)


@st.composite
def gathers(draw: st.DrawFn, layout: str, *, dequantises: bool, dtype: str = "float16") -> dict[str, Any]:
    """Keyword arguments of ``gather_reference``, every array as Memory where something may lie beside it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    heads, block_size = draw(st.integers(1, 4)), draw(st.sampled_from((1, 2, 3, 8, 16, 33, 128)))
    batch, blocks = draw(st.integers(0, 4)), draw(st.integers(1, 9))
    index = draw(st.sampled_from(INDEX_TYPES))
    longest = draw(st.sampled_from((1, 5, 40, 150)))
    lengths = rng.integers(0, longest + 1, batch)
    skipped = rng.integers(0, 3, batch) if draw(st.booleans(), label="seq_offset") else None
    needed = -(-lengths // block_size) + (0 if skipped is None else skipped)
    width = int(needed.max(initial=0)) + draw(st.integers(0, 2))
    tables = rng.integers(0, blocks, (batch, width))
    for b in range(batch):
        if draw(st.booleans()):
            tables[b] = (np.arange(width) + int(tables[b, 0] if width else 0)) % blocks  # runs of blocks
        tables[b, needed[b] :] = draw(st.sampled_from((-1, blocks, 2**31 - 1)))
        tables[b, : 0 if skipped is None else skipped[b]] = -7
    if draw(st.integers(0, 4)) == 0 and tables.size:
        tables.reshape(-1)[draw(st.integers(0, tables.size - 1))] = draw(st.sampled_from((-1, blocks, -(2**31))))
    tokens = int(lengths.sum())
    offsets = None if skipped is None else skipped * block_size
    if draw(st.integers(0, 4)) == 0 and batch:
        at = draw(st.integers(0, batch - 1))
        lengths[at] += draw(st.sampled_from((1, -1, -3, 10**6, 2**31 - 1 - int(lengths[at]))))
        if offsets is not None and draw(st.booleans()):
            offsets[at] = draw(st.sampled_from((-1, 1, -block_size, 2**31 - 1, block_size * 50)))
    cumsum = draw(st.booleans(), label="cumsum")
    seq_lens = np.concatenate([[0], np.cumsum(lengths)]) if cumsum else lengths
    call: dict[str, Any] = {
        "layout": layout,
        "block_tables": tables.astype(index),
        "seq_lens": np.clip(seq_lens, np.iinfo(index).min, np.iinfo(index).max).astype(index),
        "seq_offset": None if offsets is None else offsets.astype(index),
        "is_seq_lens_cumsum": cumsum,
        "value": None,
        "value_cache": None,
    }
    dtypes: list[str | None] = [None] * 4
    for i, side in enumerate(("key", "value")[: draw(st.integers(1, 2), label="sides")]):
        rows_type = draw(st.sampled_from(SCALED_ROWS)) if dequantises else (dtype if i == 0 else draw(any_dtype))
        cache_type = draw(st.sampled_from(CODES)) if dequantises else rows_type
        itemsize = numpy_dtype(cache_type).itemsize
        size = head_size(draw, layout, heads, itemsize)
        content = random_array(
            rng, cache_shape(layout, blocks, block_size, heads, size, itemsize), cache_type, any_bits=True
        )
        call[f"{side}_cache"] = place(draw, rng, content)
        rows = random_array(rng, (tokens, heads, size), rows_type, any_bits=True)
        call[side] = place(draw, rng, rows)
        dtypes[i], dtypes[2 + i] = rows_type, cache_type
        if dequantises and draw(st.booleans(), label="dynamic"):
            scales = numbers(rng, scale_shape(layout, blocks, block_size, heads), draw(st.sampled_from(STYLES)))
            call[f"{side}_scale_cache"] = place(draw, rng, scales)
        elif dequantises:
            scale, offset = static_scales(draw, rng, heads, size, cache_type)
            call |= {f"{side}_scale": scale, f"{side}_offset": offset}
            spoil(draw, call, side)
    return call | {"dtypes": dtypes}


any_dtype = st.sampled_from(DTYPE_NAMES)


def spoil(draw: st.DrawFn, call: dict[str, Any], side: str) -> None:
    """Now and then a scale that is not positive and finite, or an offset that is not finite."""
    if draw(st.integers(0, 7)):
        return
    name = draw(st.sampled_from([n for n in (f"{side}_scale", f"{side}_offset") if call[n] is not None]))
    bad = [np.nan, np.inf] + ([0.0, -1.0, -0.0] if name.endswith("scale") else [-np.inf])
    call[name] = call[name].copy()
    call[name].reshape(-1)[draw(st.integers(0, call[name].size - 1))] = draw(st.sampled_from(bad))


@st.composite
def quant_writes(draw: st.DrawFn, layout: str, code: str) -> dict[str, Any]:
    """Keyword arguments of ``quant_scatter_reference``."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    heads, block_size = draw(st.integers(1, 4)), draw(st.sampled_from((1, 2, 3, 8, 16, 33)))
    tokens = draw(st.sampled_from((0, 1, 2, 9, 40, 100)))
    blocks = -(-tokens // block_size) + draw(st.integers(0, 2)) + (tokens == 0)
    capacity = blocks * block_size
    slots = rng.permutation(capacity)[:tokens] if draw(st.booleans()) else np.arange(tokens) + capacity - tokens
    slots[rng.random(tokens) < draw(st.sampled_from((0.0, 0.2, 1.0)))] = -1
    duplicates = draw(st.booleans(), label="check_duplicates")
    if duplicates and tokens > 1 and draw(st.booleans()):
        slots[-1] = slots[0]
    if draw(st.integers(0, 5)) == 0 and tokens:
        slots[draw(st.integers(0, tokens - 1))] = draw(st.sampled_from((capacity, 2**31 - 1)))
    call: dict[str, Any] = {
        "layout": layout,
        "slot_mapping": slots.astype(draw(st.sampled_from(INDEX_TYPES))),
        "check_duplicates": duplicates,
        "value": None,
        "value_cache": None,
    }
    for i, side in enumerate(("key", "value")[: draw(st.integers(1, 2), label="sides")]):
        cache_type = code if i == 0 else draw(st.sampled_from(CODES))
        size = head_size(draw, layout, heads, 1)
        shape = cache_shape(layout, blocks, block_size, heads, size, 1)
        call[f"{side}_cache"] = place(draw, rng, random_array(rng, shape, cache_type, any_bits=True), by_blocks=False)
        kind = draw(st.sampled_from(("static", "dynamic", "given", "copied")), label="scaling")
        if kind in ("given", "copied"):
            call[side] = strided(draw, random_array(rng, (tokens, heads, size), cache_type, any_bits=True))
        else:
            call[side] = float_rows(draw, rng, (tokens, heads, size), draw(st.sampled_from(SCALED_ROWS)))
        if kind in ("given", "dynamic"):
            scales = rng.standard_normal(scale_shape(layout, blocks, block_size, heads)).astype(np.float32)
            call[f"{side}_scale_cache"] = place(draw, rng, scales)
        if kind == "given":
            call[f"{side}_scale"] = numbers(rng, (tokens, heads), "bits")
        if kind == "static":
            scale, offset = static_scales(draw, rng, heads, size, cache_type)
            call |= {f"{side}_scale": scale, f"{side}_offset": offset}
            spoil(draw, call, side)
    return call


def with_copies(call: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The call on copies of its memory, and the copies by the arguments' names."""
    buffers = {name: value.buffer.copy() for name, value in call.items() if isinstance(value, Memory)}
    arguments = {n: v.array(buffers[n]) if isinstance(v, Memory) else copy.copy(v) for n, v in call.items()}
    return arguments, buffers


def nan_as_one(buffer: Array, memory: Memory, dtype: str) -> bytes:
    """The bytes, every NaN of the array in them made the same."""
    buffer = buffer.copy()
    array = memory.array(buffer)
    with np.errstate(all="ignore"):
        nan = np.isnan(array.astype(np.float32))
    array[nan] = np.nan
    return buffer.tobytes()
