"""The table in documents, between two markers, and the operator's description for CANN's ``msopgen``."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ms_scatter_pa.rules.schema import DType, Operator, Target

from .load import Table
from .op_host import tensor_dtypes

BEGIN, END = "<!-- {} -->", "<!-- /{} -->"
DOCUMENTS = {"README.md": "support-summary", "README.zh-CN.md": "support-summary", "docs/support.md": "support-table"}
"""Document -> the block that it holds."""

_MEANS = {"vector": "copies, mean", "scalar": "copies, mean (scalar)", "lookup": "copies, mean (table lookup)"}


def support_table(table: Table) -> str:
    """Markdown: dtypes down, targets across; a cell says whether rows are copied and how Rope's mean row is made."""
    head = ["dtype", *(f"{target.name} ({target.parts})" for target in table.targets)]
    rows = [head, ["---"] * len(head)]
    rows += [[f"`{dtype.name}`", *(_cell(target, dtype.name) for target in table.targets)] for dtype in table.dtypes]
    notes = [
        "Copies: Norm, PA_NZ, NHSD, Alibi, Omni and key-only writes. Mean: Rope's mean row. Nothing of the Ascend "
        "columns has run on a chip yet.",
        f"K and V share one dtype; in PA_NZ they may differ: {_mixed(table)}.",
        *(
            f"{what} {_by_answer(table, partial(_caches_of, operator, scaled=scaled))}."
            for what, scaled, operator in _beside_the_write(table)
        ),
        f"Indices: {' or '.join(f'`{dtype.name}`' for dtype in table.index_dtypes)}, all of one dtype.",
    ]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", *(f"- {note}" for note in notes)])


def support_summary(table: Table) -> str:
    """Markdown: kinds of dtypes down, parts across; below them the operators beside the write."""
    parts: dict[str, list[Target]] = {}
    for target in table.targets:
        answers = repr((target.dtypes, target.mixed, target.codes))
        parts.setdefault(answers if target.device == "Ascend" else target.name, []).append(target)
    kinds = {
        "floats": [d for d in table.dtypes if d.kind == "float" and d.itemsize > 1],
        "integers": [d for d in table.dtypes if d.kind == "int"],
        "8-bit floats": [d for d in table.dtypes if d.kind == "float" and d.itemsize == 1],
    }
    kinds = {kind if "bit" in kind else f"{_bits(dtypes)} {kind}": dtypes for kind, dtypes in kinds.items()}
    head = [
        f"`{next(operator.name for operator in table.operators if not operator.scaled_rows)}`",
        *(_either([t.parts if t.device == "Ascend" else t.name for t in same], "and") for same in parts.values()),
    ]
    rows = [head, ["---"] * len(head)]
    for kind, dtypes in kinds.items():
        cells = ["yes" if all(d.name in same[0].dtypes for d in dtypes) else "-" for same in parts.values()]
        rows.append([f"{kind} ({', '.join(f'`{d.name}`' for d in dtypes)})", *cells])
    rows.append(["K and V of different dtypes (PA_NZ)", *(_mixed_on(same[0]) for same in parts.values())])
    for what, scaled, operator in _beside_the_write(table):
        rows.append([what, *(_caches_of(operator, same[0], scaled) for same in parts.values())])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _beside_the_write(table: Table) -> list[tuple[str, bool, Operator]]:
    """What the other operators do with caches, whether scales take part, and the operator."""
    found = []
    for operator in table.operators:
        if not operator.scaled_rows:
            continue
        rows = _either([f"`{name}`" for name in operator.scaled_rows])
        copies = operator.dtype_groups["key_cache"] != table.codes
        if copies:
            found.append((f"`{operator.name}`: copies caches of", False, operator))
        how = f"dequantises, to {rows}," if copies else f"quantises {rows} into"
        found.append((f"`{operator.name}`: {how} caches of", True, operator))
    return found


def _caches_of(operator: Operator, target: Target, scaled: bool) -> str:
    """Which caches an operator takes on a target."""
    known = target.codes if scaled else target.dtypes
    taken = [name for name in known if name in operator.dtype_groups["key_cache"]]
    return "the dtypes above" if tuple(taken) == target.dtypes else _either([f"`{name}`" for name in taken])


def _bits(dtypes: list[DType]) -> str:
    """As in "8-, 16- and 32-bit"."""
    *others, last = sorted({8 * dtype.itemsize for dtype in dtypes})
    return _either([*(f"{size}-" for size in others), f"{last}-bit"], "and")


def _cell(target: Target, dtype: str) -> str:
    if dtype not in target.dtypes:
        return "-"
    path = target.mean.get(dtype)
    return "copies" if path is None else _MEANS[path]


def _mixed(table: Table) -> str:
    """What K and V may be where they differ."""
    return _by_answer(table, _mixed_on)


def _by_answer(table: Table, ask: Callable[[Target], str]) -> str:
    """What is asked of every target, those with the same answer together."""
    answers: dict[str, list[str]] = {}
    for target in table.targets:
        answers.setdefault(ask(target), []).append(target.name)
    return "; ".join(f"{answer} on {_either(names, 'and')}" for answer, names in answers.items())


def _mixed_on(target: Target) -> str:
    if target.mixed is None:
        return "any two"
    values: dict[tuple[str, ...], list[str]] = {}
    for key in dict.fromkeys(key for key, _ in target.mixed):
        values.setdefault(tuple(f"`{v}`" for k, v in target.mixed if k == key), []).append(f"`{key}`")
    return ", ".join(f"{_either(keys)} K with {_either(list(kinds))} V" for kinds, keys in values.items())


def _either(names: list[str], word: str = "or") -> str:
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def replace_block(text: str, block: str, table: Table) -> str:
    """A document's text with the block between its markers renewed.

    Raises:
        ValueError: a marker is missing.
    """
    first, last = BEGIN.format(block), END.format(block)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"expected the lines {first} and {last}")
    content = support_summary(table) if block == "support-summary" else support_table(table)
    return f"{before}{first}\n{content}\n{last}{after}"


def msopgen_path(operator: Operator, target: Target) -> str:
    """Where the description stands."""
    return f"op_info/msopgen/{operator.registered_name}.{target.name}.json"


def msopgen_json(table: Table, operator: Operator, target: Target) -> str:
    """The operator description that CANN's ``msopgen gen -i`` takes."""
    dtypes = tensor_dtypes(table, operator, target)
    described = {
        "op": operator.registered_name,
        "language": "cpp",
        "input_desc": [_description(name, dtypes[name]) for name in operator.ascend_input_names],
        "output_desc": [_description(name, dtypes[name]) for name in operator.ascend_output_names],
    }
    return _json([described])


def _description(name: str, types: list[str]) -> dict[str, Any]:
    return {"name": name, "param_type": "required", "format": ["ND"] * len(types), "type": types}


def _json(value: Any) -> str:
    """Indented, with each list of words on one line."""
    lines: list[str] = []
    for line in json.dumps(value, indent=1).splitlines():
        inside = (
            bool(lines)
            and lines[-1].lstrip().startswith(('"format": [', '"type": ['))
            and not lines[-1].endswith(("]", "],"))
        )
        if inside:
            lines[-1] += ("" if lines[-1].endswith("[") or line.strip().startswith("]") else " ") + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"
