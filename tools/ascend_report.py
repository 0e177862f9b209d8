"""``make ascend-report``: runs the tests that need an NPU and leaves one file to send back."""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from pathlib import Path

from ms_scatter_pa.backends.ascend import cann_toolkit as cann
from ms_scatter_pa.cli import doctor

NOTHING_RAN = 3
PACKAGES = ("ms_scatter_pa", "mindspore", "numpy", "ml_dtypes", "pytest")
VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH", "ASCEND_CUSTOM_OPP_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


def main(arguments: list[str] | None = None) -> int:
    """The subcommand. Returns pytest's status, or 3 where nothing could run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("ascend-report.txt"), help="default: %(default)s")
    parser.add_argument("--tests", type=Path, default=_tests(), help="the clone's folder tests/ascend")
    options = parser.parse_args(arguments)
    if not options.tests.is_dir():
        print(f"ascend-report: {options.tests} is no folder; run it in a clone of the project", file=sys.stderr)
        return NOTHING_RAN
    sections = [("machine", _machine()), ("doctor", doctor.text(doctor.diagnose()))]
    status = NOTHING_RAN
    if cann.npus():
        status, ran = _run(options.tests)
        sections += ran
    else:
        sections.append(("tests", "nothing ran: no NPU on this machine (no /dev/davinci*)"))
    options.output.write_text("\n\n".join(f"== {title} ==\n{body}" for title, body in sections) + "\n")
    print(f"ascend-report: {sections[-1][1].splitlines()[-1]}")
    print(f"ascend-report: please send back {options.output.absolute()}")
    return status


def _tests() -> Path:
    return Path(__file__).resolve().parent.parent / "tests" / "ascend"


def _machine() -> str:
    lines = [time.strftime("%Y-%m-%d %H:%M:%S"), platform.platform(), f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} is not installed")
    return "\n".join([*lines, *(f"{name}={os.environ.get(name, '(not set)')}" for name in VARIABLES)])


def _run(tests: Path) -> tuple[int, list[tuple[str, str]]]:
    """Runs pytest; returns its status, its output, the times, and one line that counts."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(tests),
            "-m",
            "ascend",
            "-rA",
            "--durations=10",
            "-p",
            "no:xdist",
        ]
        ran = subprocess.run(
            [*command, f"--junit-xml={results}"], cwd=tests.parent.parent, capture_output=True, text=True, check=False
        )
        times, count = _read(results) if results.is_file() else ("", "pytest left no results")
    return ran.returncode, [("pytest", ran.stdout + ran.stderr), ("times", times or "none"), ("count", count)]


def _read(results: Path) -> tuple[str, str]:
    root = xml.parse(results).getroot()
    times = [f"{found.get('name')}: {found.get('value')}" for found in root.iter("property")]
    suite = next(root.iter("testsuite"))
    counts = {name: suite.get(name, "0") for name in ("tests", "failures", "errors", "skipped")}
    return "\n".join(times), ", ".join(f"{value} {name}" for name, value in counts.items())


if __name__ == "__main__":
    raise SystemExit(main())
