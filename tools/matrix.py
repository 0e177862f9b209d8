"""Runs the tests on other Pythons and MindSpore releases: ``python -m tools.matrix 3.10:2.8.0 3.12:2.10.0``.

Each cell gets a virtual environment in ``build/matrix``, the package compiled against its MindSpore, and the tests run
from a copy of the repository, so that no environment sees the libraries of another; ``--remove`` deletes each environment
(2.8 GB) after its tests. Prints a table; exits 1 when a cell fails.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tools.install import project
from tools.interpreters import find_python

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "matrix"
OLDEST = "3.10:2.8.0"  # of what is supported in full; 'make test' runs on the newest
# Every cell that the package index has a MindSpore for.
ALL = tuple(f"{python}:{release}" for python in ("3.10", "3.11", "3.12") for release in ("2.8.0", "2.9.0", "2.10.0"))
ASCEND = (
    "tests/registration/test_cann_operator.py",
    "tests/registration/test_generated_callback.py",
)  # what it compiles
TESTS = ("tests/contract", "tests/modes", "tests/dropin", "tests/pages", "tests/networks", *ASCEND)
# What differs most between releases, in two or three minutes.
QUICK = (
    "tests/packaging/test_mindspore_release.py",
    "tests/contract/test_pynative_writes.py",
    "tests/contract/test_page_refusals.py",
    "tests/modes/test_capture_modes.py",
    "tests/modes/test_graph_order.py",
    "tests/modes/test_holding_caches.py",
    "tests/dropin/test_registration.py",
    "tests/dropin/test_order.py",
    "tests/pages/test_paged_kv_cache.py",
    "tests/networks/test_networks.py",
    *ASCEND,
)
IGNORED = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.so", "__pycache__", ".hypothesis", "*.egg-info")


def _run(command: tuple[str, ...], cwd: Path) -> str | None:
    """The last line that a failing command printed, or None."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    (FOLDER / "last-failure.txt").write_text(result.stdout + result.stderr)
    return next((line for line in reversed((result.stdout + result.stderr).splitlines()) if line.strip()), "no output")


def check(cell: str, tests: list[str], remove: bool) -> str:
    """Returns "passed", or the step that failed and its last line."""
    version, release = cell.split(":")
    interpreter = find_python(version)
    if interpreter is None:
        return f"not tried: python{version} was not found"
    environment, source = FOLDER / f"{version}-{release}", FOLDER / f"source-{version}-{release}"
    python = str(environment / "bin" / "python")
    config = project()
    dependencies = [d for d in config["project"]["dependencies"] if not d.startswith("mindspore")]
    extras = config["project"]["optional-dependencies"]
    dependencies += [f"mindspore=={release}", *extras["test"], *extras["plot"]]
    if not environment.exists():
        subprocess.run([interpreter, "-m", "venv", str(environment)], check=True)
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT, source, ignore=IGNORED)
    pip = (python, "-m", "pip", "install", "--quiet")
    steps = {
        "install": (*pip, "--upgrade", "pip", *config["build-system"]["requires"], *dependencies),
        "compile": (*pip, "--no-build-isolation", "--no-deps", "--editable", str(source)),
        "test": (python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *tests),
    }
    try:
        for step, command in steps.items():
            print(f"Python {version}, MindSpore {release}: {step}", flush=True)
            problem = _run(command, source)
            if problem is not None:
                return f"{step} failed: {problem}"
        return "passed"
    finally:
        if remove:
            shutil.rmtree(environment, ignore_errors=True)
            shutil.rmtree(source, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="runs the tests on other Pythons and MindSpore releases")
    parser.add_argument("cells", nargs="*", default=[OLDEST], metavar="PYTHON:MINDSPORE", help=f"default {OLDEST}")
    parser.add_argument("--all", action="store_true", help=f"all of {', '.join(ALL)}")
    parser.add_argument("--remove", action="store_true", help="delete each environment after its tests")
    tests = parser.add_mutually_exclusive_group()
    tests.add_argument("--tests", nargs="+", default=list(TESTS), metavar="PATH")
    tests.add_argument(
        "--quick", action="store_const", const=list(QUICK), dest="tests", help="some files of each folder"
    )
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = {cell: check(cell, options.tests, options.remove) for cell in (ALL if options.all else options.cells)}
    for cell, result in results.items():
        version, release = cell.split(":")
        print(f"Python {version:<5} MindSpore {release:<12} {result}")
    return int(any(result != "passed" for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
