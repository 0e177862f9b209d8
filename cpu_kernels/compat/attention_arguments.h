// What the attention operators check alike.
#ifndef MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
#define MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_

#include <cstdint>

#include "arguments.h"

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

// bfloat16 masks hold 1 for "masked" where networks for Ascend have them; another number means something else.
inline void ExpectZerosAndOnes(const Arguments& call, int i) {
  const auto& mask = call.In(i);
  const auto* codes = static_cast<const uint16_t*>(mask.data);
  constexpr uint16_t kOne = 0x3F80;
  for (int64_t k = 0, count = CountOf(mask); k < count; ++k) {
    if ((codes[k] & 0x7FFF) != 0 && codes[k] != kOne) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, "another number than 0 and 1 at " + std::to_string(k),
                  "0, or 1 for masked, in bfloat16; what is added to scores in float16 or float32");
    }
  }
}

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
