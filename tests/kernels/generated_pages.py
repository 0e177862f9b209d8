"""Random calls of the gather and of the quantising write in memory of every kind."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.support import random_pages
from tests.support.arrays import Array
from tests.support.paged_call import PagedCall
from tests.support.random_calls import Drawn, seeds


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


def placed(draw: st.DrawFn, call: PagedCall) -> dict[str, Any]:
    """Keyword arguments of the reference; what is written, and what lies in blocks, as Memory."""
    rng = np.random.default_rng(draw(seeds, label="memory"))
    gathers = call.slot_mapping is None
    arguments: dict[str, Any] = {"layout": call.layout, "value": None, "value_cache": None}
    for name, side in (("key", call.key), ("value", call.value)):
        if side is None:
            continue
        arguments[name] = place(draw, rng, side.rows) if gathers else strided(draw, side.rows)
        arguments[f"{name}_cache"] = place(draw, rng, side.cache, by_blocks=gathers)
        if side.scale_cache is not None:
            arguments[f"{name}_scale_cache"] = place(draw, rng, side.scale_cache)
        if side.scale is not None:
            arguments[f"{name}_scale"] = side.scale
        if side.offset is not None:
            arguments[f"{name}_offset"] = side.offset
    return arguments


def dtypes_of(call: PagedCall) -> tuple[str | None, ...]:
    """Of rows and caches, as the table names them; NumPy has none for hifloat8."""
    sides = (call.key, call.value)
    rows = [None if side is None else side.rows_dtype or side.rows.dtype.name for side in sides]
    return (*rows, *(None if side is None else side.cache_dtype or side.cache.dtype.name for side in sides))


@st.composite
def gathers(draw: st.DrawFn, layout: str, *, dequantises: bool, dtype: str = "float16") -> dict[str, Any]:
    """Keyword arguments of ``gather_reference``, and dtypes."""
    call, _ = random_pages.draw_gather(Drawn(draw), layout, random_pages.CORE, dequantises=dequantises, dtype=dtype)
    return placed(draw, call) | {
        "block_tables": call.block_tables,
        "seq_lens": call.seq_lens,
        "seq_offset": call.seq_offset,
        "is_seq_lens_cumsum": call.is_seq_lens_cumsum,
        "dtypes": dtypes_of(call),
    }


@st.composite
def quant_writes(draw: st.DrawFn, layout: str, code: str) -> dict[str, Any]:
    """Keyword arguments of ``quant_scatter_reference``."""
    call, _ = random_pages.draw_quant(Drawn(draw), layout, code, random_pages.CORE)
    slots = call.slot_mapping
    assert slots is not None
    duplicates = draw(st.booleans(), label="check_duplicates")
    if duplicates and slots.size > 1 and draw(st.booleans()):
        slots[-1] = slots[0]
    return placed(draw, call) | {"slot_mapping": slots, "check_duplicates": duplicates}


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
