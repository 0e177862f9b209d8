"""Writes headers of the tests' C++: the dtypes that ``ops.Custom`` knows, and the tensors of the write on Ascend."""

from .load import Table

PATH = "tests/registration/element_types.h"

_HEAD = """\
// The dtypes that MindSpore's table for ops.Custom has, by name and by number. Generated from op_info by
// `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_ELEMENT_TYPES_H_
#define MS_SCATTER_PA_ELEMENT_TYPES_H_

#include <cstdint>
#include <stdexcept>
#include <string>

#include "ms_scatter_pa_op_info.h"

// X(name, MindSpore's TypeId, MsspElementType)
#define MS_SCATTER_PA_ELEMENT_TYPES(X)"""

_TAIL = """
namespace on_model {

inline int32_t ElementTypeOf(const std::string& name) {
#define MS_SCATTER_PA_IF_NAMED(text, id, type) \\
  if (name == text) return type;
  MS_SCATTER_PA_ELEMENT_TYPES(MS_SCATTER_PA_IF_NAMED)
#undef MS_SCATTER_PA_IF_NAMED
  throw std::runtime_error("host model: dtype " + name);
}

// Of the data, of the indices or of the status.
inline int64_t ItemSizeOf(const std::string& name) {
  return name == "int64" ? static_cast<int64_t>(sizeof(int64_t)) : MsspItemSize(ElementTypeOf(name));
}

}  // namespace on_model

#endif  // MS_SCATTER_PA_ELEMENT_TYPES_H_
"""


def render(table: Table) -> str:
    """The header's text, before the formatter."""
    known = [dtype for dtype in table.dtypes if dtype.reg_name is not None]
    rows = [f'X("{dtype.name}", kNumberType{type_id(dtype.name)}, MSSP_{dtype.name.upper()})' for dtype in known]
    return _HEAD + " \\\n  " + " \\\n  ".join(rows) + "\n" + _TAIL


NAMES_PATH = "tests/ascendc/host_model/tensor_names.h"


def render_names(table: Table) -> str:
    """The names of the tensors that the kernel of the write gets, before the formatter."""
    (write,) = (operator for operator in table.operators if table.cpp[operator.name].namespace == "mssp")
    names = ", ".join(f'"{name}"' for name in (*write.ascend_input_names, "status"))
    return (
        "// The tensors of the write on Ascend, in its order. Generated from op_info by `python -m op_info`: do not edit.\n"
        "#ifndef MS_SCATTER_PA_TENSOR_NAMES_H_\n#define MS_SCATTER_PA_TENSOR_NAMES_H_\n\n"
        f"constexpr const char* kTensorNames[] = {{{names}}};\n\n"
        "#endif  // MS_SCATTER_PA_TENSOR_NAMES_H_\n"
    )


def type_id(name: str) -> str:
    """As in kNumberTypeBFloat16."""
    for prefix in ("bfloat", "uint"):
        if name.startswith(prefix):
            return prefix[0].upper() + name[1:].capitalize()
    return name.capitalize()
