"""Pages with Python in them run, block by block in their order, and print what they say."""

import re
import sys
from pathlib import Path
from types import ModuleType

import mindspore as ms
import pytest

ROOT = Path(__file__).resolve().parents[2]
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


EVERY_PAGE = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))


# Blocks of Python in a page that is run.
RUN = {"README.md": 3, "README.zh-CN.md": 3, "docs/gather_and_quantise.md": 2, "docs/gather_and_quantise.zh-CN.md": 2}
ELSEWHERE = {
    "docs/tutorial.md": "above",
    "docs/api.md": "its examples are those of docstrings: test_api_reference.py",
    "docs/networks.md": "it registers kernels, which a process keeps: tests/dropin",
}


@pytest.mark.parametrize(("document", "count"), RUN.items())
def test_other_pages(document, count, in_folder, monkeypatch, capsys):
    places = list(run(document, in_folder, monkeypatch, capsys))
    assert len(places) == count
    assert all(found == expected for _, found, expected in places if expected is not None)


def test_no_page_with_python_is_left_out():
    with_python = {page for page in EVERY_PAGE if BLOCK.search((ROOT / page).read_text(encoding="utf-8"))}
    assert with_python == {*RUN, *ELSEWHERE}


def anchors(page):
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r"^##+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", EVERY_PAGE)
def test_links_lead_somewhere(document):
    here = ROOT / document
    for target in re.findall(r"\]\(([^)]+)\)", here.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if ":" in name:
            continue
        page = here.parent / name if name else here
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target
