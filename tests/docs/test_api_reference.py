"""docs/api.md is what the docstrings say, and every example in a docstring runs."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.children import HANGS_AFTER

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


def test_every_entry_has_text_and_every_name_of_use_an_example(tool):
    """A method shares its class's example, and a module's helpers the module's."""
    sections = re.split(r"^## ", tool.make_reference(), flags=re.MULTILINE)[1:]
    assert len(sections) == len(tool.MODULES)
    for section in sections:
        module, _, rest = section.partition("\n")
        for entry in re.split(r"^(?=###)", rest, flags=re.MULTILINE)[1:]:
            name, _, body = entry.partition("\n")
            text = re.sub(r"```.*?```", "", body, flags=re.DOTALL).strip()
            assert text, f"{module}: {name} has no docstring"
            if module in ("ms_scatter_pa", "ms_scatter_pa.pages") and not name.startswith("####"):
                assert ">>> " in body or text.startswith("See ["), f"{module}: {name} has no example"


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


# In a process of its own: an example registers kernels, others change what a process keeps.
RUN_ALL = """
import doctest, importlib, sys
for name in sys.argv[1:]:
    result = doctest.testmod(importlib.import_module(name))
    print(name, result.attempted, result.failed)
"""


def test_every_example_in_a_docstring_runs():
    package = ROOT / "ms_scatter_pa"
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted(package.rglob("*.py"))
        if ">>>" in path.read_text(encoding="utf-8")
    ]
    command = [sys.executable, "-c", RUN_ALL, *modules]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_AFTER, check=False)
    assert result.returncode == 0, result.stderr
    ran = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.startswith("ms_scatter_pa")}
    assert list(ran) == modules, result.stdout
    for name, (attempted, failed) in ran.items():
        assert int(attempted) and not int(failed), f"{name}\n{result.stdout}"
