"""What the tests of all folders share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("GLOG_v", "4")

ROOT = Path(__file__).resolve().parent.parent


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
