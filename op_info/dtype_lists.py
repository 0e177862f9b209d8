"""Writes ``op_host/ms_scatter_pa_dtypes.h``: the op definition's dtype columns, from ``op_info``.

Run ``python -m op_info.dtype_lists`` after a change of the table; a test compares
the file with it.
"""

from pathlib import Path

from ms_scatter_pa.rules.table import INDEX_DTYPES, Target, dtype_named, target_named

HEADER = Path(__file__).resolve().parent.parent / "aicore_kernels" / "op_host" / "ms_scatter_pa_dtypes.h"
_COLUMNS_PER_LINE = 5


def columns(target: Target) -> list[tuple[str, str, str]]:
    """(key, value, index) in CANN's names, one column of the op definition each."""
    return [
        (dtype_named(key).ge_name, dtype_named(value).ge_name, index.ge_name)
        for index in INDEX_DTYPES
        for key, value in target.key_value_dtypes()
    ]


def _list(name: str, types: list[str]) -> list[str]:
    lines = [f"static const std::vector<ge::DataType> {name} = {{"]
    for start in range(0, len(types), _COLUMNS_PER_LINE):
        lines.append("    " + " ".join(f"ge::{x}," for x in types[start : start + _COLUMNS_PER_LINE]))
    return [*lines, "};"]


def _lists(prefix: str, target: Target) -> list[str]:
    table = columns(target)
    lines: list[str] = []
    for index, role in enumerate(("KeyTypes", "ValueTypes", "IndexTypes")):
        lines += _list(prefix + role, [column[index] for column in table])
    return lines


def render() -> str:
    """The header's text."""
    lines = [
        "// Generated from op_info by op_info/dtype_lists.py: do not edit. One column per compiled combination.",
        "#ifndef MS_SCATTER_PA_DTYPES_H_",
        "#define MS_SCATTER_PA_DTYPES_H_",
        "",
        "#include <vector>",
        "",
        '#include "graph/types.h"',
        "",
        "// CANN with the 8-bit floats of the 950 parts has this header; CANN 8.1 has not, and knows neither.",
        "#if __has_include(<graph/c_types.h>)",
        "#define MS_SCATTER_PA_WITH_ASCEND950 1",
        "#endif",
        "",
        "namespace mssp_host {",
        "",
        "// clang-format off",
        *_lists("kA2", target_named("ascend910b")),
        "",
        "#ifdef MS_SCATTER_PA_WITH_ASCEND950",
        *_lists("k950", target_named("ascend950")),
        "#endif",
        "// clang-format on",
        "",
        "}  // namespace mssp_host",
        "",
        "#endif  // MS_SCATTER_PA_DTYPES_H_",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    HEADER.write_text(render())
    print(f"wrote {HEADER}")
