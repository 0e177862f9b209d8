// What the core knows of each element type. The names and codes are op_info's DTYPES.
#ifndef MS_SCATTER_PA_CORE_ELEMENT_TYPE_H_
#define MS_SCATTER_PA_CORE_ELEMENT_TYPE_H_

#include <cstdint>

#include "scatter_pa.h"

namespace mssp {

struct ElementInfo {
  const char* name;
  int32_t code;
  int64_t itemsize;
};

inline constexpr ElementInfo kElements[] = {
    {"float16", MSSP_FLOAT16, 2},
    {"float32", MSSP_FLOAT32, 4},
    {"bfloat16", MSSP_BFLOAT16, 2},
    {"int8", MSSP_INT8, 1},
    {"uint8", MSSP_UINT8, 1},
    {"int16", MSSP_INT16, 2},
    {"uint16", MSSP_UINT16, 2},
    {"int32", MSSP_INT32, 4},
    {"uint32", MSSP_UINT32, 4},
    {"hifloat8", MSSP_HIFLOAT8, 1},
    {"float8_e5m2", MSSP_FLOAT8_E5M2, 1},
    {"float8_e4m3fn", MSSP_FLOAT8_E4M3FN, 1},
};
inline constexpr int32_t kNumElements = sizeof(kElements) / sizeof(kElements[0]);

inline bool IsElementType(int32_t code) { return code >= 0 && code < kNumElements; }
inline int64_t ItemSize(int32_t code) { return kElements[code].itemsize; }

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_ELEMENT_TYPE_H_
