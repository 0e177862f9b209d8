"""The tutorial, two pages and both READMEs run, block by block in their order, and print what they say."""

import re
import sys
from pathlib import Path
from types import ModuleType

import mindspore as ms
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("docs/tutorial.md", "docs/performance.md", "docs/gather_and_quantise.md", "README.md", "README.zh-CN.md")
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:```text\n(?P<output>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    mode = ms.get_context("mode")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    ms.set_context(mode=mode)


def run(document, folder, monkeypatch, capsys):
    """Runs all blocks of Python in one module; yields the line and what was printed, found and expected."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [
        (text.count("\n", 0, block.start("code")), block["code"], block["output"]) for block in BLOCK.finditer(text)
    ]
    assert len(blocks) == text.count("```python\n")
    # Graph mode reads the source of what it compiles: it gets the document's Python lines at their own line numbers.
    lines = [""] * text.count("\n")
    for start, code, _ in blocks:
        lines[start : start + code.count("\n")] = code.splitlines()
    source = folder / "document.py"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    module = ModuleType("document")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "document", module)
    for start, code, expected in blocks:
        exec(compile("\n" * start + code, str(source), "exec"), module.__dict__)
        yield f"{document}:{start}", capsys.readouterr().out, expected


def test_tutorial(in_folder, monkeypatch, capsys):
    for place, found, expected in run("docs/tutorial.md", in_folder, monkeypatch, capsys):
        assert found == (expected or ""), place
    drawn = (in_folder / "occupancy.svg").read_text(encoding="utf-8")
    assert drawn == (ROOT / "docs/occupancy.svg").read_text(encoding="utf-8"), "docs/occupancy.svg is not what is drawn"


def test_chinese_readme(in_folder, monkeypatch, capsys):
    assert len(list(run("README.zh-CN.md", in_folder, monkeypatch, capsys))) == 3


def test_readme(in_folder, monkeypatch, capsys):
    assert len(list(run("README.md", in_folder, monkeypatch, capsys))) == 3


EVERY_PAGE = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize("document", EVERY_PAGE)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert ((ROOT / document).parent / target).exists(), target
    anchors = {"#" + title.lower().replace(" ", "-") for title in re.findall(r"^##+ (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\((#[^)]+)\)", text)) <= anchors
