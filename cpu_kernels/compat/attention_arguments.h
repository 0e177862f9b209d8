// What the attention operators check alike.
#ifndef MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
#define MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

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

// A tensor's numbers as float32.
inline std::vector<float> Widened(const MsspBuiltinTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(CountOf(tensor)));
  ActiveVectors().widen(tensor.type, tensor.data, CountOf(tensor), values.data());
  return values;
}

// Masks are looked through on every call: sixteen bytes at a time, without a branch for each number.
typedef float FourFloats __attribute__((vector_size(16)));
typedef uint8_t SixteenBytes __attribute__((vector_size(16)));

// Whether `test` finds one among the numbers: it gives -1 for each of a Vector's that is one, else 0.
template <typename Vector, typename Item, typename Test>
bool AnyOf(const Item* numbers, int64_t count, const Test& test) {
  constexpr auto kLanes = static_cast<int64_t>(sizeof(Vector) / sizeof(Item));
  decltype(test(Vector{})) found = {};
  Vector some;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    std::memcpy(&some, numbers + i, sizeof(some));
    found |= test(some);
  }
  for (; i < count; ++i) found |= test(Vector{} + numbers[i]);
  uint64_t halves[2];
  std::memcpy(halves, &found, sizeof(halves));
  return (halves[0] | halves[1]) != 0;
}

// By what a bfloat16 mask is multiplied before it is added: networks for Ascend have 1 for "masked" there, or -10000 as
// in float16. Another number may mean either, and a mask has one of the two.
inline float FactorOfMask(const Arguments& call, int i) {
  constexpr int64_t kStep = 4096;  // numbers at a time
  const auto& mask = call.In(i);
  const int64_t count = CountOf(mask);
  const float least = LeastMasked(MSSP_BUILTIN_BFLOAT16);
  std::vector<float> values(static_cast<size_t>(std::min(count, kStep)));
  bool ones = false;
  bool sums = false;
  for (int64_t at = 0; at < count; at += kStep) {
    const int64_t n = std::min(kStep, count - at);
    ActiveVectors().widen(mask.type, static_cast<const char*>(mask.data) + at * ItemBytes(mask.type), n, values.data());
    const bool had_ones = ones;
    const bool had_sums = sums;
    ones = ones || AnyOf<FourFloats>(values.data(), n, [](FourFloats x) { return x == 1.0f; });
    sums = sums || AnyOf<FourFloats>(values.data(), n, [least](FourFloats x) { return x <= least; });
    const bool others = AnyOf<FourFloats>(
        values.data(), n, [least](FourFloats x) { return ~((x == 0.0f) | (x == 1.0f) | (x <= least)); });
    if (!others && !(ones && sums)) continue;
    const auto fits = [&](float x) { return x == 0.0f || (x == 1.0f && !had_sums) || (x <= least && !had_ones); };
    float first = 0.0f;  // of the two that mask
    int64_t k = 0;
    for (; k < n; ++k) {
      const float x = values[static_cast<size_t>(k)];
      if (!fits(x) || (x != 0.0f && first != 0.0f && (x == 1.0f) != (first == 1.0f))) break;
      if (x != 0.0f) first = x;
    }
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i,
                std::to_string(values[static_cast<size_t>(k)]) + " at " + std::to_string(at + k),
                "in bfloat16 0, and for masked everywhere 1 or everywhere -10000 or less; what is added to scores in "
                "float16 or float32");
  }
  return ones ? kMasked : 1.0f;
}

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
