"""What one call costs beside the kernel, counted per mode: launches, allocations, Python functions, other operators."""

import ctypes
import re
import sys

import mindspore as ms
from ascend_calls import Write, inputs
from mindspore import Tensor
from registration_cases import token_case

from ms_scatter_pa import npu_scatter_pa_kv_cache

CASE = token_case("Norm")
BOOKKEEPING = ("UpdateState", "Depend", "MakeTuple")  # of a compiled graph; none is a kernel


class Profile:
    """Python functions entered and native functions called while it is active."""

    def __enter__(self):
        self.python, self.native = [], []
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        self.python = [name for name in self.python if name not in ("<lambda>", "__exit__")]  # this test's own

    def _note(self, frame, event, argument):
        if event == "call":
            self.python.append(frame.f_code.co_name)
        elif event == "c_call" and argument is not sys.setprofile:
            self.native.append(getattr(argument, "__name__", repr(argument)))


def prepared():
    """A call as a layer makes it: eight tensors or None."""
    tensors = {name: None if array is None else Tensor(array) for name, array in CASE.arrays.items()}
    return lambda: npu_scatter_pa_kv_cache(**tensors, cache_mode="Norm")


def settled(call):
    """After the calls that look around: nothing of them is left in the queue, which keeps its order."""
    for _ in range(3):
        status = call()
    status.asnumpy()


def test_the_extension_launches_once_and_allocates_the_status(with_extension):
    call = prepared()
    settled(call)
    launches, allocations = with_extension.ModelLaunches(), with_extension.ModelAllocations()
    with Profile() as profile:
        status = call()
    status.asnumpy()
    assert with_extension.ModelLaunches() - launches == 1
    assert with_extension.ModelAllocations() - allocations == 1
    # The last two are MindSpore's answer to whether a graph is being compiled.
    assert profile.python == ["npu_scatter_pa_kv_cache", "__call__", "jit_context"]
    assert profile.native.count("scatter_pa_kv_cache") == 1
    assert not operators(profile)


def test_a_cells_last_status_costs_nothing(with_extension):
    from mindspore import Parameter

    from ms_scatter_pa import ScatterPaKvCache

    caches = (Parameter(Tensor(CASE.arrays[name]), name=name) for name in ("key_cache", "value_cache"))
    cell = ScatterPaKvCache(*caches, cache_mode="Norm", on_error="record")
    key, value, slots = (Tensor(CASE.arrays[name]) for name in ("key", "value", "slot_mapping"))
    settled(lambda: cell(key, value, slots))
    launches, allocations = with_extension.ModelLaunches(), with_extension.ModelAllocations()
    with Profile() as profile:
        status = cell(key, value, slots)
    status.asnumpy()
    assert with_extension.ModelLaunches() - launches == 1
    assert with_extension.ModelAllocations() - allocations == 1
    assert not operators(profile)


def test_ops_custom_launches_once(on_host_model, host_model_library):
    """Its own Python is what it costs."""
    library = ctypes.CDLL(str(host_model_library))
    call = prepared()
    settled(call)
    launches = library.ModelLaunches()
    with Profile() as profile:
        status = call()
    status.asnumpy()
    assert library.ModelLaunches() - launches == 1
    assert not operators(profile)
    assert len(profile.python) > 20


def test_a_graph_launches_once(on_host_model, host_model_library, tmp_path):
    """Its compiled form has one operator."""
    library = ctypes.CDLL(str(host_model_library))
    ms.set_context(mode=ms.GRAPH_MODE, save_graphs=1, save_graphs_path=str(tmp_path))
    try:
        net = Write(CASE)
        settled(lambda: net(*inputs(CASE)))
        launches = library.ModelLaunches()
        net(*inputs(CASE)).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE, save_graphs=0)
    assert library.ModelLaunches() - launches == 1
    final = next(tmp_path.rglob("graph_build*.ir")).read_text()
    called = re.findall(r"^  %\d+\(\w+\) = (\w+)\(", final, re.MULTILINE)
    assert [name for name in called if name not in BOOKKEEPING] == ["Custom"]


def operators(profile):
    """Other operators of the framework that ran: copies, reductions, assignments, reshapes."""
    others = ("contiguous", "reshape", "assign", "where", "amin", "zeros", "mul", "cast", "copy")
    return [name for name in profile.native if name in others]
