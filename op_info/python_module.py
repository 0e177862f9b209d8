"""Writes ``ms_scatter_pa/rules/table.py``."""

from dataclasses import fields
from typing import Any

from .load import Table

PATH = "ms_scatter_pa/rules/table.py"

_HEAD = '''\
"""The table: dtypes, modes, status codes, targets and the operators' arguments. Standard library only.

Generated from ``op_info`` by ``python -m op_info``: do not edit.
"""

from typing import Literal, NamedTuple

from .schema import Argument, DType, MeanPath, Operator, Target'''

_TAIL = '''

_BY_NAME = {dtype.name: dtype for dtype in DTYPES}


def dtype_named(name: str) -> DType:
    """The data dtype with that name; KeyError when the table lacks it."""
    return _BY_NAME[name]


def target_named(name: str) -> Target:
    """The target with that name; KeyError when there is none."""
    return {target.name: target for target in TARGETS}[name]
'''


def render(table: Table) -> str:
    """The module's text, before the formatter."""
    parts = [
        _HEAD,
        _rows("DTYPES", "DType", table.dtypes),
        _rows("INDEX_DTYPES", "DType", table.index_dtypes),
        f"CACHE_MODES: tuple[str, ...] = {table.cache_modes!r}",
        f"SCATTER_MODES: tuple[str, ...] = {table.scatter_modes!r}",
        f"COMPRESSED_MODES: tuple[str, ...] = {tuple(mode for mode in table.scatter_modes if mode != 'None')!r}",
        f"ON_ERROR: tuple[str, ...] = {table.on_error!r}",
        f"CacheMode = Literal[{_quoted(table.cache_modes)}]",
        f"ScatterMode = Literal[{_quoted(table.scatter_modes)}]",
        f"OnError = Literal[{_quoted(table.on_error)}]",
        f"SCALING_KINDS: tuple[str, ...] = {table.scaling_kinds!r}",
        f"SCALED_ROWS: tuple[str, ...] = {table.scaled_rows!r}",
        f"CODES: tuple[str, ...] = {table.codes!r}",
        f"GRANULARITIES: tuple[str, ...] = {table.granularities!r}",
        f"STATUS_FIELDS: tuple[str, ...] = {table.status_fields!r}",
        *(f"{code.name.upper()} = {code.code}" for code in table.status_codes),
        f"STATUS_CODES: tuple[str, ...] = {tuple(code.name for code in table.status_codes)!r}",
        f"UNIT_BYTES = {table.unit_bytes}",
        f"MAX_RANK = {table.max_rank}",
        "_DATA = tuple(dtype.name for dtype in DTYPES)",
        "_INDEX = tuple(dtype.name for dtype in INDEX_DTYPES)",
        *_targets(table),
        *(text for operator in table.operators for text in _operator(operator)),
        "ARGUMENTS = SCATTER_PA.arguments",
        f"OPERATORS: tuple[Operator, ...] = ({', '.join(_constant(o.name) for o in table.operators)},)",
        _TAIL,
    ]
    names = {"_DATA": table.dtypes, "_INDEX": table.index_dtypes}
    text = "\n".join(parts)
    for name, dtypes in names.items():
        text = text.replace(repr(tuple(dtype.name for dtype in dtypes)), name)
    return text


def _constant(name: str) -> str:
    return name.removeprefix("npu_").removesuffix("_kv_cache").upper()


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _row(row: Any) -> str:
    given = [f for f in fields(row) if getattr(row, f.name) != f.default]
    return f"{type(row).__name__}({', '.join(f'{f.name}={getattr(row, f.name)!r}' for f in given)})"


def _rows(name: str, kind: str, rows: tuple[Any, ...]) -> str:
    return f"\n{name}: tuple[{kind}, ...] = (\n" + "".join(f"    {_row(row)},\n" for row in rows) + ")"


def _targets(table: Table) -> list[str]:
    means: dict[str, str] = {}
    rows = []
    for target in table.targets:
        name = means.setdefault(repr(target.mean), f"_MEAN_{len(means)}")
        rows.append(_row(target).replace(repr(target.mean), name))
    texts = [f"\n{name}: dict[str, MeanPath] = {mean}" for mean, name in means.items()]
    return [*texts, "\nTARGETS: tuple[Target, ...] = (", *(f"    {row}," for row in rows), ")"]


def _operator(operator: Any) -> list[str]:
    name = _constant(operator.name)
    options = "".join(word.capitalize() for word in name.lower().split("_")) + "Options"
    fields_of_options = "\n".join(f"    {option}: int" for option in operator.options)
    note = f'    """What the C++ side is told of a call of {operator.name}, field by field."""'
    constant = _rows(f"{name}_ARGUMENTS", "Argument", operator.arguments)
    row = _row(operator).replace(repr(operator.arguments), f"{name}_ARGUMENTS")
    return [f"\n\nclass {options}(NamedTuple):\n{note}\n\n{fields_of_options}\n", constant, f"\n{name} = {row}\n"]
