"""The interpreter may end while a daemon thread is inside a large PyNative write, which holds no interpreter lock."""

import subprocess
from collections.abc import Callable

import pytest

SCRIPT = """
import threading, time
import numpy as np
from mindspore import Tensor
from ms_scatter_pa import npu_scatter_pa_kv_cache
key = Tensor(np.ones((512, 8, 128), np.float32))
cache = Tensor(np.zeros((64, 16, 8, 128), np.float32))
slots = Tensor(np.arange(512))
turns = [0]
def forever():
    while True:
        npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")
        turns[0] += 1
threading.Thread(target=forever, daemon=True).start()
while turns[0] < 50:  # this thread runs between and during the writes
    time.sleep(0.001)
print("written")
"""


@pytest.mark.parametrize("attempt", range(3))
def test_exit_while_a_daemon_thread_writes(
    attempt: int, run_python: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    result = run_python(SCRIPT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("written")
