"""Finds the Python of a version: on the path, or among pyenv's."""

import os
import shutil
import subprocess
from pathlib import Path


def find_python(version: str) -> str | None:
    """A ``python3.X`` that starts, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True),
    ]
    for candidate in filter(None, candidates):
        asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        result = subprocess.run(asked, capture_output=True, text=True, check=False)
        if result.stdout.strip() == version:
            return candidate
    return None
