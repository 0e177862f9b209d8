"""What the tests of all folders share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("GLOG_v", "4")

ROOT = Path(__file__).resolve().parent.parent

# Left out by `make quick`: a file, or every file of a folder.
SLOW = (
    "ascendc/test_compressed.py",
    "ascendc/test_offsets.py",
    "ascendc/test_planted_faults.py",
    "ascendc/test_sanitizers.py",
    "benchmarks/",
    "contract/test_graph_writes.py",
    "contract/test_refusals_of_graphs.py",
    "contract/test_stateful.py",
    "dropin/",
    "examples/",
    "kernels/test_aarch64_compiles.py",
    "kernels/test_sanitizers.py",
    "modes/test_recorded_errors.py",
    "packaging/test_build_ascend.py",
    "packaging/test_installation.py",
    "packaging/test_wheel.py",
    "registration/test_on_host_model.py",
    "robustness/",
    "serving/test_verify.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = ROOT / "tests"
    for item in items:
        if item.path.is_relative_to(tests) and str(item.path.relative_to(tests)).startswith(SLOW):
            item.add_marker(pytest.mark.slow)


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

    def run(script: str, *, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
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

    def run(module: str, *arguments: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)

    return run
