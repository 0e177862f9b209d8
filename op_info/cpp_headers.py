"""Writes the headers of the table.

One is what all C++ shares; it stands in ``op_kernel``, since CANN and ``build-ascend`` compile ``op_host`` and
``op_kernel`` without anything else. The CPU's includes it and adds arguments and options. Both are C, with a C++ part.
"""

from collections.abc import Iterable

from .load import Cpp, Table
from .test_header import type_id

CPU = "cpu_kernels/core/op_info.h"
SHARED = "aicore_kernels/op_kernel/ms_scatter_pa_op_info.h"
MINDSPORE = "cpu_kernels/entries/mindspore_types.h"


def render_shared(table: Table) -> str:
    """The text of the shared header, before the formatter; its C++ is C++11."""
    guard = "MS_SCATTER_PA_OP_INFO_H_"
    lines = [
        "// The table: enumerators, item sizes, the status, and the positions of the Ascend operators' inputs and outputs.",
        "// Generated from op_info by `python -m op_info`: do not edit.",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        *_functions_macro(),
        "",
        *_enum("MsspElementType", "MSSP_", table.dtypes, "MSSP_NUM_ELEMENT_TYPES"),
        *_enum("MsspIndexType", "MSSP_INDEX_", table.index_dtypes, "MSSP_NUM_INDEX_TYPES"),
        *_enum_of_names("MsspLayout", table.cache_modes, "MSSP_NUM_LAYOUTS"),
        *_enum_of_names("MsspScatterMode", table.scatter_modes, "MSSP_NUM_SCATTER_MODES"),
        "// How one side (K or V) of a quantised cache is scaled: not at all, by arrays that the caller gives, by scales computed",
        "// per token and head, or by those that the caller computed (given); the last two are kept in a scale cache.",
        *_enum_of_names("MsspScalingKind", table.scaling_kinds, "MSSP_NUM_SCALING_KINDS"),
        "// The size of a static scale: [1], [N] or [N, D].",
        *_enum_of_names("MsspGranularity", table.granularities, "MSSP_NUM_GRANULARITIES"),
        *_status(table),
        f"enum {{ MSSP_UNIT_BYTES = {table.unit_bytes}, MSSP_MAX_RANK = {table.max_rank} }};",
        "",
        "// Bytes of one element; 0 for what is no element type.",
        *_item_size("MsspItemSize", "MSSP_", table.dtypes),
        "// Bytes of one index; 0 for what is no index type.",
        *_item_size("MsspIndexSize", "MSSP_INDEX_", table.index_dtypes),
        *(line for operator in table.operators for line in _ascend_positions(operator, table.cpp[operator.name])),
        f"#endif  // {guard}",
        "",
    ]
    return "\n".join(lines)


def render_cpu(table: Table) -> str:
    """The text of the CPU's header, before the formatter."""
    guard = "MS_SCATTER_PA_CORE_OP_INFO_H_"
    lines = [
        "// The table on the CPU: arguments and options of every operator. Generated from op_info by",
        "// `python -m op_info`: do not edit.",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        f'#include "../../{SHARED}"',
        "",
        "#ifdef __cplusplus",
        "// Of numbers that a caller gives as int64.",
        *_of_wide("MsspItemSize"),
        *_of_wide("MsspIndexSize"),
        "#endif  // __cplusplus",
        "",
        "// Whether rows of this type can be quantised; whether a quantised cache can hold it.",
        *_is_one_of("MsspIsScaledType", table.scaled_rows),
        *_is_one_of("MsspIsCodeType", table.codes),
        *(line for operator in table.operators for line in _operator(operator, table.cpp[operator.name])),
        f"#endif  // {guard}",
        "",
    ]
    return "\n".join(lines)


def render_mindspore(table: Table) -> str:
    """The text of the header of MindSpore's type ids, before the formatter; of those that all releases have."""
    guard = "MS_SCATTER_PA_ENTRIES_MINDSPORE_TYPES_H_"
    return "\n".join(
        [
            "// MindSpore's ids of the table's dtypes that its releases have all along. Generated from op_info by",
            "// `python -m op_info`: do not edit.",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            '#include "../core/op_info.h"',
            '#include "ir/dtype/type_id.h"',
            "",
            "namespace mssp {",
            "",
            "struct TypeRow {",
            "mindspore::TypeId id;",
            "int64_t code;",
            "};",
            *_type_rows("kElementTypes", "MSSP_", table.dtypes),
            *_type_rows("kIndexTypes", "MSSP_INDEX_", table.index_dtypes),
            "",
            "}  // namespace mssp",
            "",
            f"#endif  // {guard}",
            "",
        ]
    )


def _type_rows(name: str, prefix: str, rows: object) -> list[str]:
    known = [row for row in rows if row.reg_name is not None]  # type: ignore[attr-defined]
    body = ", ".join(f"{{mindspore::kNumberType{type_id(row.name)}, {prefix}{row.name.upper()}}}" for row in known)
    return [f"inline constexpr TypeRow {name}[] = {{{body}}};"]


def _of_wide(function: str) -> list[str]:
    narrow = "static_cast<int32_t>(type)"
    return [f"inline int64_t {function}(int64_t type) {{ return type == {narrow} ? {function}({narrow}) : 0; }}"]


def _is_one_of(function: str, names: tuple[str, ...]) -> list[str]:
    cases = [f"case MSSP_{name.upper()}:" for name in names]
    return [
        f"MSSP_FN int {function}(int64_t type) {{",
        "switch (type) {",
        *cases,
        "return 1;",
        "default:",
        "return 0;",
        "}",
        "}",
        "",
    ]


def _functions_macro() -> list[str]:
    # The device compiler defines __CCE_AICORE__; __aicore__ is a macro of the header, which may come later.
    device = [
        "#if defined(__CCE_AICORE__)",
        '#include "kernel_operator.h"',
        "#define MSSP_FN __aicore__ inline",
        "#elif defined(__cplusplus)",
    ]
    return [
        "#ifndef MSSP_FN",
        *device,
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


def _item_size(function: str, prefix: str, rows: object) -> list[str]:
    by_size: dict[int, list[str]] = {}
    for row in rows:  # type: ignore[attr-defined]
        by_size.setdefault(row.itemsize, []).append(f"{prefix}{row.name.upper()}")
    lines = [f"MSSP_FN int64_t {function}(int32_t type) {{", "switch (type) {"]
    for size, names in sorted(by_size.items()):
        lines += [*(f"case {name}:" for name in names), f"return {size};"]
    return [*lines, "default:", "return 0;", "}", "}", ""]


def camel(name: str) -> str:
    """The name as C++ types and constants have it."""
    return "".join(word.capitalize() for word in name.split("_"))


def _operator(operator, cpp: Cpp) -> list[str]:  # type: ignore[no-untyped-def]
    arguments = [argument.name for argument in operator.arguments]
    return [
        f"// {operator.name}",
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
        "// A bit for the place of each argument that is written; of each that is a cache.",
        f"inline constexpr uint32_t kWritten = {_bits(operator.written)};",
        f"inline constexpr uint32_t kCaches = {_bits(name for name in arguments if name.endswith('_cache'))};",
        "",
        "// Bytes of an element of an argument.",
        f"inline int64_t ArgumentItemSize(const {cpp.options}& options, int argument) {{",
        "switch (argument) {",
        *_sizes_by_argument(operator),
        "default:",
        "return 0;",
        "}",
        "}",
        "",
        *(f"}}  // namespace {part}" for part in reversed(cpp.namespace.split("::"))),
        "#endif  // __cplusplus",
        "",
    ]


def _bits(names: Iterable[str]) -> str:
    return " | ".join(f"1u << k{camel(name)}" for name in names)


def _sizes_by_argument(operator) -> list[str]:  # type: ignore[no-untyped-def]
    sizes = {"index": "MsspIndexSize(options.index_type)", "scale": "sizeof(float)"}
    by_group: dict[str, list[str]] = {}
    for argument in operator.arguments:
        by_group.setdefault(argument.dtype_group, []).append(f"case k{camel(argument.name)}:")
    lines = []
    for group, cases in by_group.items():
        lines += [*cases, f"return {sizes.get(group) or f'MsspItemSize(options.{group}_type)'};"]
    return lines


def _each(numbers: object) -> str:
    return ", ".join(str(number) for number in numbers)  # type: ignore[attr-defined]


def _ascend_positions(operator, cpp: Cpp) -> list[str]:  # type: ignore[no-untyped-def]
    """Positions of the function's arguments, for the kernels, and of the op definition's tensors, for op_host."""
    namespace = cpp.namespace.replace("mssp", "mssp_host", 1)
    places = (f"{cpp.prefix}_ARGUMENT_{a.name.upper()} = {i}" for i, a in enumerate(operator.arguments))
    return [
        f"// {operator.name}: the function's arguments, which a status names; the inputs and outputs of the op definition.",
        "enum { " + ", ".join(places) + " };",
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
