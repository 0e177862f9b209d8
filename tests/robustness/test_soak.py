"""A few seconds of the soak; benchmarks/soak.py is the long one."""

import subprocess
import sys
from pathlib import Path

from tests.support.children import HANGS_AFTER

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


def test_a_short_soak_keeps_caches_right_and_memory_flat() -> None:
    command = [sys.executable, str(SOAK), "--calls", "20000", "--steps", "600", "--max-growth", "48"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "| PyNative | 20000 |" in result.stdout and "| graph | 600 |" in result.stdout
    assert "caches are right and memory is flat" in result.stdout


def test_the_soak_sees_a_byte_that_differs() -> None:
    """The control: the same run with one cache changed by other means."""
    script = """
import sys
import numpy as np
sys.argv = ["soak"]
from benchmarks import soak
write, count = soak.run_pynative, [0]
def wrong(scenario, number, turn):
    write(scenario, number, turn)
    count[0] += 1
    if count[0] == 150:
        slots = scenario.cell.value_cache.asnumpy().reshape(-1)
        slots[-1] += 1
soak.run_pynative = wrong
raise SystemExit(soak.main(["--calls", "200", "--steps", "0"]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=SOAK.parents[1],
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER,
        check=False,
    )
    assert result.returncode == 1 and "FAILED" in result.stdout, result.stdout + result.stderr
