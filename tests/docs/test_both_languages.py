"""A page and its Chinese one say the same: the same code, tables, links, numbers and names, section by section."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
SUMMARY = re.compile(r"<!-- support-summary -->.*?<!-- /support-summary -->", re.DOTALL)
CHINESE = ".zh-CN.md"


def sections(name: str) -> list[str]:
    """What stands between two headings, the first part before any."""
    text = SUMMARY.sub("", (ROOT / name).read_text(encoding="utf-8"))
    code = [match.span() for match in FENCE.finditer(text)]
    headings = [
        match.start()
        for match in re.finditer(r"^##+ ", text, re.MULTILINE)
        if not any(start <= match.start() < end for start, end in code)
    ]
    return [text[start:end] for start, end in zip([0, *headings], [*headings, len(text)], strict=True)]


PAGES = sorted(
    str(path.relative_to(ROOT)).replace(CHINESE, ".md")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name.endswith(CHINESE)
)
PAIRS = {page: (sections(page), sections(page.replace(".md", CHINESE))) for page in PAGES}
SECTIONS = [
    pytest.param(page, *pair, id=f"{page}, {pair[0].splitlines()[0].strip('# ')}")
    for page, both in PAIRS.items()
    for pair in zip(*both, strict=False)
]


def code(section: str) -> list[str]:
    """Python without its comments; of other code the part of each line that is ASCII and before a comment."""
    found = []
    for language, block in FENCE.findall(section):
        if language == "python":
            found.append(ast.dump(ast.parse(block)))
        else:
            lines = (re.split(r"\s+#|\s{8,}slot|\s+\+-", line)[0].rstrip() for line in block.splitlines())
            found.append("\n".join(line for line in lines if line.isascii()))
    return found


def prose(section: str) -> str:
    return FENCE.sub("", section)


def names(section: str) -> Counter[str]:
    """What is set as code. How often is not compared: sentences are built differently."""
    return Counter(set(re.findall(r"`([^`\n]+)`", prose(section))))


def links(section: str, page: str) -> Counter[str]:
    """To other pages than the other language's own; a page that exists in both counts as one, wherever in it."""
    targets = []
    for target in re.findall(r"\]\(([^)]+)\)", prose(section)):
        name, _, anchor = target.replace(CHINESE, ".md").partition("#")
        if name != Path(page).name:
            both = ((ROOT / page).parent / name).with_suffix(CHINESE).exists()
            targets.append(name if both else f"{name}#{anchor}")
    return Counter(targets)


def tables(section: str) -> list[int]:
    return [line.count("|") for line in prose(section).splitlines() if line.startswith("|")]


def items(section: str) -> int:
    return len(re.findall(r"^- ", prose(section), re.MULTILINE))


def numbers(section: str) -> Counter[str]:
    without_names = re.sub(r"`[^`]*`|\]\([^)]+\)", "", prose(section))
    return Counter(re.findall(r"(?<![\w.])\d+(?:\.\d+)*(?:\.post\d)?", without_names))


def test_there_are_pages_in_both_languages():
    assert {"README.md", "docs/gather_and_quantise.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_each_leads_to_the_other(page):
    names = (Path(page).name, Path(page).name.replace(".md", CHINESE))
    for name, other, beginning in zip(names, names[::-1], [part[0] for part in PAIRS[page]], strict=True):
        assert f"]({other})" in beginning, name


@pytest.mark.parametrize("page", PAGES)
def test_the_headings_are_of_the_same_ranks(page):
    ranks = [[section.split(" ")[0] for section in language[1:]] for language in PAIRS[page]]
    assert ranks[0] == ranks[1]


@pytest.mark.parametrize(("page", "english", "chinese"), SECTIONS)
@pytest.mark.parametrize("of", [code, tables, items, names, numbers], ids=lambda of: of.__name__)
def test_a_section_has_the_same(of, page, english, chinese):
    assert of(chinese) == of(english)


@pytest.mark.parametrize(("page", "english", "chinese"), SECTIONS)
def test_a_section_has_the_same_links(page, english, chinese):
    assert links(chinese, page) == links(english, page)
