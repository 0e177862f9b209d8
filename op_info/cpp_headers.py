"""Writes the header of the table that the CPU's core and entries include, and the one of the Ascend kernels.

Both are C, with a C++ part; they share words, not a file: each folder is complete by itself.
"""

from .load import Cpp, Table

CPU = "cpu_kernels/core/op_info.h"
ASCEND = "aicore_kernels/op_kernel/ms_scatter_pa_op_info.h"


def render(table: Table, *, ascend: bool) -> str:
    """A header's text, before the formatter.

    Args:
        table: the table.
        ascend: for ``aicore_kernels``, whose C++ is C++11 and where argument positions go on with the extra inputs.
    """
    guard = "MS_SCATTER_PA_OP_INFO_H_" if ascend else "MS_SCATTER_PA_CORE_OP_INFO_H_"
    lines = [
        "// The table: enumerators, item sizes, argument positions, the status. Generated from op_info by",
        "// `python -m op_info`: do not edit.",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        *_functions_macro(ascend),
        "",
        *_enum("MsspElementType", "MSSP_", table.dtypes, "MSSP_NUM_ELEMENT_TYPES"),
        *_enum("MsspIndexType", "MSSP_INDEX_", table.index_dtypes, "MSSP_NUM_INDEX_TYPES"),
        *_enum_of_names("MsspLayout", table.cache_modes, "MSSP_NUM_LAYOUTS"),
        *_enum_of_names("MsspScatterMode", table.scatter_modes, "MSSP_NUM_SCATTER_MODES"),
        *_enum_of_names("MsspScalingKind", table.scaling_kinds, "MSSP_NUM_SCALING_KINDS"),
        *_status(table),
        f"enum {{ MSSP_UNIT_BYTES = {table.unit_bytes}, MSSP_MAX_RANK = {table.max_rank} }};",
        "",
        "// Bytes of one element; 0 for what is no element type.",
        *_item_size("MsspItemSize", "MSSP_", table.dtypes, ascend),
        "// Bytes of one index; 0 for what is no index type.",
        *_item_size("MsspIndexSize", "MSSP_INDEX_", table.index_dtypes, ascend),
        *(line for operator in table.operators for line in _operator(operator, table, ascend)),
        f"#endif  // {guard}",
        "",
    ]
    return "\n".join(lines)


def _functions_macro(ascend: bool) -> list[str]:
    # The device compiler defines __CCE_AICORE__; __aicore__ is a macro of the header, which may come later.
    device = [
        "#if defined(__CCE_AICORE__)",
        '#include "kernel_operator.h"',
        "#define MSSP_FN __aicore__ inline",
        "#elif defined(__cplusplus)",
    ]
    return [
        "#ifndef MSSP_FN",
        *(device if ascend else ["#if defined(__cplusplus)"]),
        "#define MSSP_FN inline",
        "#else",
        "#define MSSP_FN static inline",
        "#endif",
        "#endif",
    ]


def _enum(name: str, prefix: str, rows: object, count: str) -> list[str]:
    lines = [f"{prefix}{row.name.upper()} = {row.code}," for row in rows]  # type: ignore[attr-defined]
    return [f"enum {name} {{", *lines, "};", f"enum {{ {count} = {len(lines)} }};", ""]


def _enum_of_names(name: str, names: tuple[str, ...], count: str) -> list[str]:
    body = ", ".join(f"MSSP_{value.upper()} = {code}" for code, value in enumerate(names))
    return [f"enum {name} {{ {body} }};", f"enum {{ {count} = {len(names)} }};", ""]


def _status(table: Table) -> list[str]:
    codes: list[str] = []
    for code in table.status_codes:
        codes += [f"// {code.means}", f"MSSP_{code.name.upper()} = {code.code},"]
    fields = ", ".join(table.status_fields)
    return [
        "enum MsspStatusCode {",
        *codes,
        "};",
        f"// A status is int64 [{fields}].",
        f"enum {{ MSSP_STATUS_SIZE = {len(table.status_fields)} }};",
        "",
    ]


def _item_size(function: str, prefix: str, rows: object, ascend: bool) -> list[str]:
    by_size: dict[int, list[str]] = {}
    for row in rows:  # type: ignore[attr-defined]
        by_size.setdefault(row.itemsize, []).append(f"{prefix}{row.name.upper()}")
    lines = [f"MSSP_FN int64_t {function}({'int32_t' if ascend else 'int64_t'} type) {{", "switch (type) {"]
    for size, names in sorted(by_size.items()):
        lines += [*(f"case {name}:" for name in names), f"return {size};"]
    return [*lines, "default:", "return 0;", "}", "}", ""]


def camel(name: str) -> str:
    """The name as C++ types and constants have it."""
    return "".join(word.capitalize() for word in name.split("_"))


def _operator(operator, table: Table, ascend: bool) -> list[str]:  # type: ignore[no-untyped-def]
    cpp: Cpp = table.cpp[operator.name]
    arguments = [argument.name for argument in operator.arguments]
    lines = [f"// {operator.name}"]
    if ascend:
        return [*lines, *_ascend_positions(operator, cpp)]
    lines += [
        "typedef struct {",
        *(
            f"int64_t {n};" + (f"  // {m}" if m else "")
            for n, m in zip(operator.options, cpp.option_means, strict=True)
        ),
        f"}} {cpp.options};",
        f"enum {{ {cpp.prefix}_NUM_ARGUMENTS = {len(arguments)}, {cpp.prefix}_NUM_MODES = {len(operator.modes)},",
        f"{cpp.prefix}_NUM_OPTIONS = {len(operator.options)} }};",
        "",
        "#ifdef __cplusplus",
        *(f"namespace {part} {{" for part in cpp.namespace.split("::")),
        "",
        "enum Argument {",
        *(f"k{camel(name)} = {position}," for position, name in enumerate(arguments)),
        "};",
        "",
        "inline constexpr const char* kArgumentNames[] = {" + ", ".join(f'"{name}"' for name in arguments) + "};",
        "inline constexpr int kArgumentMinRank[] = {" + _each(min(a.ranks) for a in operator.arguments) + "};",
        "inline constexpr int kArgumentMaxRank[] = {" + _each(max(a.ranks) for a in operator.arguments) + "};",
        "",
        *(f"}}  // namespace {part}" for part in reversed(cpp.namespace.split("::"))),
        "#endif  // __cplusplus",
        "",
    ]
    return lines


def _each(numbers: object) -> str:
    return ", ".join(str(number) for number in numbers)  # type: ignore[attr-defined]


def _ascend_positions(operator, cpp: Cpp) -> list[str]:  # type: ignore[no-untyped-def]
    """Positions of the inputs and the outputs of the op definition, for op_host."""
    namespace = cpp.namespace.replace("mssp", "mssp_host", 1)
    return [
        "#if defined(__cplusplus) && !defined(__CCE_AICORE__)",
        *(f"namespace {part} {{" for part in namespace.split("::")),
        "",
        "enum Input {",
        *(f"k{camel(name)}," for name in operator.ascend_input_names),
        "kInputs",
        "};",
        "enum Output {",
        *(f"k{camel(name)}Output," for name in operator.ascend_output_names),
        "kOutputs",
        "};",
        "",
        *(f"}}  // namespace {part}" for part in reversed(namespace.split("::"))),
        "#endif",
        "",
    ]
