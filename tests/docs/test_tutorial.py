"""The tutorial runs, block by block in its order, and prints what it says; its picture is the one in ``docs``."""

import re
import sys
from pathlib import Path
from types import ModuleType

import mindspore as ms
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:```text\n(?P<output>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    mode = ms.get_context("mode")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    ms.set_context(mode=mode)


def test_tutorial_runs_and_prints_what_it_says(in_folder, monkeypatch, capsys):
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    module = ModuleType("tutorial")
    monkeypatch.setitem(sys.modules, "tutorial", module)
    # Graph mode reads the source of what it compiles: it gets the tutorial's Python lines at their own line numbers.
    source = in_folder / "tutorial.py"
    lines = [""] * text.count("\n")
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        start = text.count("\n", 0, block.start("code"))
        code = block["code"].splitlines()
        lines[start : start + len(code)] = code
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    module.__file__ = str(source)
    for block in blocks:
        start = text.count("\n", 0, block.start("code"))
        exec(compile("\n" * start + block["code"], str(source), "exec"), module.__dict__)
        assert capsys.readouterr().out == (block["output"] or ""), f"docs/tutorial.md:{start}"
    assert len(blocks) == text.count("```python\n")
    drawn = (in_folder / "occupancy.svg").read_text(encoding="utf-8")
    assert drawn == (DOCS / "occupancy.svg").read_text(encoding="utf-8"), "docs/occupancy.svg is not what is drawn"


def test_links_of_the_tutorial_lead_somewhere():
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOCS / target).is_file(), target
    anchors = {"#" + title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\((#[^)]+)\)", text)) <= anchors
