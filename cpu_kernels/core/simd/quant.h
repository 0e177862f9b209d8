// Rows of floats to codes of 8 bits and back. The caller holds an IeeeScope.
#ifndef MS_SCATTER_PA_CORE_SIMD_QUANT_H_
#define MS_SCATTER_PA_CORE_SIMD_QUANT_H_

#include <cstdint>

#include "../op_info.h"

namespace mssp {

// The scale and the offset of a row: one number for all columns (step 0) or one for each (step 1). Many rows with the
// same scales of columns have their inverses, where each HasInverse.
struct ScaleRow {
  const float* scale;
  const float* offset;
  int64_t step;
  const float* inverse = nullptr;
};

inline constexpr float kLargestOffset = 1024.0f;

// Whether x * (1 / scale) + offset is near enough to the quotient for any x that does not saturate.
inline bool HasInverse(float scale, float offset) {
  return scale >= 0x1p-40f && scale <= 0x1p40f && offset >= -kLargestOffset && offset <= kLargestOffset;
}

inline constexpr int kNumFloatTypes = 3;  // float16, float32, bfloat16: MsspElementType 0 to 2

// What rows are quantised to, with the largest number that has a code.
struct CodeType {
  int32_t element_type;
  float largest;
};

inline constexpr CodeType kCodeTypes[] = {
    {MSSP_INT8, 127.0f}, {MSSP_FLOAT8_E5M2, 57344.0f}, {MSSP_FLOAT8_E4M3FN, 448.0f}};
inline constexpr int kNumCodeTypes = sizeof(kCodeTypes) / sizeof(kCodeTypes[0]);

// The place of one of them.
inline int CodeIndex(int32_t element_type) {
  int i = 0;
  while (i + 1 < kNumCodeTypes && kCodeTypes[i].element_type != element_type) ++i;
  return i;
}

struct QuantKernels {
  // to[i] = saturate(round(from[i] / scale + offset)); `lowest` is the least int8.
  using Quantise = void (*)(char* to, const char* from, int64_t columns, const ScaleRow& scales, int lowest);
  // to[i] = (from[i] - offset) * scale, rounded once.
  using Dequantise = void (*)(char* to, const char* from, int64_t columns, const ScaleRow& scales);
  // The largest magnitude; NaN when there is one.
  using MaxAbs = float (*)(const char* from, int64_t columns);

  Quantise quantise[kNumFloatTypes][kNumCodeTypes];
  Dequantise dequantise[kNumFloatTypes][kNumCodeTypes];
  MaxAbs max_abs[kNumFloatTypes];
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_QUANT_H_
