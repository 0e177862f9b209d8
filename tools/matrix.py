"""Runs the contract and mode tests on other MindSpore releases: ``python tools/matrix.py 2.9.0``.

Each release gets a virtual environment in ``build/matrix``, the package compiled against it, and the tests run from a
copy of the repository, so that no environment sees the libraries of another. Prints a table; exits 1 when one fails.
"""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "matrix"
OLDEST = "2.9.0"  # that pyproject.toml allows; 'make test' runs on the newest
TESTS = ("tests/contract", "tests/modes")
IGNORED = shutil.ignore_patterns(".git", ".venv", "build", "*.so", "__pycache__", ".hypothesis", "*.egg-info")


def _run(*command: str, cwd: Path = ROOT) -> str | None:
    """The last line that a failing command printed, or None."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    return next((line for line in reversed((result.stdout + result.stderr).splitlines()) if line.strip()), "no output")


def check(version: str) -> str:
    """Returns "passed", or the step that failed and its last line."""
    environment, source = FOLDER / version, FOLDER / f"source-{version}"
    python = str(environment / "bin" / "python")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dependencies = [d for d in config["project"]["dependencies"] if not d.startswith("mindspore")]
    dependencies += [f"mindspore=={version}", *config["project"]["optional-dependencies"]["test"]]
    if not environment.exists():
        venv.create(environment, with_pip=True)
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT, source, ignore=IGNORED)
    pip = (python, "-m", "pip", "install", "--quiet")
    steps = {
        "install": (*pip, "--upgrade", "pip", *config["build-system"]["requires"], *dependencies),
        "compile": (*pip, "--no-build-isolation", "--no-deps", "--editable", str(source)),
        "test": (python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *TESTS),
    }
    for step, command in steps.items():
        print(f"{version}: {step}", flush=True)
        problem = _run(*command, cwd=source)
        if problem is not None:
            return f"{step} failed: {problem}"
    return "passed"


def main() -> int:
    versions = sys.argv[1:] or [OLDEST]
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = {version: check(version) for version in versions}
    print("\n".join(f"MindSpore {version:<8} {result}" for version, result in results.items()))
    return int(any(result != "passed" for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
