"""The build backend: setuptools' own, after a look at what ``--no-build-isolation`` leaves to the environment.

Pip installs nothing of [build-system] requires then, and what an old setuptools or none says helps nobody.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _needed() -> int:
    """The major version of setuptools that pyproject.toml asks for."""
    found = re.search(r'"setuptools>=(\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert found is not None
    return int(found.group(1))


def _missing() -> "str | None":
    """What this environment lacks, in one sentence; None where it lacks nothing."""
    needed = _needed()
    try:
        from setuptools import __version__ as version
    except ImportError:
        found = "has none"
    else:
        if int(version.split(".")[0]) >= needed:
            return None
        found = f"has {version}"
    return (
        f'ms_scatter_pa: building needs setuptools {needed} or newer, and this environment {found}: run "{sys.executable}" '
        f"-m pip install 'setuptools>={needed}' wheel, then install again."
    )


if _missing() is not None:
    raise SystemExit(_missing())

from setuptools.build_meta import (  # noqa: E402
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]
