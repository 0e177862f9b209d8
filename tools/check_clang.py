"""Compiles the whole package with clang, warnings as errors, and runs what comes out; ``make clang``.

Takes ``clang++`` where the machine has it, else the clang in ziglang of the package index. That one brings no
libstdc++, which MindSpore's libraries are built with, so it is told where g++ has its own.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "clang"
PROOFS = (["-m", "ms_scatter_pa", "doctor"], [str(ROOT / "examples" / "single_operator.py")])


def _run(command: list[str], **variables: str) -> None:
    result = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout[-4000:]}{result.stderr[-8000:]}")


def _installed_zig() -> str:
    folder = FOLDER / "ziglang"
    if not folder.is_dir():
        found = re.search(r'^clang = \["([^"]+)"\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        assert found is not None
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(FOLDER), found.group(1)])
    return str(folder / "zig")


def _libstdcxx_flags() -> list[str]:
    searched = subprocess.run(
        ["g++", "-E", "-x", "c++", "-v", os.devnull], capture_output=True, text=True, check=True
    ).stderr.splitlines()
    folders = [line.strip() for line in searched if line.startswith(" /") and "c++" in line]
    return [
        "-nostdinc++",
        *(f"-I{folder}" for folder in folders),
        *("-nostdlib++", "-l:libstdc++.so.6", "-l:libgcc_s.so.1"),
    ]


def main() -> int:
    flags = ["-Werror"]
    compiler = shutil.which("clang++")
    if compiler is None:
        compiler = f"{_installed_zig()} c++"
        flags += _libstdcxx_flags()
    print(f"compiling with {compiler}", flush=True)
    build = [sys.executable, "setup.py", "--quiet", "build", "--build-base", str(FOLDER), "--build-lib"]
    _run([*build, str(FOLDER / "lib")], CXX=compiler, CXXFLAGS=" ".join(flags))
    for proof in PROOFS:
        _run([sys.executable, *proof], PYTHONPATH=str(FOLDER / "lib"))
    print("compiled without a warning; doctor and an example ran")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
