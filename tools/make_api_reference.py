"""Writes docs/api.md from the docstrings of the public names; ``--check`` only tells whether it is current.

The source is parsed, not imported, so this runs without MindSpore.
"""

import argparse
import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ms_scatter_pa"
OUTPUT = ROOT / "docs" / "api.md"
# Modules whose public names are documented: what __all__ lists, else every public function and class.
MODULES = (
    PACKAGE,
    f"{PACKAGE}.pages",
    f"{PACKAGE}.drawing",
    f"{PACKAGE}.cache",
    f"{PACKAGE}.hifloat8",
    f"{PACKAGE}.compat",
    f"{PACKAGE}.cli.show",
)
SECTIONS = ("Args", "Inputs", "Outputs", "Returns", "Raises", "Attributes", "Source", "Example")
MAX_SIGNATURE = 100

HEADER = """\
# API reference

Generated from the docstrings by `python tools/make_api_reference.py`; a test fails when it is not current. Symbols: T
tokens, N heads, D head size, NB `num_blocks`, BS `block_size`, LD = 32 bytes / itemsize, B batch.
"""

Definition = ast.FunctionDef | ast.ClassDef


class Public(NamedTuple):
    """A public name and where it is defined."""

    name: str
    node: Definition


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; return 1 when docs/api.md is not current")
    check = parser.parse_args().check
    text = make_reference()
    if not check:
        OUTPUT.write_text(text, encoding="utf-8")
    elif not OUTPUT.is_file() or OUTPUT.read_text(encoding="utf-8") != text:
        print("docs/api.md is not current: run python tools/make_api_reference.py", file=sys.stderr)
        return 1
    return 0


def make_reference() -> str:
    """The whole page."""
    parts = [HEADER]
    described: dict[str, str] = {}
    for module in MODULES:
        entries = list(public_names(module))
        parts.append(f"## {module}\n")
        parts.append(to_markdown(ast.get_docstring(parse(module)) or ""))
        for entry in entries:
            if entry.name in described:
                parts.append(f"### {entry.name}\n\nSee [{described[entry.name]}](#{entry.name.lower()}).\n")
            else:
                described[entry.name] = f"{module}.{entry.name}"
                parts.append(describe(entry))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def parse(module: str) -> ast.Module:
    """The syntax tree of a module of the package."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def public_names(module: str) -> Iterator[Public]:
    """The documented names of a module, each with its definition, wherever that is; constants are left out."""
    tree = parse(module)
    listed = _dunder_all(tree)
    if listed is None:
        listed = [node.name for node in tree.body if isinstance(node, Definition) and not node.name.startswith("_")]
    for name in listed:
        node = _find(module, tree, name)
        if node is not None:
            yield Public(name, node)


def _dunder_all(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def _find(module: str, tree: ast.Module, name: str) -> Definition | None:
    for node in tree.body:
        if isinstance(node, Definition) and node.name == name:
            return node
    for node in ast.walk(tree):  # imports under TYPE_CHECKING count too
        if isinstance(node, ast.ImportFrom) and node.level == 1 and any(alias.name == name for alias in node.names):
            is_package = ROOT.joinpath(*module.split(".")).is_dir()
            home = f"{module if is_package else module.rpartition('.')[0]}.{node.module}"
            return _find(home, parse(home), name)
    return None


def describe(entry: Public) -> str:
    """A function, or a class with its public methods."""
    name, node = entry
    parts = [f"### {name}\n", _fence(_signature(name, node)), to_markdown(ast.get_docstring(node) or "")]
    if isinstance(node, ast.ClassDef):
        if bases := [
            f"[{base.id}](#{base.id.lower()})"
            for base in node.bases
            if isinstance(base, ast.Name) and not hasattr(builtins, base.id) and not base.id.startswith("_")
        ]:
            parts.append(f"Has what {' and '.join(bases)} has, and:\n")
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                parts.append(f"#### {name}.{member.name}\n")
                parts.append(_fence(_signature(member.name, member)))
                parts.append(to_markdown(ast.get_docstring(member) or ""))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _fence(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```\n"


def _signature(name: str, node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        init = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
        if init is not None:
            return "class " + _signature(name, init).removesuffix(" -> None")
        fields = [f"    {ast.unparse(member)}" for member in node.body if isinstance(member, ast.AnnAssign)]
        return "\n".join([f"class {name}({', '.join(map(ast.unparse, node.bases))})".replace("()", ":"), *fields])
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    arguments = ast.unparse(node.args)
    if arguments.split(",")[0] in ("self", "cls"):
        arguments = arguments.partition(",")[2].strip()
    result = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    if "property" in decorators:
        return name + result.replace(" ->", ":")
    line = f"{name}({arguments}){result}"
    if len(line) <= MAX_SIGNATURE:
        return line
    pieces = re.split(r", (?![^\[]*\])", arguments)
    return f"{name}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){result}"


def to_markdown(docstring: str) -> str:
    """Turns a docstring's sections, doctests and tables into Markdown."""
    lines = inspect.cleandoc(docstring).splitlines()
    out: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        block = _section(lines, index) or _verbatim(lines, index)
        if block is None:
            out.append(_inline(line))
            index += 1
        else:
            text, index = block
            if out and out[-1]:
                out.append("")
            out += [*text, ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip() + "\n"


def _section(lines: list[str], start: int) -> tuple[list[str], int] | None:
    match = re.match(rf"({'|'.join(SECTIONS)}):\s*(.*)$", lines[start])
    if match is None:
        return None
    end = start + 1
    while end < len(lines) and (not lines[end] or lines[end].startswith("    ")):
        end += 1
    body = inspect.cleandoc("\n".join(["", *lines[start + 1 : end]])).splitlines()
    title = f"**{match[1]}**"
    if match[2]:
        return [_inline(f"{title}: {' '.join([match[2], *body])}")], end
    if match[1] == "Example":
        return [title, "", *_doctest(body)], end
    return [title, "", *_items(body)], end


def _items(body: list[str]) -> list[str]:
    """``name: text`` with indented continuations as a list; anything else as it stands."""
    items: list[str] = []
    for line in body:
        if line.startswith(" ") and items:
            items[-1] += " " + _inline(line.strip())
            continue
        name, colon, text = line.partition(": ")
        names = colon and re.fullmatch(r"[\w*.]+(, [\w*.]+)*", name)
        items.append(f"- `{name}`: {_inline(text)}" if names else _inline(line))
    return items


def _verbatim(lines: list[str], start: int) -> tuple[list[str], int] | None:
    """Doctests and tables of the text."""
    if lines[start].startswith(">>> "):
        end = start
        while end < len(lines) and lines[end]:
            end += 1
        return _doctest(lines[start:end]), end
    if lines[start].startswith("===="):
        ends = [i for i in range(start, len(lines)) if lines[i].startswith("====")]
        return _fence("\n".join(lines[start : ends[-1] + 1]), "text").splitlines(), ends[-1] + 1
    return None


def _doctest(lines: list[str]) -> list[str]:
    return _fence("\n".join(lines).strip().replace("<BLANKLINE>", ""), "pycon").splitlines()


def _inline(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    raise SystemExit(main())
