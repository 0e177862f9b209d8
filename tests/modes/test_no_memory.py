"""A call for whose copies of its arguments there is no memory is refused, in every entry: nothing is written."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, ops

from ms_scatter_pa import npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache, quant_scatter_pa_kv_cache, read_status
from ms_scatter_pa.backends.cpu import eager, paged
from ms_scatter_pa.rules.table import GATHER_PA, NO_MEMORY, QUANT_SCATTER_PA
from tests.support.children import HANGS_AFTER

PROGRAM = Path(__file__).with_name("graphs_without_memory.py")
MANY = 2**44
"""Indices of one and the same byte; no process can hold the 2**47 bytes of a copy."""


def many(*shape: int, dtype: Any = np.int64) -> Tensor:
    return mint.broadcast_to(Tensor(np.zeros((1,) * len(shape), dtype)), shape)


def write(run: Callable[..., Any], on_error: str, cache: Tensor) -> Any:
    rows, slots = many(MANY, 1, 1, dtype=np.int8), many(MANY)
    if run is eager.call_through_pointers:
        return run(rows, None, cache, None, slots, None, None, None, None, None, on_error, False, None)
    return run(rows, None, cache, None, slots, on_error=on_error)


def quantise(run: Callable[..., Any], on_error: str, cache: Tensor) -> Any:
    rows, slots = many(MANY, 1, 1, dtype=np.int8), many(MANY)
    if isinstance(run, partial):
        return run(rows, None, cache, None, slots, *[None] * 6, None, on_error, False, None)
    return run(rows, None, cache, None, slots, on_error=on_error)


def gather(run: Callable[..., Any], on_error: str, cache: Tensor) -> Any:
    """Into the tensor that the others call the cache."""
    caches, tables, lengths = Tensor(np.ones((1, 1, 1, 1), np.int8)), many(MANY, 1), many(MANY)
    rows = cache.reshape(1, 1, 1)
    if isinstance(run, partial):
        return run(caches, None, tables, lengths, rows, None, *[None] * 7, False, None, on_error, None)
    return run(caches, None, tables, lengths, rows, None, on_error=on_error)


ENTRIES: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "write": (write, npu_scatter_pa_kv_cache, "npu_scatter_pa_kv_cache"),
    "quantise": (quantise, quant_scatter_pa_kv_cache, "quant_scatter_pa_kv_cache"),
    "gather": (gather, npu_gather_pa_kv_cache, "npu_gather_pa_kv_cache"),
    "write through pointers": (write, eager.call_through_pointers, "npu_scatter_pa_kv_cache"),
    "quantise through pointers": (
        quantise,
        partial(paged.call_through_pointers, QUANT_SCATTER_PA),
        "quant_scatter_pa_kv_cache",
    ),
    "gather through pointers": (gather, partial(paged.call_through_pointers, GATHER_PA), "npu_gather_pa_kv_cache"),
}


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_memory_error_or_a_status(entry: str, queued: bool) -> None:
    make, run, operator = ENTRIES[entry]
    cache = Tensor(np.full((1, 1, 1, 1), 7, np.int8))
    busy = Tensor(np.ones((1024, 1024), np.float32))
    ms.runtime.synchronize()
    for _ in range(3 * queued):
        busy = ops.matmul(busy, busy) * 0  # what the call finds queued
    with pytest.raises(MemoryError, match="no memory for the call's own copies"):
        make(run, "raise", cache)
        ms.runtime.synchronize()
    status = make(run, "record", cache).asnumpy()
    assert status.tolist() == [NO_MEMORY, 0, 0, 0]
    assert read_status(status, operator=operator).startswith("MemoryError: no memory for the call's own copies")
    assert cache.asnumpy().tolist() == [[[[7]]]]


def test_graphs_and_built_in_operators() -> None:
    """The process may have less memory than a copy of the slots takes."""
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=HANGS_AFTER)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    for name in ("write", "quantise"):
        assert lines[name].startswith("RuntimeError: ") and "MemoryError: no memory for the call's" in lines[name]
    assert lines["record"] == lines["gather"] == str([NO_MEMORY, 0, 0, 0])
    assert lines["built_in"].startswith("MemoryError: no memory for the call's")
    assert lines["cache"] == "[[[[7]]]], rows: [[[7]]]"
