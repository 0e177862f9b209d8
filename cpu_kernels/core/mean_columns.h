// The mean loop, for inclusion by the file of each instruction set: define MSSP_TARGET (the function attribute that
// chooses it) first. Everything has internal linkage, so that no two sets share a compiled copy.
// NOLINTNEXTLINE(build/header_guard): included once by each set
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hifloat8.h"
#include "scatter_pa.h"
#include "small_float.h"

#ifndef MSSP_TARGET
#error "define MSSP_TARGET"
#endif

namespace mssp {
namespace {

constexpr int64_t kMeanColumns = 128;  // accumulators that stay in the nearest cache

template <typename Storage, typename Format>
struct FloatMean {
  using Element = Storage;
  using Sum = float;
  MSSP_TARGET static inline Sum Widen(Element x) { return Format::ToFloat(x); }
  MSSP_TARGET static inline Element Finish(Sum sum, int64_t count) {
    return static_cast<Element>(Format::FromFloat(sum / static_cast<float>(count)));
  }
};

struct Float32 {
  static uint32_t FromFloat(float x) { return FloatBits(x); }
  static float ToFloat(uint32_t bits) { return BitsFloat(bits); }
};

template <typename Storage>
struct IntegerMean {
  using Element = Storage;
  using Sum = int64_t;
  MSSP_TARGET static inline Sum Widen(Element x) { return x; }
  MSSP_TARGET static inline Element Finish(Sum sum, int64_t count) { return static_cast<Element>(sum / count); }
};

template <typename Mean>
MSSP_TARGET void MeanColumns(const char* rows, int64_t stride, int64_t count, int64_t columns, char* out) {
  using Element = typename Mean::Element;
  constexpr int64_t kSize = sizeof(Element);
  for (int64_t begin = 0; begin < columns; begin += kMeanColumns) {
    const int64_t width = std::min(kMeanColumns, columns - begin);
    const char* row = rows + begin * kSize;
    typename Mean::Sum sums[kMeanColumns] = {};
    for (int64_t r = 0; r < count; ++r, row += stride) {
      for (int64_t c = 0; c < width; ++c) {
        Element x;
        std::memcpy(&x, row + c * kSize, kSize);
        sums[c] += Mean::Widen(x);
      }
    }
    for (int64_t c = 0; c < width; ++c) {
      const Element mean = Mean::Finish(sums[c], count);
      std::memcpy(out + (begin + c) * kSize, &mean, kSize);
    }
  }
}

}  // namespace
}  // namespace mssp
