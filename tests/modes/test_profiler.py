"""MindSpore's profiler shows the operators as it shows MindSpore's own, in PyNative and in a graph."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.children import HANGS_AFTER

PROGRAM = """
import sys
import mindspore as ms, numpy as np
from mindspore import Tensor, mint
from mindspore.graph.api import _pynative_executor
from mindspore.profiler import ProfilerActivity
from ms_scatter_pa import npu_gather_pa_kv_cache, npu_scatter_pa_kv_cache, quant_scatter_pa_kv_cache

cache = Tensor(np.zeros((3, 2, 1, 16), np.float16))
key, slot_mapping = Tensor(np.ones((1, 1, 16), np.float16)), Tensor([5])

def write(key, cache, slot_mapping):
    return npu_scatter_pa_kv_cache(key, None, cache, None, slot_mapping, cache_mode="Norm")

pages, scale = Tensor(np.zeros((3, 2, 1, 16), np.int8)), Tensor(np.ones(1, np.float32))
tables, lengths = Tensor([[2]]), Tensor([1])
calls = {
    "at once": lambda: (_pynative_executor.sync(), write(key, cache, slot_mapping)),
    "queued": lambda: write(mint.add(key, 1), cache, slot_mapping),
    "gather": lambda: npu_gather_pa_kv_cache(cache, None, tables, lengths, key, None, cache_mode="Norm"),
    "quantise": lambda: quant_scatter_pa_kv_cache(
        key, None, pages, None, slot_mapping, key_scale=scale, cache_mode="Norm"
    ),
    "graph": lambda graph=ms.jit(write): graph(key, cache, slot_mapping),
}
called = [calls[way] for way in sys.argv[1:]]
for call in called:
    call()
for folder in ("first", "second"):
    _pynative_executor.sync()
    ready = ms.profiler.tensorboard_trace_handler(folder)
    with ms.profiler.profile(activities=[ProfilerActivity.CPU], on_trace_ready=ready):
        for call in called * 3:
            call()
        _pynative_executor.sync()
for call in called:
    call()
_pynative_executor.sync()
"""

WRITE, GATHER, QUANTISE = "ScatterPaKvCache", "GatherPaKvCache", "QuantScatterPaKvCache"


@pytest.mark.parametrize(
    ("ways", "wanted"),
    [
        (["at once"], {WRITE: 3}),  # where none of MindSpore's own operators has run
        (["queued", "at once", "gather", "quantise", "graph"], {WRITE: 6, GATHER: 3, QUANTISE: 3, "Custom": 3}),
    ],
)
def test_every_call_is_in_the_profile(tmp_path: Path, ways: list[str], wanted: dict[str, int]) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", *ways]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS_AFTER, check=False)
    assert done.returncode == 0, done.stderr
    for folder in ("first", "second"):
        (table,) = (tmp_path / folder).rglob("cpu_op_detail_info_*.csv")
        lines = table.read_text().strip().splitlines()
        counts = {row["op_type"]: int(row["op_occurrences"]) for row in csv.DictReader(lines)}
        assert {name: counts.get(name) for name in wanted} == wanted, lines
