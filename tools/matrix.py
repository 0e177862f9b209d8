"""Runs the tests on other Pythons and MindSpore releases: ``python -m tools.matrix 3.10:2.8.0 3.12:2.10.0``.

Each cell gets a virtual environment in ``build/matrix``, the package compiled against its MindSpore, and the tests run
from a copy of the repository, so that no environment sees the libraries of another; ``--remove`` deletes each environment
(2.8 GB) after its tests. Prints a table; exits 1 when a cell fails. A cell whose Python is not on this machine, or whose
packages cannot be installed, is "not tried", which is no failure.

``--smoke`` runs README's examples and a few tests: writes, a graph, a refusal, bytecode capture. ``--wrong-pair 2.10.0``
compiles the package beside each cell's MindSpore, then puts 2.10.0 in its place, as ``pip install -U mindspore`` does: no
library may load, ``doctor`` says what to do, and README's examples and nested networks run without.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.install import project
from tools.interpreters import find_python
from tools.readme import examples

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
# What differs most between releases, in about two minutes with the installation: without optimisation, and without
# packages that these tests do not use.
QUICK = (
    "tests/packaging/test_mindspore_release.py",
    "tests/contract/test_pynative_writes.py",
    "tests/modes/test_capture_modes.py",
    "tests/modes/test_graph_order.py",
    "tests/modes/test_holding_caches.py",
    "tests/dropin/test_registration.py::test_importing_twice_registers_once",
    "tests/dropin/test_registration.py::test_a_package_that_came_first_keeps_its_kernel",
    "tests/dropin/test_registration.py::test_without_the_package_mindspore_has_no_kernel",
    "tests/dropin/test_order.py",
    "tests/pages/test_paged_kv_cache.py",
    "tests/networks/test_networks.py",
    "tests/registration/test_generated_callback.py",
)
# Writes in PyNative, a graph, a refusal, and bytecode capture, which differs most between Pythons.
SMOKE = (
    "tests/contract/test_pynative_writes.py::test_every_row_of_the_table",
    "tests/modes/test_capture_modes.py::test_jit_of_a_cell_writes_its_parameters",
    "tests/modes/test_capture_modes.py::test_bytecode_capture_runs_the_rules_as_they_are",
)
QUICK_WITHOUT = ("cmake", "ziglang")
QUICK_FLAGS = "-O0"
WRONG_PAIR = ("tests/modes/test_graph_order.py",)
# Run beside another MindSpore than the libraries were compiled for.
REFUSED = """
import subprocess, sys
import mindspore
from ms_scatter_pa.backends.mindspore_release import WrongRelease, load_extension
for name in ("_eager", "_builtins"):
    try:
        load_extension(name)
    except WrongRelease as error:
        print(error)
    else:
        sys.exit(f"{name} was loaded beside MindSpore {mindspore.__version__}")
doctor = subprocess.run([sys.executable, "-m", "ms_scatter_pa", "doctor"], capture_output=True, text=True)
if doctor.returncode == 0 or "again" not in doctor.stdout:
    sys.exit("doctor found nothing wrong: " + doctor.stdout)
"""
IGNORED = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.so", "__pycache__", ".hypothesis", "*.egg-info")


def _run(command: tuple[str, ...], cwd: Path, flags: str, log: Path) -> tuple[bool, str]:
    """Whether the command fails, and the last line that it printed; ``log`` keeps all of them."""
    variables = os.environ | {"CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {flags}"}
    result = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    printed = result.stdout + result.stderr
    log.write_text(printed)
    return result.returncode != 0, next((line for line in reversed(printed.splitlines()) if line.strip()), "no output")


def _worked() -> float:
    """Seconds of processor time that commands have taken, which other work on the machine does not lengthen."""
    times = os.times()
    return times.children_user + times.children_system


def _is_short(options: argparse.Namespace) -> bool:
    return bool(options.quick or options.smoke or options.wrong_pair)


def _steps(python: str, source: Path, release: str, options: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """What is run for a cell, by its name."""
    config = project()
    dependencies = [d for d in config["project"]["dependencies"] if not d.startswith("mindspore")]
    extras = config["project"]["optional-dependencies"]
    needed = (
        [r for r in extras["test"] if not r.startswith(QUICK_WITHOUT)]
        if _is_short(options)
        else [*extras["test"], *extras["plot"]]
    )
    pip = (python, "-m", "pip", "install", "--quiet")
    run_tests = (python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--timeout", "600")
    steps = {
        "install": (
            *pip,
            "--no-compile",
            *config["build-system"]["requires"],
            *dependencies,
            f"mindspore=={release}",
            *needed,
        ),
        "compile": (*pip, "--no-build-isolation", "--no-deps", "--editable", str(source)),
    }
    if options.wrong_pair:
        steps["upgrade"] = (*pip, "--no-compile", f"mindspore=={options.wrong_pair}", *dependencies)
        steps["refusal"] = (python, "-c", REFUSED)
    if options.smoke or options.wrong_pair:
        (source / "program.py").write_text(examples(), encoding="utf-8")  # a graph's source has to be in a file
        steps["examples"] = (python, "program.py")
    tests = options.tests
    for chosen, paths in ((options.quick, QUICK), (options.smoke, SMOKE), (options.wrong_pair, WRONG_PAIR)):
        tests = paths if chosen else tests
    return {**steps, "test": (*run_tests, *tests)}


def check(cell: str, options: argparse.Namespace) -> tuple[bool, str]:
    """Whether the cell fails, and how many tests passed, or the step that failed and its last line."""
    version, release = cell.split(":")
    interpreter = find_python(version)
    if interpreter is None:
        return False, f"not tried: no python{version} with headers and venv is on this machine"
    name = f"{version}-{release}" + (f"-then-{options.wrong_pair}" if options.wrong_pair else "")
    environment, source = FOLDER / name, FOLDER / f"source-{name}"
    python = str(environment / "bin" / "python")
    if options.wrong_pair:
        shutil.rmtree(environment, ignore_errors=True)  # the last one's MindSpore is the new one
    if not environment.exists():
        subprocess.run([interpreter, "-m", "venv", str(environment)], check=True)
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT, source, ignore=IGNORED)
    try:
        for step, command in _steps(python, source, release, options).items():
            print(f"Python {version}, MindSpore {release}: {step}", end="", flush=True)
            log, start, worked = FOLDER / f"{name}-{step}.txt", time.monotonic(), _worked()
            failed, last_line = _run(command, source, QUICK_FLAGS if _is_short(options) else "", log)
            seconds, processor = time.monotonic() - start, _worked() - worked
            print(f", {seconds:.0f} s, {processor:.0f} s of processor time, {log.relative_to(ROOT)}", flush=True)
            if failed and step == "install":
                return False, f"not tried: its packages cannot be installed: {last_line}"
            if failed:
                return True, f"{step} failed: {last_line}"
        return False, last_line
    finally:
        if options.remove:
            shutil.rmtree(environment, ignore_errors=True)
            shutil.rmtree(source, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="runs the tests on other Pythons and MindSpore releases")
    parser.add_argument("cells", nargs="*", default=[OLDEST], metavar="PYTHON:MINDSPORE", help=f"default {OLDEST}")
    parser.add_argument("--all", action="store_true", help=f"all of {', '.join(ALL)}")
    parser.add_argument("--remove", action="store_true", help="delete each environment after its tests")
    tests = parser.add_mutually_exclusive_group()
    tests.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH")
    tests.add_argument("--quick", action="store_true", help="some files of each folder, two minutes")
    tests.add_argument("--smoke", action="store_true", help="README's examples and a few tests, the shortest run")
    tests.add_argument(
        "--wrong-pair",
        metavar="MINDSPORE",
        help="this release in place of the cell's, for which the package was compiled",
    )
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    cells = ALL if options.all else options.cells
    results = {cell: check(cell, options) for cell in cells}
    for cell, (_, result) in results.items():
        version, release = cell.split(":")
        release += f" then {options.wrong_pair}" if options.wrong_pair else ""
        print(f"Python {version:<5} MindSpore {release:<12} {result}")
    return int(any(failed for failed, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
