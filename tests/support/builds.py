"""What tests compile: two files at a time, and once in a session, whose processes (``pytest -n``) share the result."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def compile_and_link(command: Sequence[str], sources: Sequence[Path], target: Path, link: Sequence[str] = ()) -> Path:
    """Compiles each source beside ``target``, then links all with ``link``'s flags; objects among the sources are linked.

    Raises:
        RuntimeError: the compiler refuses something; its text.
    """
    target.parent.mkdir(parents=True, exist_ok=True)

    def run(*more: str) -> None:
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join([*command, *more])}\n{done.stderr}")

    def compile_one(numbered: tuple[int, Path]) -> Path:
        number, source = numbered
        if source.suffix == ".o":
            return source
        compiled = target.with_name(f"{target.name}-{number}-{source.stem}.o")
        run("-c", str(source), "-o", str(compiled))
        return compiled

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, enumerate(sources)))
    run(*link, *map(str, objects), "-o", str(target))
    return target


def built_once(factory: "pytest.TempPathFactory", name: str, make: Callable[[Path], Path]) -> Path:
    """What ``make`` compiles into the folder that it gets: the first process does it, others wait.

    Args:
        name: of the folder; one for each thing that is compiled.
        make: returns the path of the result.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"built-{name}"
    folder.mkdir(exist_ok=True)
    done = folder / ".result"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            done.write_text(str(make(folder)))
    return Path(done.read_text())
