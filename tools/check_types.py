"""Runs mypy over the package as it is installed: with the top-level folders that pyproject.toml puts inside it."""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders: dict[str, str] = config["tool"]["setuptools"]["package-dir"]
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "ms_scatter_pa"
        package.mkdir()
        for entry in (ROOT / "ms_scatter_pa").iterdir():
            if entry.name != "__pycache__":
                (package / entry.name).symlink_to(entry)
        for name, folder in folders.items():
            (package / name.removeprefix("ms_scatter_pa.")).symlink_to(ROOT / folder)
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "ms_scatter_pa"]
        command += ["--cache-dir", str(ROOT / ".mypy_cache")]
        return subprocess.run(command, cwd=temporary, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
