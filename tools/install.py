"""Installs the package with what its development needs into the environment of this Python; run by the Makefile.

MindSpore comes first, because the package is compiled against it; build isolation would download it a second time.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    import tomllib
except ImportError:  # Python 3.10; pip brings its own
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("test", "lint", "plot")


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True)


def project() -> dict[str, Any]:
    """What ``pyproject.toml`` says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def main() -> None:
    config = project()
    print("installing build tools", flush=True)
    _pip("--upgrade", "pip", *config["build-system"]["requires"])
    print("installing MindSpore and the other dependencies (a few minutes the first time)", flush=True)
    extras = [r for extra in EXTRAS for r in config["project"]["optional-dependencies"][extra]]
    _pip(*config["project"]["dependencies"], *extras)
    print("compiling and installing ms_scatter_pa (about a minute)", flush=True)
    _pip("--no-build-isolation", "--no-deps", "--editable", str(ROOT))


if __name__ == "__main__":
    main()
