// The dtypes that MindSpore's table for ops.Custom has, by name and by number. Generated from op_info by
// `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_ELEMENT_TYPES_H_
#define MS_SCATTER_PA_ELEMENT_TYPES_H_

#include <cstdint>
#include <stdexcept>
#include <string>

#include "ms_scatter_pa_op_info.h"

// X(name, MindSpore's TypeId, MsspElementType)
#define MS_SCATTER_PA_ELEMENT_TYPES(X)              \
  X("float16", kNumberTypeFloat16, MSSP_FLOAT16)    \
  X("float32", kNumberTypeFloat32, MSSP_FLOAT32)    \
  X("bfloat16", kNumberTypeBFloat16, MSSP_BFLOAT16) \
  X("int8", kNumberTypeInt8, MSSP_INT8)             \
  X("uint8", kNumberTypeUInt8, MSSP_UINT8)          \
  X("int16", kNumberTypeInt16, MSSP_INT16)          \
  X("uint16", kNumberTypeUInt16, MSSP_UINT16)       \
  X("int32", kNumberTypeInt32, MSSP_INT32)          \
  X("uint32", kNumberTypeUInt32, MSSP_UINT32)

namespace on_model {

inline int32_t ElementTypeOf(const std::string& name) {
#define MS_SCATTER_PA_IF_NAMED(text, id, type) \
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
