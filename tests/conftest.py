"""What the tests of all folders share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.children import HANGS_AFTER

os.environ.setdefault("GLOG_v", "4")

settings.register_profile("tests", deadline=None)  # a machine that is busy is no fault
settings.load_profile("tests")

ROOT = Path(__file__).resolve().parent.parent

# Left out by `make quick`: how a test's file, or file and name, begins below this folder.
SLOW = (
    "ascendc/test_address_spaces.py",
    "ascendc/test_compressed.py",
    "ascendc/test_counts.py",
    "ascendc/test_offsets.py",
    "ascendc/test_op_host.py",
    "ascendc/test_paged.py",
    "ascendc/test_planted_faults.py",
    "ascendc/test_planted_paged_faults.py",
    "ascendc/test_real_library.py",
    "ascendc/test_sanitizers.py",
    "ascendc/test_simulator_programs.py",
    "benchmarks/",
    "contract/test_cann_spellings.py::test_the_operators_beside",
    "contract/test_graph_writes.py",
    "contract/test_interleaved.py",
    "contract/test_page_refusals.py::test_graph",
    "contract/test_refusals_of_graphs.py",
    "contract/test_rules.py::test_a_call_changed",
    "contract/test_stateful.py",
    "dropin/",
    "examples/",
    "kernels/test_aarch64.py",
    "kernels/test_overlap.py",
    "kernels/test_sanitizers.py",
    "kernels/test_streamed_lines.py",
    "modes/test_branches_inside_a_graph.py",
    "modes/test_capture_modes.py",
    "modes/test_dynamic_shapes.py",
    "modes/test_gradients.py",
    "modes/test_holding_caches.py",
    "modes/test_no_memory.py",
    "modes/test_profiler.py",
    "modes/test_pynative_order.py",
    "modes/test_recorded_errors.py",
    "modes/test_torch_npu_examples.py",
    "modes/test_shared_memory.py",
    "modes/test_views_inside_a_graph.py",
    "networks/test_masked_numbers.py",
    "networks/test_running.py",
    "packaging/test_ascend_report.py",
    "packaging/test_build_ascend.py",
    "packaging/test_doctor.py::test_a_closed_",
    "packaging/test_doctor.py::test_a_cpu_machine",
    "packaging/test_doctor.py::test_a_full_disk",
    "packaging/test_doctor.py::test_a_library_that_loads",
    "packaging/test_doctor.py::test_a_write_with_a_library",
    "packaging/test_doctor.py::test_in_the_source_folder",
    "packaging/test_doctor.py::test_json",
    "packaging/test_doctor.py::test_where_no_home",
    "packaging/test_installation.py",
    "packaging/test_odd_paths.py",
    "packaging/test_shared_installation.py",
    "packaging/test_wheel.py",
    "packaging/test_white_list.py",
    "pages/test_atomic.py",
    "pages/test_memory.py",
    "pages/test_show_hostile_files.py",
    "registration/test_call_costs.py",
    "registration/test_cann_operator.py",
    "registration/test_extension.py",
    "registration/test_on_host_model.py",
    "registration/test_paged_on_host_model.py",
    "robustness/",
    "serving/test_decoder.py",
    "serving/test_verify.py",
)
GRAPHS = {"graph", "graph_cell"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = ROOT / "tests"
    for item in items:
        if not item.path.is_relative_to(tests):
            continue
        path = item.path.relative_to(tests).as_posix()
        if f"{path}::{item.name}".startswith(SLOW) or (not path.startswith("modes/") and in_a_graph(item)):
            item.add_marker(pytest.mark.slow)


def in_a_graph(item: pytest.Item) -> bool:
    """Whether the test is the graph's half of one for both modes; `make quick` has PyNative's, and graphs in ``modes``."""
    parameters = getattr(item, "callspec", None)
    return parameters is not None and any(isinstance(x, str) and x in GRAPHS for x in parameters.params.values())


@pytest.fixture(autouse=True)
def nothing_queued() -> Iterator[None]:
    """An error of a queued call belongs to the test that queued it, not to the next one."""
    _synchronize()  # on the CPU the first one of a process does not wait: it is behind every test
    yield
    _synchronize()


def _synchronize() -> None:
    runtime = getattr(sys.modules.get("mindspore"), "runtime", None)
    if runtime is not None:
        runtime.synchronize()


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a script in a Python of its own, with ``tests`` importable."""

    def run(script: str, *, timeout: float = HANGS_AFTER) -> "subprocess.CompletedProcess[str]":
        path = tmp_path / "script.py"
        path.write_text(script)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, str(path)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment,
            cwd=tmp_path,
        )

    return run


@pytest.fixture(scope="session")
def run_module() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a module of the tests in a Python of its own."""

    def run(module: str, *arguments: str, timeout: float = HANGS_AFTER) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)

    return run
