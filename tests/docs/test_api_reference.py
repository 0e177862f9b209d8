"""docs/api.md is what the docstrings say, and the examples in it that need no device run."""

import doctest
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "make_api_reference.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_api_reference", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current():
    result = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_an_outdated_reference_is_noticed(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "OUTPUT", tmp_path / "api.md")
    monkeypatch.setattr(sys, "argv", ["tool", "--check"])
    assert tool.main() == 1
    assert "not current" in capsys.readouterr().err


def test_every_public_name_is_documented(tool):
    import ms_scatter_pa
    import ms_scatter_pa.pages

    text = tool.make_reference()
    for module in (ms_scatter_pa, ms_scatter_pa.pages):
        for name in module.__all__:
            assert f"### {name}\n" in text or not callable(getattr(module, name)), name
    for entry in tool.public_names("ms_scatter_pa.pages"):
        assert tool.ast.get_docstring(entry.node), entry.name


def test_docstrings_become_markdown(tool):
    markdown = tool.to_markdown(
        """Does ``it``.

        ==== ====
        a    b
        ==== ====

        Args:
            x: a number,
                and more.
            other, thing: both.

        Source: a book.

        >>> f(1)
        2
        """
    )
    assert markdown == (
        "Does `it`.\n\n```text\n==== ====\na    b\n==== ====\n```\n\n**Args**\n\n- `x`: a number, and more.\n"
        "- `other, thing`: both.\n\n**Source**: a book.\n\n```pycon\n>>> f(1)\n2\n```\n"
    )


@pytest.mark.parametrize(
    "module",
    [
        "cache",
        "pages.block_manager",
        "pages.block_table",
        "drawing.draw",
        "pages.occupancy",
        "pages.padding",
        "pages.paged_kv_cache",
        "pages.storage",
        "status",
    ],
)
def test_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"ms_scatter_pa.{module}"))
    assert result.attempted
    assert not result.failed
