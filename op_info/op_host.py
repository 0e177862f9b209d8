"""Writes the headers of ``op_host`` that the op definitions read: dtypes, columns, inputs, outputs and parts."""

from ms_scatter_pa.rules.schema import Operator, Target

from .cpp_headers import camel
from .load import Table

PATH = "aicore_kernels/op_host/ms_scatter_pa_op_def.h"
PAGED_PATH = "aicore_kernels/op_host/ms_scatter_pa_paged_op_def.h"
_COLUMNS_PER_LINE = 5

_HEAD = """\
// Generated from op_info by `python -m op_info`: do not edit. One column per compiled combination of dtypes.
#ifndef MS_SCATTER_PA_OP_DEF_H_
#define MS_SCATTER_PA_OP_DEF_H_

#include <stddef.h>

#include <vector>

#include "graph/types.h"
#include "ms_scatter_pa_kv_cache_tiling.h"

// CANN with the 8-bit floats of the 950 parts has this header; CANN 8.1 has not, and knows neither.
#if __has_include(<graph/c_types.h>)
#define MS_SCATTER_PA_WITH_ASCEND950 1
#endif

namespace mssp_host {

// An output that is the memory of an input.
struct Reference {
  size_t output;
  size_t input;
};

// MsspElementType of a dtype, or -1 where the operators do not know it.
inline int32_t ElementType(ge::DataType type) {
  switch (type) {
"""

_TAIL = """\
}  // namespace mssp_host

#endif  // MS_SCATTER_PA_OP_DEF_H_
"""


_PAGED_HEAD = """\
// Generated from op_info by `python -m op_info`: do not edit. The gather and the quantising write: one column per compiled
// combination of dtypes.
#ifndef MS_SCATTER_PA_PAGED_OP_DEF_H_
#define MS_SCATTER_PA_PAGED_OP_DEF_H_

#include "ms_scatter_pa_op_def.h"

"""

_PAGED_TAIL = """\
#endif  // MS_SCATTER_PA_PAGED_OP_DEF_H_
"""


def columns(table: Table, operator: Operator, target: Target) -> list[dict[str, str]]:
    """Group -> dtype's name, one column of the op definition each."""
    return [
        {**row, "index": index.name, "scale": "float32"}
        for index in table.index_dtypes
        for row in target.dtype_rows(operator)
    ]


def tensor_dtypes(table: Table, operator: Operator, target: Target) -> dict[str, list[str]]:
    """Every tensor of the Ascend operator by name, with one dtype per compiled combination; ``status`` comes last."""
    rows = columns(table, operator, target)
    dtypes = {argument.name: [row[argument.dtype_group] for row in rows] for argument in operator.arguments}
    dtypes |= {name: [dtype] * len(rows) for name, dtype in operator.ascend_inputs}
    return dtypes | {"status": ["int64"] * len(rows)}


def _families(table: Table) -> list[list[Target]]:
    """The Ascend parts; those with the same columns together, which share one definition."""
    families: list[list[Target]] = []
    for target in table.targets:
        if target.device != "Ascend":
            continue
        same = next((f for f in families if f[0].key_value_dtypes() == target.key_value_dtypes()), None)
        families.append([target]) if same is None else same.append(target)
    return families


def _family_name(family: list[Target]) -> str:
    return "k" + "".join(part for part in family[0].parts.split()[-1:])


def _list(name: str, types: list[str]) -> list[str]:
    lines = [f"static const std::vector<ge::DataType> {name} = {{"]
    for start in range(0, len(types), _COLUMNS_PER_LINE):
        lines.append("    " + " ".join(f"ge::{x}," for x in types[start : start + _COLUMNS_PER_LINE]))
    return [*lines, "};"]


def render(table: Table) -> str:
    """The header's text, before the formatter."""
    ge = {dtype.name: dtype.ge_name for dtype in (*table.index_dtypes, *table.dtypes)}
    lines = [_HEAD.rstrip("\n")]
    for dtype in table.dtypes:
        lines += [f"case ge::{dtype.ge_name}:", f"return MSSP_{dtype.name.upper()};"]
    lines += ["default:", "return -1;", "}", "}", ""]
    write = next(operator for operator in table.operators if _is_write(table, operator))
    lines += _columns_of(table, write, ge)
    for family in _families(table):
        socs = ", ".join(f'"{target.name}"' for target in family)
        lines += _guarded(family, [f"static const char* const {_family_name(family)}Socs[] = {{{socs}}};"])
    lines += ["", *_references(write), *_definition(table, write, ge)]
    return "\n".join(lines) + "\n" + _TAIL


def render_paged(table: Table) -> str:
    """The text of the other operators' header, before the formatter."""
    ge = {dtype.name: dtype.ge_name for dtype in (*table.index_dtypes, *table.dtypes)}
    lines = [_PAGED_HEAD.rstrip("\n")]
    for operator in table.operators:
        if _is_write(table, operator):
            continue
        namespace = table.cpp[operator.name].namespace.replace("mssp", "mssp_host", 1).split("::")
        lines += ["", *(f"namespace {part} {{" for part in namespace), ""]
        lines += [*_columns_of(table, operator, ge), "", *_references(operator)]
        lines += _definition(table, operator, ge)
        lines += [f"}}  // namespace {part}" for part in reversed(namespace)]
    return "\n".join(lines) + "\n\n" + _PAGED_TAIL


def _is_write(table: Table, operator: Operator) -> bool:
    """The write's names stand in ``mssp`` itself, those of the others each in a namespace of their own."""
    return table.cpp[operator.name].namespace == "mssp"


def _groups(operator: Operator) -> list[str]:
    """Groups of dtypes that columns differ in; scales have one dtype."""
    return [group for group in operator.dtype_groups if group != "scale"]


def _columns_of(table: Table, operator: Operator, ge: dict[str, str]) -> list[str]:
    lines: list[str] = []
    for family in _families(table):
        rows = columns(table, operator, family[0])
        lists = ["// clang-format off"]
        for group in _groups(operator):
            lists += _list(f"{_family_name(family)}{camel(group)}Types", [ge[row[group]] for row in rows])
        lines += _guarded(family, [*lists, "// clang-format on"])
    return lines


def _guarded(family: list[Target], lines: list[str]) -> list[str]:
    """What only a CANN that knows the 950 parts compiles."""
    if family[0].name != "ascend950":
        return lines
    return ["#ifdef MS_SCATTER_PA_WITH_ASCEND950", *lines, "#endif"]


def _references(operator: Operator) -> list[str]:
    """Which input each output but status is."""
    names = [camel(name) for name in operator.ascend_output_names if name != "status"]
    pairs = ", ".join(f"{{k{name}Output, k{name}}}" for name in names)
    return [f"constexpr Reference kReferences[] = {{{pairs}}};", ""]


def _definition(table: Table, operator: Operator, ge: dict[str, str]) -> list[str]:
    """A call of ``describe(parameter, types)`` for every input and output, in order, with the columns of each family."""
    groups = {argument.name: argument.dtype_group for argument in operator.arguments}
    fixed = dict(operator.ascend_inputs) | {"status": "int64"}

    def types(name: str) -> str:
        if groups.get(name) == "scale":
            return "std::vector<ge::DataType>(key.size(), ge::DT_FLOAT)"
        if name in groups:
            return groups[name]
        return f"std::vector<ge::DataType>(key.size(), ge::{ge.get(fixed[name], 'DT_' + fixed[name].upper())})"

    lines = [
        f"// {operator.name}: every input and output, in order. Works on OpDef and on OpAICoreConfig.",
        "template <typename Definition, typename Describe>",
        f"void DescribeAll{operator.registered_name}(Definition& definition, Describe describe,",
        ", ".join(f"const std::vector<ge::DataType>& {group}" for group in _groups(operator)) + ") {",
    ]
    lines += [f'describe(definition.Input("{name}"), {types(name)});' for name in operator.ascend_input_names]
    lines += [f'describe(definition.Output("{name}"), {types(name)});' for name in operator.ascend_output_names]
    lines += ["}", ""]
    for family in _families(table):
        name = _family_name(family)
        given = ", ".join(f"{name}{camel(group)}Types" for group in _groups(operator))
        described = [
            "template <typename Definition, typename Describe>",
            f"void Describe{name[1:]}{operator.registered_name}(Definition& definition, Describe describe) {{",
            f"DescribeAll{operator.registered_name}(definition, describe, {given});",
            "}",
        ]
        lines += _guarded(family, described)
    return [*lines, ""]
