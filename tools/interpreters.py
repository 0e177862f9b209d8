"""Finds the Python of a version: on the path, or among pyenv's."""

import os
import shutil
import subprocess
from pathlib import Path

# Its version, where it has what compiling and a virtual environment need.
ASK = """
import ensurepip, pathlib, sys, sysconfig
if pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file():
    print("%d.%d" % sys.version_info[:2])
"""


def find_python(version: str) -> str | None:
    """A ``python3.X`` that starts, has its headers and can make a virtual environment; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True),
    ]
    for candidate in filter(None, candidates):
        result = subprocess.run([candidate, "-c", ASK], capture_output=True, text=True, check=False)
        if result.stdout.strip() == version:
            return candidate
    return None
