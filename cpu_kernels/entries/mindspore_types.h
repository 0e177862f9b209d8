// MindSpore's ids of the table's dtypes that its releases have all along. Generated from op_info by
// `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_ENTRIES_MINDSPORE_TYPES_H_
#define MS_SCATTER_PA_ENTRIES_MINDSPORE_TYPES_H_

#include "../core/op_info.h"
#include "ir/dtype/type_id.h"

namespace mssp {

struct TypeRow {
  mindspore::TypeId id;
  int64_t code;
};
inline constexpr TypeRow kElementTypes[] = {
    {mindspore::kNumberTypeFloat16, MSSP_FLOAT16},   {mindspore::kNumberTypeFloat32, MSSP_FLOAT32},
    {mindspore::kNumberTypeBFloat16, MSSP_BFLOAT16}, {mindspore::kNumberTypeInt8, MSSP_INT8},
    {mindspore::kNumberTypeUInt8, MSSP_UINT8},       {mindspore::kNumberTypeInt16, MSSP_INT16},
    {mindspore::kNumberTypeUInt16, MSSP_UINT16},     {mindspore::kNumberTypeInt32, MSSP_INT32},
    {mindspore::kNumberTypeUInt32, MSSP_UINT32}};
inline constexpr TypeRow kIndexTypes[] = {{mindspore::kNumberTypeInt32, MSSP_INDEX_INT32},
                                          {mindspore::kNumberTypeInt64, MSSP_INDEX_INT64}};

}  // namespace mssp

#endif  // MS_SCATTER_PA_ENTRIES_MINDSPORE_TYPES_H_
