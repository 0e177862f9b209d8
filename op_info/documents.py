"""The table in documents, between two markers, and the operator's description for CANN's ``msopgen``."""

import json
from typing import Any

from ms_scatter_pa.rules.schema import Operator, Target

from .load import Table
from .op_host import tensor_dtypes

BEGIN, END = "<!-- support-table -->", "<!-- /support-table -->"
DOCUMENTS = ("README.md", "README.zh-CN.md", "docs/support.md")

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
        f"Indices: {' or '.join(f'`{dtype.name}`' for dtype in table.index_dtypes)}, all of one dtype.",
    ]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", *(f"- {note}" for note in notes)])


def _cell(target: Target, dtype: str) -> str:
    if dtype not in target.dtypes:
        return "-"
    path = target.mean.get(dtype)
    return "copies" if path is None else _MEANS[path]


def _mixed(table: Table) -> str:
    """What K and V may be where they differ, targets with the same answer together."""
    answers: dict[str, list[str]] = {}
    for target in table.targets:
        answers.setdefault(_mixed_on(target), []).append(target.name)
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


def replace_table(text: str, table: Table) -> str:
    """A document's text with the block between the markers renewed.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{support_table(table)}\n{END}{after}"


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
