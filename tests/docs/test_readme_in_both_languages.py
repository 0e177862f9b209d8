"""README.md and README.zh-CN.md say the same: the same code, tables, links, numbers and names, section by section."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
SUMMARY = re.compile(r"<!-- support-summary -->.*?<!-- /support-summary -->", re.DOTALL)
THE_OTHER = {"README.md", "README.zh-CN.md"}


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


ENGLISH, CHINESE = sections("README.md"), sections("README.zh-CN.md")


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


def links(section: str) -> Counter[str]:
    targets = re.findall(r"\]\(([^)]+)\)", prose(section))
    return Counter(target for target in targets if target not in THE_OTHER)


def tables(section: str) -> list[int]:
    return [line.count("|") for line in prose(section).splitlines() if line.startswith("|")]


def items(section: str) -> int:
    return len(re.findall(r"^- ", prose(section), re.MULTILINE))


def numbers(section: str) -> Counter[str]:
    without_names = re.sub(r"`[^`]*`|\]\([^)]+\)", "", prose(section))
    return Counter(re.findall(r"(?<![\w.])\d+(?:\.\d+)*(?:\.post\d)?", without_names))


def test_the_headings_are_of_the_same_ranks():
    ranks = [[section.split(" ")[0] for section in language[1:]] for language in (ENGLISH, CHINESE)]
    assert ranks[0] == ranks[1]


@pytest.mark.parametrize("place", range(len(ENGLISH)), ids=lambda place: ENGLISH[place].splitlines()[0].strip("# "))
@pytest.mark.parametrize("of", [code, links, tables, items, names, numbers], ids=lambda of: of.__name__)
def test_a_section_has_the_same(of, place):
    assert of(CHINESE[place]) == of(ENGLISH[place])
