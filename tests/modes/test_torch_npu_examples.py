"""The two examples of torch_npu's document, with its shapes, run as a user would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.children import HANGS_AFTER

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "single_operator",
            ["key_cache [2, 8, 32, 16]: 16 rows written", "value_cache [2, 16, 32, 16]: 16 rows written"],
        ),
        ("graph_mode", ["16 tokens written", "1 tokens written", "3 tokens written"]),
    ],
)
def test_the_example_runs_and_checks_itself(name: str, words: list[str]) -> None:
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    for word in words:
        assert word in result.stdout
