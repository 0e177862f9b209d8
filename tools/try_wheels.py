"""Installs wheels into fresh environments and runs README's examples there: ``python -m tools.try_wheels [WHEELS ...]``.

Without names: every wheel of this machine in ``dist/wheels``. An environment has its Python, the wheel and what the wheel
requires, MindSpore with it (2.8 GB, deleted afterwards); no compiler is on its path.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.interpreters import find_python
from tools.readme import examples

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "dist" / "wheels"
WORK = ROOT / "build" / "try-wheels"
WHERE = "\nimport ms_scatter_pa; print(ms_scatter_pa.__file__)\n"


def try_wheel(wheel: Path, version: str) -> str:
    """What became of the wheel: what ran, or the step that failed and its last line."""
    interpreter = find_python(version)
    if interpreter is None:
        return f"not tried: no python{version} with venv is on this machine"
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        environment, empty = Path(folder) / "environment", Path(folder) / "empty"
        empty.mkdir()
        (empty / "program.py").write_text(examples() + WHERE, encoding="utf-8")
        python = str(environment / "bin" / "python")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CXX"))}
        inside = variables | {"PATH": str(environment / "bin"), "HOME": folder, "GLOG_v": "3"}
        steps = (
            ("environment", [interpreter, "-m", "venv", str(environment)], variables),
            ("installation", [python, "-m", "pip", "install", "--quiet", "--no-compile", str(wheel)], variables),
            ("README's examples", [python, "program.py"], inside),
            ("doctor", [python, "-m", "ms_scatter_pa", "doctor"], inside),
        )
        printed = ""
        for name, command, environ in steps:
            result = subprocess.run(command, cwd=empty, env=environ, capture_output=True, text=True, check=False)
            lines = (result.stdout or result.stderr).strip().splitlines()
            if result.returncode != 0:
                lines = result.stderr.strip().splitlines()
            if result.returncode != 0 or (name.startswith("README") and not lines[-1].startswith(str(environment))):
                return f"{name} failed: {lines[-1] if lines else 'no output'}"
            printed = lines[-1] if lines else ""
        return f"README's examples ran; doctor: {printed}"


def main() -> int:
    parser = argparse.ArgumentParser(description="runs README's examples from wheels in fresh environments")
    machine = platform.machine()
    parser.add_argument("wheels", nargs="*", type=Path, default=sorted(WHEELS.glob(f"*_{machine}.whl")))
    failed = False
    for wheel in parser.parse_args().wheels:
        major, minor = re.search(r"-cp(\d)(\d+)-", wheel.name).groups()  # type: ignore[union-attr]
        said = try_wheel(wheel.resolve(), f"{major}.{minor}")
        failed |= " failed: " in said
        print(f"{wheel.name}: {said}", flush=True)
    shutil.rmtree(WORK, ignore_errors=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
