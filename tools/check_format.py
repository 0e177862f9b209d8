"""Checks, or with --fix mends, the format of the project's C++ with clang-format."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("cpu_kernels", "aicore_kernels", "tests", "benchmarks")
SUFFIXES = (".h", ".cc", ".cpp")


def main() -> int:
    files = sorted(str(p) for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.suffix in SUFFIXES)
    mode = ["-i"] if "--fix" in sys.argv[1:] else ["--dry-run", "--Werror"]
    clang_format = Path(sys.executable).with_name("clang-format")
    return subprocess.run([str(clang_format), *mode, *files], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
