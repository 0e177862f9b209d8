"""What documents and CANN's tools want to know of the table: ``python -m op_info.tables``.

The support table stands in README.md and docs/support.md between two markers; a test compares them with this module.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from ms_scatter_pa.backends.reg_info import ASCEND_EXTRA_INPUTS, ASCEND_OP_NAME, MODE_DTYPE, STATUS_DTYPE
from ms_scatter_pa.rules.arguments import ARGUMENTS
from ms_scatter_pa.rules.dtypes import DTYPES, INDEX_DTYPES
from ms_scatter_pa.rules.targets import TARGETS, Target, target_named

BEGIN, END = "<!-- support-table -->", "<!-- /support-table -->"

_MEANS = {"vector": "copies, mean", "scalar": "copies, mean (scalar)", "lookup": "copies, mean (table lookup)"}


def support_table() -> str:
    """Markdown: dtypes down, targets across; a cell says whether rows are copied and how Rope's mean row is made."""
    head = ["dtype", *(f"{target.name} ({target.parts})" for target in TARGETS)]
    rows = [head, ["---"] * len(head)]
    rows += [[f"`{dtype.name}`", *(_cell(target, dtype.name) for target in TARGETS)] for dtype in DTYPES]
    notes = [
        "Copies: Norm, PA_NZ, NHSD, Alibi, Omni and key-only writes. Mean: Rope's mean row. Nothing of the Ascend "
        "columns has run on a chip yet.",
        f"K and V share one dtype; in PA_NZ they may differ: {_mixed()}.",
        f"Indices: {' or '.join(f'`{dtype.name}`' for dtype in INDEX_DTYPES)}, all of one dtype.",
    ]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", *(f"- {note}" for note in notes)])


def _cell(target: Target, dtype: str) -> str:
    if dtype not in target.dtypes:
        return "-"
    path = target.mean.get(dtype)
    return "copies" if path is None else _MEANS[path]


def _mixed() -> str:
    """What K and V may be where they differ, targets with the same answer together."""
    answers: dict[str, list[str]] = {}
    for target in TARGETS:
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


def replace_table(text: str) -> str:
    """A document's text with the block between the markers made anew.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{support_table()}\n{END}{after}"


def tensor_dtypes(target: Target) -> dict[str, list[str]]:
    """Every tensor of the Ascend operator by name, with one dtype per compiled combination; ``status`` comes last."""
    columns = [(key, value, index.name) for index in INDEX_DTYPES for key, value in target.key_value_dtypes()]
    dtypes = {
        argument.name: [column[("key", "value", "index").index(argument.dtype_group)] for column in columns]
        for argument in ARGUMENTS
    }
    dtypes |= {name: [MODE_DTYPE] * len(columns) for name in ASCEND_EXTRA_INPUTS}
    return dtypes | {"status": [STATUS_DTYPE] * len(columns)}


def outputs() -> tuple[str, ...]:
    """The operator's outputs in order: ``status`` first, since CANN counts the references among the outputs too."""
    return ("status", *(argument.name for argument in ARGUMENTS if argument.written))


def msopgen_json(soc: str) -> list[dict[str, Any]]:
    """The operator description that CANN's ``msopgen gen -i`` takes."""
    dtypes = tensor_dtypes(target_named(soc))
    inputs = [name for name in dtypes if name != "status"]
    return [
        {
            "op": ASCEND_OP_NAME,
            "language": "cpp",
            "input_desc": [_description(name, dtypes[name]) for name in inputs],
            "output_desc": [_description(name, dtypes[name]) for name in outputs()],
        }
    ]


def _description(name: str, types: list[str]) -> dict[str, Any]:
    return {"name": name, "param_type": "required", "format": ["ND"] * len(types), "type": types}


def ops_info_json(soc: str) -> dict[str, Any]:
    """The tensors in ``aic-<soc>-ops-info.json``, as CANN's build writes that file and MindSpore reads it."""
    dtypes = tensor_dtypes(target_named(soc))
    tensors = [("input", index, name) for index, name in enumerate(name for name in dtypes if name != "status")]
    tensors += [("output", index, name) for index, name in enumerate(outputs())]
    described = {
        f"{kind}{index}": {
            "name": name,
            "paramType": "required",
            "dtype": ",".join(dtypes[name]),
            "format": ",".join(["ND"] * len(dtypes[name])),
        }
        for kind, index, name in tensors
    }
    return {ASCEND_OP_NAME: described}


def main(arguments: list[str] | None = None) -> int:
    """The subcommand."""
    parser = argparse.ArgumentParser(description="prints the support table or CANN's operator description from op_info")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", type=Path, nargs="+", metavar="FILE", help="renew the block between the markers")
    choice.add_argument("--msopgen", metavar="SOC", help="the JSON that 'msopgen gen -i' takes")
    options = parser.parse_args(arguments)
    if options.msopgen:
        print(json.dumps(msopgen_json(options.msopgen), indent=2))
        return 0
    for path in options.write or []:
        path.write_text(replace_table(path.read_text()))
    if not options.write:
        print(support_table())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
