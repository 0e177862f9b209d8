"""Whether a shared library works, found out without loading it here: a damaged one ends the process."""

import json
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..backends.library_file import damage

SECONDS = 120
DAMAGED = "a library is damaged"  # how a child that a signal ended is told
_MARK = "ms_scatter_pa says: "  # before what a child found; missing where the child ended early


def problem_of(path: Path, extension: str | None = None) -> str | None:
    """Why the library does not load, or None where it does; a child process tries.

    Args:
        path: the file.
        extension: its name in ``ms_scatter_pa._lib``; None: it is no module of Python.
    """
    found = damage(path)
    if found is not None:
        return found
    program = "import ctypes; ctypes.CDLL(sys.argv[1])"
    if extension is not None:
        program = f"from ms_scatter_pa.backends.mindspore_release import load_extension; load_extension({extension!r})"
    return in_child(program, str(path))


@lru_cache(maxsize=64)
def in_child(program: str, *arguments: str) -> str | None:
    """Runs a program in another Python, which sees the same modules; None, or how it ended in one line."""
    return said_by_child(program, *arguments)[1]


@lru_cache(maxsize=64)
def said_by_child(program: str, *arguments: str) -> tuple[Any, str | None]:
    """What the program left in its variable ``said``, through JSON, and None; or None and how it ended in one line."""
    before = f"import sys; sys.path[:] = {sys.path!r}; said = None\n"
    after = f"\nimport json; print(); print({_MARK!r} + json.dumps(said), flush=True)\n"
    command = [sys.executable, "-c", before + program + after, *arguments]
    try:
        result = subprocess.run(
            command,
            env=os.environ | {"GLOG_v": "3"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"loading it did not end within {SECONDS} seconds"
    except OSError as error:
        return None, f"Python does not start: {error}"
    if result.returncode < 0:
        return None, f"loading it ends the process ({_signal_name(-result.returncode)}): {DAMAGED}"
    lines = [line for line in result.stdout.splitlines() if line.startswith(_MARK)]
    if result.returncode == 0 and lines:
        return json.loads(lines[-1].removeprefix(_MARK)), None
    errors = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    return None, errors[-1] if errors else f"loading it ends the process (exit status {result.returncode})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
