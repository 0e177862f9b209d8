"""What one call costs beside the kernel, counted per mode: launches, allocations, Python functions, other operators."""

import csv
import ctypes
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, mint
from mindspore.profiler import ProfilerActivity

import ms_scatter_pa
from ms_scatter_pa import ScatterPaKvCache, npu_scatter_pa_kv_cache
from ms_scatter_pa.backends.moved_names import pynative_executor
from tests.ascend.ascend_calls import Write, inputs
from tests.registration.registration_cases import token_case

CASE = token_case("Norm")
BOOKKEEPING = ("UpdateState", "Depend", "MakeTuple")  # of a compiled graph; none is a kernel
PAGE = Path(__file__).resolve().parents[2] / "docs" / "ascend" / "costs.md"
OURS = str(Path(ms_scatter_pa.__file__).parent)
CALLS = 3


class Profile:
    """Python functions entered and native functions called while it is active."""

    def __enter__(self):
        self.python, self.native, self.ours = [], [], []
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        # Without comprehensions, which are functions before Python 3.12, and without this test's own.
        self.python = [name for name in self.python if name[0] != "<" and name != "__exit__"]

    def _note(self, frame, event, argument):
        if event == "call":
            self.python.append(frame.f_code.co_name)
            if frame.f_code.co_filename.startswith(OURS):
                self.ours.append(frame.f_code.co_name)
        elif event == "c_call" and argument is not sys.setprofile:
            self.native.append(getattr(argument, "__name__", repr(argument)))


class Costs(NamedTuple):
    """Of one call.

    Attributes:
        launches: kernels that ran on the model.
        operators: other operators of the framework, by its own profiler, which does not show copies of strided tensors:
            the tests below tell those.
        allocations: outputs that were given memory.
    """

    launches: int
    operators: dict[str, int]
    allocations: int


def costs(library: ctypes.CDLL, call: Callable[[], object], folder: Path) -> Costs:
    """What each of some calls costs, once everything is compiled and planned."""
    for _ in range(CALLS):
        call()
    pynative_executor.sync()  # nothing of the calls that looked around is left in the queue, which keeps its order
    before = library.ModelLaunches(), library.ModelAllocations()
    ready = ms.profiler.tensorboard_trace_handler(str(folder))
    with ms.profiler.profile(activities=[ProfilerActivity.CPU], on_trace_ready=ready):
        for _ in range(CALLS):
            call()
        pynative_executor.sync()
    launches, allocations = library.ModelLaunches() - before[0], library.ModelAllocations() - before[1]
    assert launches % CALLS == allocations % CALLS == 0
    operators = {}
    for table in folder.rglob("cpu_op_detail_info_*.csv"):
        for row in csv.DictReader(table.read_text().strip().splitlines()):
            operators[row["op_type"]] = int(row["op_occurrences"])
    own = operators.pop("Custom", launches)  # the operator itself; the extension's launches are not in the profile
    assert own == launches
    return Costs(launches // CALLS, {name: count // CALLS for name, count in operators.items()}, allocations // CALLS)


def prepared(**more):
    """A call as a layer makes it: eight tensors or None."""
    tensors = {name: None if array is None else Tensor(array) for name, array in CASE.arrays.items()} | more
    return lambda: npu_scatter_pa_kv_cache(**tensors, cache_mode="Norm")


def fused():
    """K and V that are slices of one projection."""
    rows = [CASE.arrays[name].reshape(5, -1) for name in ("key", "key", "value")]
    *_, key, value = mint.split(Tensor(np.concatenate(rows, axis=1)), [part.shape[1] for part in rows], dim=1)
    assert not key.is_contiguous() and not value.is_contiguous()
    return {"key": key, "value": value}


def profiled(call):
    with Profile() as profile:
        call()
    return profile


def documented(row: str) -> list[int]:
    """The numbers of a row of the page's table: the extension, ``ops.Custom``, a graph."""
    found = re.search(rf"^\| {row} \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert found is not None, row
    numbers = [re.match(r"\s*(\d+)", cell) for cell in found.group(1).split("|")]
    return [int(number.group(1)) for number in numbers if number is not None]


def check_against_the_page(column: int, measured: Costs, python: int) -> None:
    assert measured.launches == documented("kernels launched")[column] == 1
    assert measured.allocations == documented("tensors allocated")[column] == 1
    assert sum(measured.operators.values()) == documented("other operators")[column] == 0, measured
    # Other releases of MindSpore, and of Python's library, enter other functions of theirs.
    if ms.__version__.startswith("2.10.") and sys.version_info[:2] == (3, 11):
        assert python == documented("Python functions entered")[column]


def test_the_extension(with_extension, tmp_path):
    call = prepared()
    measured = costs(with_extension, call, tmp_path)
    profile = profiled(call)
    # The last two are MindSpore's answer to whether a graph is being compiled.
    assert profile.python == ["npu_scatter_pa_kv_cache", "__call__", "jit_context"]
    assert profile.native.count("scatter_pa_kv_cache") == 1
    check_against_the_page(0, measured, len(profile.python))


def test_ops_custom(on_host_model, host_model_library, tmp_path):
    """Its own Python is what it costs."""
    call = prepared()
    measured = costs(ctypes.CDLL(str(host_model_library)), call, tmp_path)
    profile = profiled(call)
    check_against_the_page(1, measured, len(profile.python))
    assert "contiguous" not in profile.python


def test_a_graph(on_host_model, host_model_library, tmp_path):
    """Its compiled form has one operator, and nothing of this package's Python runs."""
    ms.set_context(mode=ms.GRAPH_MODE, save_graphs=1, save_graphs_path=str(tmp_path / "graphs"))
    try:
        net, given = Write(CASE), inputs(CASE)
        measured = costs(ctypes.CDLL(str(host_model_library)), lambda: net(*given), tmp_path / "profile")
        profile = profiled(lambda: net(*given))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE, save_graphs=0)
    check_against_the_page(2, measured, len(profile.ours))
    final = next((tmp_path / "graphs").rglob("graph_build*.ir")).read_text()
    called = re.findall(r"^  %\d+\(\w+\) = (\w+)\(", final, re.MULTILINE)
    assert [name for name in called if name not in BOOKKEEPING] == ["Custom"]


def addresses(library, call):
    """Where the inputs of a call lay when it was launched."""
    call()
    pynative_executor.sync()
    library.ModelAddress.restype = ctypes.c_int64
    return [library.ModelAddress(ctypes.c_int64(index)) for index in range(5)]


@pytest.mark.parametrize("more", [dict, fused], ids=["contiguous", "slices of a fused projection"])
def test_the_extension_copies_nothing(with_extension, tmp_path, more):
    given = {name: None if array is None else Tensor(array) for name, array in CASE.arrays.items()} | more()
    call = prepared(**given)
    before = with_extension.ModelStridedLaunches()
    assert costs(with_extension, call, tmp_path) == Costs(1, {}, 1)
    strided = with_extension.ModelStridedLaunches() - before
    assert strided == (2 * CALLS if more is fused else 0), "contiguous tensors go to the operator without strides"
    assert addresses(with_extension, call) == [given[name].data_ptr() for name in CASE.arrays]
    assert documented("K, V that are slices of a fused QKV")[0] == 0


def test_ops_custom_copies_slices_of_a_fused_projection(on_host_model, host_model_library, tmp_path, monkeypatch):
    call, copied, contiguous = prepared(**fused()), [], Tensor.contiguous
    assert costs(ctypes.CDLL(str(host_model_library)), call, tmp_path) == Costs(1, {}, 1)
    monkeypatch.setattr(Tensor, "contiguous", lambda tensor: copied.append(tensor) or contiguous(tensor))
    call().asnumpy()
    assert len(copied) == 2 * documented("K, V that are slices of a fused QKV")[1]


def cell():
    caches = (Parameter(Tensor(CASE.arrays[name]), name=name) for name in ("key_cache", "value_cache"))
    write = ScatterPaKvCache(*caches, cache_mode="Norm", on_error="record")
    given = [Tensor(CASE.arrays[name]) for name in ("key", "value", "slot_mapping")]
    return lambda: write(*given)


@pytest.mark.parametrize("bad", [False, True])
def test_a_cells_last_status_costs_nothing(with_extension, tmp_path, bad, monkeypatch):
    if bad:
        monkeypatch.setitem(CASE.arrays, "slot_mapping", CASE.arrays["slot_mapping"] + 1000)
    assert costs(with_extension, cell(), tmp_path) == Costs(1, {}, 1)
    assert documented("a Cell's last status")[0] == 0


def test_nor_through_ops_custom(on_host_model, host_model_library, tmp_path):
    assert costs(ctypes.CDLL(str(host_model_library)), cell(), tmp_path) == Costs(1, {}, 1)
    assert documented("a Cell's last status")[1] == 0


def test_nor_in_a_graph(on_host_model, host_model_library, tmp_path):
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        assert costs(ctypes.CDLL(str(host_model_library)), cell(), tmp_path) == Costs(1, {}, 1)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert documented("a Cell's last status")[2] == 0
