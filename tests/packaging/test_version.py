"""The version stands in one place; a wheel's version and requirement name the MindSpore that it was compiled for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ms_scatter_pa

ROOT = Path(__file__).resolve().parents[2]


def setup_says(environment: dict[str, str]) -> str:
    command = [sys.executable, "setup.py", "--version"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | environment)
    return result.stdout.splitlines()[-1]


def test_setup_and_the_changelog_say_the_packages_version() -> None:
    assert setup_says({}) == ms_scatter_pa.__version__
    first = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None and first.group(1) == ms_scatter_pa.__version__
    assert "\nversion" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("release", "suffix"), [("2.10.0", "2.10"), ("2.7.2", "2.7.2"), ("2.7.1.post1", "2.7.1.post1"), ("2.8.0", "2.8")]
)
def test_a_wheel_for_others_names_the_release(tmp_path: Path, release: str, suffix: str) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = '{release}'\n")
    given = {"MS_SCATTER_PA_BUILD_MINDSPORE": str(tmp_path), "MS_SCATTER_PA_BUILD_WHEEL": "1"}
    assert setup_says(given) == f"{ms_scatter_pa.__version__}+ms{suffix}"
