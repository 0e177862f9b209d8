// What the attention operators check alike.
#ifndef MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
#define MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_

#include <cstdint>

#include "arguments.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {

inline constexpr int64_t kMostHeads = std::numeric_limits<int32_t>::max();

// The number of heads that argument i names, at least 1.
inline int64_t HeadCount(const Arguments& call, int i) {
  const int64_t heads = call.Int(i);
  if (heads < 1 || heads > kMostHeads) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, std::to_string(heads), "a number from 1 to 2147483647");
  }
  return heads;
}

// The size of one of `heads` equal parts of `width`.
inline int64_t PartOf(const Arguments& call, int i, int64_t width, int64_t heads) {
  if (width % heads != 0) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(call.In(i)),
                "a last dimension that is a multiple of " + std::to_string(heads) + " heads");
  }
  return width / heads;
}

// What networks for Ascend add to a score that is masked. bfloat16 rounds it to -9984.
inline constexpr float kMasked = -10000.0f;
inline float LeastMasked(int32_t type) { return type == MSSP_BUILTIN_BFLOAT16 ? -9984.0f : kMasked; }

// A mask's numbers as float32.
inline std::vector<float> Widened(const MsspBuiltinTensor& mask) {
  std::vector<float> values(static_cast<size_t>(CountOf(mask)));
  ActiveVectors().widen(mask.type, mask.data, CountOf(mask), values.data());
  return values;
}

// By what a bfloat16 mask is multiplied before it is added: networks for Ascend have 1 for "masked" there, or -10000 as
// in float16. Another number may mean either, and a mask has one of the two.
inline float FactorOfMask(const Arguments& call, int i) {
  const std::vector<float> values = Widened(call.In(i));
  bool ones = false;
  bool sums = false;
  for (size_t k = 0; k < values.size(); ++k) {
    if (values[k] == 0.0f) continue;
    ones = ones || values[k] == 1.0f;
    sums = sums || values[k] <= LeastMasked(MSSP_BUILTIN_BFLOAT16);
    const bool known = values[k] == 1.0f || values[k] <= LeastMasked(MSSP_BUILTIN_BFLOAT16);
    if (known && !(ones && sums)) continue;
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, std::to_string(values[k]) + " at " + std::to_string(k),
                "in bfloat16 0, and for masked everywhere 1 or everywhere -10000 or less; what is added to scores in "
                "float16 or float32");
  }
  return ones ? kMasked : 1.0f;
}

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
