"""Two processes, split by heads, write the tokens that one writes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.byte_model import read_model
from tests.support.children import HANGS_AFTER

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import tensor_parallel

    return tensor_parallel


def test_two_processes_write_what_one_writes(tmp_path):
    command = [sys.executable, str(EXAMPLES / "tensor_parallel.py"), "--count", "16"]
    environment = {**os.environ, "GLOG_v": "3"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANGS_AFTER)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "went up the hil" in result.stdout
    for rank in range(2):
        assert f"RANK {rank} of 2: 2 key/value heads" in result.stdout
    assert "2 processes write what one writes." in result.stdout


def test_ranks_hold_every_head_once(example):
    config, weights = read_model()
    parts = [example.shard(config, weights, rank, 2)[1] for rank in range(2)]
    for name, axis in (("wk", 1), ("wq", 1), ("wo", 2), ("w2", 2)):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis), weights[name])


def test_ranks_that_do_not_divide_the_heads_are_refused(example):
    config, weights = read_model()
    with pytest.raises(ValueError, match="ranks: given 3, expected a divisor of n_heads = 8"):
        example.shard(config, weights, 0, 3)
