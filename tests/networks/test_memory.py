"""Attention's memory grows with the tokens, not with their square."""

import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: the peak of this one is of earlier tests. Prints the peak's growth and the bytes of all scores.
PEAK = """
import ctypes, sys
from pathlib import Path
import numpy as np
from tests.networks.conftest import LIBRARY, sgemm_of_onednn
from tests.networks.library import Builtins
TOKENS, SIZE, MAX = 8192, 16, 2147483647
library = ctypes.CDLL(str(LIBRARY))
library.MsspSetNumThreads(2)
library.MsspBuiltinSetSgemm(sgemm_of_onednn() if sys.argv[1] == "sgemm" else None)
builtins = Builtins(library)

def attend(tokens):
    x = np.random.default_rng(0).standard_normal((1, 1, tokens, SIZE)).astype(np.float32)
    bnsd, sums = 1, ((1, 1, tokens, 8), np.float32)
    settings = [1, 1.0, 0.25, MAX, 0, 0, bnsd, 3]  # sparse_mode 3: causal
    return builtins("FlashAttentionScore", [x] * 3 + [None] * 7 + settings, [sums, sums, ((1,), x.dtype), (x.shape, x.dtype)])

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

attend(64)
before = peak()
attend(TOKENS)
print(peak() - before, TOKENS * TOKENS * 4)
"""


@pytest.mark.parametrize("product", ["sgemm", "own"])
def test_prefill_makes_no_tensor_of_queries_by_keys(product):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", PEAK, product]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    grown, scores = map(int, said.split())
    assert scores == 256 << 20
    assert grown < 16 << 20
