"""Importing, forking and leaving: what happens around the process."""

from typing import Any

PREPARE = """
import os, signal, sys, threading, time
import numpy as np
"""

WRITE = """
def write(seed=1, rows=4):
    from mindspore import Tensor
    from ms_scatter_pa import npu_scatter_pa_kv_cache
    key = np.full((rows, 2, 16), seed, np.float16)
    cache = Tensor(np.zeros((256, 8, 2, 16), np.float16))
    status = npu_scatter_pa_kv_cache(
        Tensor(key), None, cache, None, Tensor(np.arange(rows, dtype=np.int32)), cache_mode="Norm")
    return status, cache

def is_right(seed=1, rows=4):
    status, cache = write(seed, rows)
    return status.asnumpy().tolist() == [0] * 4 and (cache.asnumpy().reshape(-1, 32)[:rows] == seed).all()
"""


def test_importing_starts_no_thread(run_python: Any) -> None:
    """Beyond those that MindSpore starts itself when it is imported."""
    script = """
def threads():
    return len(os.listdir("/proc/self/task"))
import mindspore
before = threads(), threading.active_count()
import ms_scatter_pa
from ms_scatter_pa.backends.cpu import eager as cpu
assert (threads(), threading.active_count()) == before, (threads(), before)
print("same threads")
"""
    result = run_python(PREPARE + script)
    assert result.stdout.strip().endswith("same threads"), result.stdout + result.stderr


def test_a_child_forked_after_the_import_works(run_python: Any) -> None:
    script = """
import ms_scatter_pa
children = []
for seed in (3, 4):
    child = os.fork()
    if child == 0:
        os._exit(0 if is_right(seed) else 7)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0, 0], codes
assert is_right(5)
print("children and parent wrote")
"""
    result = run_python(PREPARE + WRITE + script)
    assert "children and parent wrote" in result.stdout, result.stdout + result.stderr


FORK_LATE = """
import mindspore as ms
from mindspore import Tensor, mint
{first}
child = os.fork()
if child == 0:
    {in_child}
    os._exit(0)
for _ in range(60):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        print("the child ended with", os.waitstatus_to_exitcode(status))
        break
    time.sleep(0.1)
else:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("the child hangs")
"""


def test_a_child_forked_after_an_operator_of_mindspore_hangs_without_this_package(run_python: Any) -> None:
    """MindSpore's own limit, shown here: its threads do not live on in a forked child. Fork before the first operator,
    or start processes with ``spawn``."""
    add = "mint.add(Tensor(np.ones(3, np.float32)), 1).asnumpy()"
    result = run_python(PREPARE + FORK_LATE.format(first=add, in_child=add))
    assert "the child hangs" in result.stdout, result.stdout + result.stderr


EXITS = {
    "a small write": "statuses = [write(seed) for seed in range(50)]",
    "writes in the queue": "statuses = [write(seed, 2000) for seed in range(50)]",
    "writes behind MindSpore's operators": """
from mindspore import Tensor, mint
x = Tensor(np.ones((300, 300), np.float32))
for seed in range(50):
    x = mint.matmul(x, x)
    kept = write(seed, 2000)
""",
    "a graph": """
import mindspore as ms
from mindspore import Tensor
from ms_scatter_pa import npu_scatter_pa_kv_cache
cache = Tensor(np.zeros((256, 8, 2, 16), np.float16))
@ms.jit
def run(key, cache, slots):
    return npu_scatter_pa_kv_cache(key, None, cache, None, slots, cache_mode="Norm")
for seed in range(50):
    status = run(Tensor(np.ones((4, 2, 16), np.float16)), cache, Tensor(np.arange(4, dtype=np.int32)))
""",
    "a refused write that nobody waited for": """
from mindspore import Tensor
from ms_scatter_pa import npu_scatter_pa_kv_cache
cache = Tensor(np.zeros((256, 8, 2, 16), np.float16))
status = npu_scatter_pa_kv_cache(Tensor(np.ones((4, 2, 16), np.float16)), None, cache, None,
                                 Tensor(np.full(4, 99999, np.int32)), cache_mode="Norm", on_error="record")
""",
}


def test_the_interpreter_leaves_with_work_in_the_queue(run_python: Any, tmp_path: Any) -> None:
    for what, work in EXITS.items():
        result = run_python(PREPARE + WRITE + f"{work}\nprint('leaving')\n")
        assert "leaving" in result.stdout, (what, result.stderr)
        assert result.returncode == 0, (what, result.returncode, result.stderr[-2000:])


def test_the_scripts_of_this_file_write(run_python: Any) -> None:
    result = run_python(PREPARE + WRITE + "assert is_right(3) and is_right(4, 2000)\nprint('right')\n")
    assert "right" in result.stdout, result.stderr
