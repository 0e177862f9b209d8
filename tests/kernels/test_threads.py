"""Worker threads: when they start, how many, several callers at once, fork and exit."""

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call
from tests.support.children import HANGS_AFTER

HEADS, SIZE, BLOCKS, BLOCK_SIZE = 4, 64, 64, 16

PRELUDE = """
import ctypes, os, sys
import numpy as np
from pathlib import Path
from ms_scatter_pa.backends.cpu.bindings import CoreLibrary, make_call
tasks = lambda: len(os.listdir("/proc/self/task"))
before = tasks()
library = CoreLibrary(Path(sys.argv[1]))
cache = np.zeros((64, 16, 8, 128), np.float16)
def write(tokens, threads=0):
    rows = np.random.default_rng(tokens).normal(size=(tokens, 8, 128)).astype(np.float16)
    slots = np.arange(tokens)
    assert library.scatter(make_call(rows, None, cache, None, slots, layout="Norm", num_threads=threads))[0] == 0
    assert (cache.reshape(-1, 8, 128)[:tokens] == rows).all()
"""


def run_python(library_path: Path, code: str, **environment: str) -> str:
    """Runs the code after PRELUDE in a fresh interpreter and returns what it prints."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MS_SCATTER_PA_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PRELUDE + code, str(library_path)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_thread_before_the_first_large_call(library_path: Path) -> None:
    code = """
library.c.MsspSetNumThreads(3)
loaded = tasks() - before
write(8)
small = tasks() - before
write(1024)
print(loaded, small, tasks() - before)
"""
    assert run_python(library_path, code) == "0 0 2"


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"MS_SCATTER_PA_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4"}, 4),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"MS_SCATTER_PA_NUM_THREADS": "1", "OMP_NUM_THREADS": "4"}, 1),
        ({"MS_SCATTER_PA_NUM_THREADS": "none", "OMP_NUM_THREADS": "0"}, len(os.sched_getaffinity(0))),
        ({}, len(os.sched_getaffinity(0))),
    ],
)
def test_number_of_threads_from_the_environment(library_path: Path, environment: dict[str, str], threads: int) -> None:
    code = "write(1024); print(library.c.MsspGetNumThreads(), tasks() - before)"
    assert run_python(library_path, code, **environment) == f"{threads} {threads - 1}"


def test_what_others_put_into_omp_num_threads_does_not_count(library_path: Path) -> None:
    """MindSpore sets it to 1 when it is imported; what the process was started with counts."""
    code = "os.environ['OMP_NUM_THREADS'] = '7'; print(library.c.MsspGetNumThreads())"
    assert run_python(library_path, code) == str(len(os.sched_getaffinity(0)))
    assert run_python(library_path, code, OMP_NUM_THREADS="3") == "3"


def test_number_of_threads_from_the_affinity_and_the_setter(library_path: Path) -> None:
    code = """
os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])
alone = library.c.MsspGetNumThreads()
library.c.MsspSetNumThreads(6)
print(alone, library.c.MsspGetNumThreads())
"""
    assert run_python(library_path, code) == "1 6"


def test_number_of_threads_of_one_call(library_path: Path) -> None:
    assert run_python(library_path, "write(1024, 1); one = tasks(); write(1024, 4); print(tasks() - one)") == "3"


@pytest.mark.parametrize("kernels", ["portable", "avx2", "avx512", "neon", "nonsense"])
def test_instruction_set_from_the_environment(library: CoreLibrary, library_path: Path, kernels: str) -> None:
    best = library.c.MsspCpuFeatures().decode()
    expected = kernels if library.c.MsspSetCpuFeatures(kernels.encode()) else best
    assert (
        run_python(library_path, "print(library.c.MsspCpuFeatures().decode())", MS_SCATTER_PA_CPU=kernels) == expected
    )


@pytest.mark.parametrize(("said", "expected"), [("streamed", "1"), ("ordinary", "0"), ("nonsense", "measured")])
def test_partial_stores_from_the_environment(
    library: CoreLibrary, library_path: Path, said: str, expected: str
) -> None:
    code = "print(library.c.MsspPartialStores())"
    got = run_python(library_path, code, MS_SCATTER_PA_PARTIAL_STORES=said)
    assert got in ("0", "1") if expected == "measured" else got == expected


def test_partial_stores_are_decided_by_what_is_measured(library: CoreLibrary) -> None:
    """Once: a second measurement does not change what the process does, unless it is asked to forget."""
    ordinary, streamed = ctypes.c_double(), ctypes.c_double()
    library.c.MsspMeasurePartialStores(ctypes.byref(ordinary), ctypes.byref(streamed))
    assert (ordinary.value > 0) == (streamed.value > 0) == (platform.machine() == "x86_64")
    library.c.MsspSetPartialStores(1)
    assert library.c.MsspPartialStores() == 1
    library.c.MsspSetPartialStores(0)
    assert library.c.MsspPartialStores() == 0
    library.c.MsspSetPartialStores(-1)
    first = library.c.MsspPartialStores()
    assert {library.c.MsspPartialStores() for _ in range(5)} == {first}


def test_idle_workers_sleep(library_path: Path) -> None:
    """Half a second after the last call the process has used next to no processor time."""
    code = """
import time
write(1024, 4)
time.sleep(0.05)
start = time.process_time()
time.sleep(0.5)
print(time.process_time() - start < 0.05)
"""
    assert run_python(library_path, code) == "True"


def test_a_small_write_lets_sleeping_workers_be(library_path: Path) -> None:
    """Waking one takes longer than the write of a decode step."""
    code = """
import time
library.c.MsspSetNumThreads(2)
others = set(os.listdir("/proc/self/task"))
write(1024)
(worker,) = set(os.listdir("/proc/self/task")) - others
def wakes():
    time.sleep(0.1)
    lines = Path(f"/proc/self/task/{worker}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)
before = wakes()
write(128)
small = wakes() - before
write(1024)
print(small, wakes() > before + small)
"""
    assert run_python(library_path, code) == "0 True"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: there is no other to go to")
def test_a_woken_worker_leaves_the_processor_of_the_caller(library_path: Path) -> None:
    """It may run wherever the caller may, but for where the caller is; a caller bound to its processor moves nobody."""
    code = """
import time
library.c.MsspSetNumThreads(2)
allowed = os.sched_getaffinity(0)
others = set(os.listdir("/proc/self/task"))
write(1024)
(worker,) = map(int, set(os.listdir("/proc/self/task")) - others)
time.sleep(0.1)
write(1024)
left = allowed - os.sched_getaffinity(worker)
first = min(allowed)
os.sched_setaffinity(0, [first])
at = os.sched_getaffinity(worker)
time.sleep(0.1)
write(1024)
print(len(left), os.sched_getaffinity(worker) == at)
"""
    assert run_python(library_path, code) == "1 True"


def test_exit_with_workers_alive(library_path: Path) -> None:
    assert run_python(library_path, "[write(1024, 4) for _ in range(20)]; print('done')") == "done"


def test_exit_while_another_thread_is_inside(library_path: Path) -> None:
    code = """
import threading
def forever():
    while True:
        write(1024, 4)
threading.Thread(target=forever, daemon=True).start()
write(1024, 2)
print('done')
"""
    assert run_python(library_path, code) == "done"


def test_forked_child_makes_its_own_workers(library: CoreLibrary) -> None:
    rows = np.random.default_rng(0).normal(size=(1024, HEADS, SIZE)).astype(np.float16)
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)
    call = make_call(rows, None, cache, None, np.arange(1024), layout="Norm", num_threads=3)
    assert library.scatter(call) == [0, 0, 0, 0]
    child = os.fork()
    if child == 0:  # only system calls and the library from here on
        cache[:] = 0
        good = library.scatter(call) == [0, 0, 0, 0] and cache.tobytes() == rows.tobytes()
        good = good and len(os.listdir("/proc/self/task")) == 3
        os._exit(0 if good else 1)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError("the child hangs")
    assert library.scatter(call) == [0, 0, 0, 0], "the parent's workers are still there"


def _write_many(library: CoreLibrary, cache: Any, slots: Any, seed: int, errors: list[str]) -> None:
    for i in range(30):
        rows = np.random.default_rng(seed + i).normal(size=(len(slots), HEADS, SIZE)).astype(np.float16)
        status = library.scatter(make_call(rows, None, cache, None, slots, layout="Norm", num_threads=2))
        if status != [0, 0, 0, 0] or cache.reshape(-1, HEADS, SIZE)[slots].tobytes() != rows.tobytes():
            errors.append(f"{seed}: {status}")


@pytest.mark.parametrize("shared", [False, True])
def test_callers_at_once(library: CoreLibrary, shared: bool) -> None:
    """Four threads write caches of their own, or disjoint slots of one."""
    library.c.MsspSetThresholds(-1, 1)
    caches = [np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16) for _ in range(1 if shared else 4)]
    order = np.random.default_rng(9).permutation(BLOCKS * BLOCK_SIZE)
    errors: list[str] = []
    threads = [
        threading.Thread(
            target=_write_many, args=(library, caches[i % len(caches)], order[i::4].copy(), 100 * i, errors)
        )
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_signals_reach_the_application(library: CoreLibrary) -> None:
    """Workers block all signals: a handler runs on the thread that the interpreter expects."""
    library.c.MsspSetThresholds(-1, 1)
    rows = np.zeros((1024, HEADS, SIZE), np.float16)
    cache = np.zeros((BLOCKS, BLOCK_SIZE, HEADS, SIZE), np.float16)
    library.scatter(make_call(rows, None, cache, None, np.arange(1024), layout="Norm", num_threads=4))
    main = threading.get_native_id()
    python_threads = {t.native_id for t in threading.enumerate()}
    blocked = []
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) in python_threads or int(task.name) == main:
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            status = (task / "status").read_text()
            blocked.append(int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16))
    usr1 = 1 << (signal.SIGUSR1 - 1)
    assert sum(mask & usr1 != 0 for mask in blocked) >= 3


def test_library_stays_loaded(library_path: Path) -> None:
    """Workers run its code: dlclose must not take it away."""
    code = """
write(1024, 3)
close = ctypes.CDLL(None).dlclose
close.argtypes = [ctypes.c_void_p]
print(close(library.c._handle), os.path.realpath(sys.argv[1]) in open("/proc/self/maps").read())
"""
    assert run_python(library_path, code) == "0 True"
