// The mean loops, for inclusion by the file of each instruction set: define MSSP_TARGET (the function attribute that
// chooses it) first. Everything has internal linkage, so that no two sets share a compiled copy.
#include <cstdint>
#include <cstring>

#include "../call_sizes.h"
#include "../hifloat8.h"
#include "../small_float.h"
#include "kernels.h"

#ifndef MSSP_TARGET
#error "define MSSP_TARGET"
#endif

namespace mssp {
namespace {

struct Float32 {
  static uint32_t FromFloat(float x) { return FloatBits(x); }
  static float ToFloat(uint32_t bits) { return BitsFloat(bits); }
};

template <typename Storage, typename Format>
struct FloatColumn {
  using Element = Storage;
  using Sum = float;
  MSSP_TARGET static inline Sum Widen(Element x) { return Format::ToFloat(x); }
  MSSP_TARGET static inline Element Mean(Sum sum, int64_t count) {
    return static_cast<Element>(Format::FromFloat(sum / static_cast<float>(count)));
  }
};

template <typename Storage>
struct IntegerColumn {
  using Element = Storage;
  using Sum = int64_t;
  MSSP_TARGET static inline Sum Widen(Element x) { return x; }
  MSSP_TARGET static inline Element Mean(Sum sum, int64_t count) { return static_cast<Element>(sum / count); }
};

template <typename Column>
MSSP_TARGET void AddColumns(const char* row, int64_t columns, int64_t prefetch, void* sums) {
  using Element = typename Column::Element;
  constexpr auto kSize = static_cast<int64_t>(sizeof(Element));
  auto* const totals = static_cast<typename Column::Sum*>(sums);
  for (int64_t i = 0; i < columns * kSize; i += kLine) __builtin_prefetch(row + i + prefetch, 0, 2);
  for (int64_t c = 0; c < columns; ++c) {
    Element x;
    std::memcpy(&x, row + c * kSize, sizeof(Element));
    totals[c] += Column::Widen(x);
  }
}

template <typename Column>
MSSP_TARGET void FinishColumns(const void* sums, int64_t count, int64_t columns, char* out) {
  using Element = typename Column::Element;
  const auto* const totals = static_cast<const typename Column::Sum*>(sums);
  for (int64_t c = 0; c < columns; ++c) {
    const Element mean = Column::Mean(totals[c], count);
    std::memcpy(out + c * static_cast<int64_t>(sizeof(Element)), &mean, sizeof(Element));
  }
}

template <typename Column>
constexpr MeanKernel Portable() {
  return {AddColumns<Column>, FinishColumns<Column>, sizeof(typename Column::Sum)};
}

constexpr MeanKernel kFloat16Mean = Portable<FloatColumn<uint16_t, Float16>>();
constexpr MeanKernel kFloat32Mean = Portable<FloatColumn<uint32_t, Float32>>();
constexpr MeanKernel kBFloat16Mean = Portable<FloatColumn<uint16_t, BFloat16>>();
constexpr MeanKernel kInt8Mean = Portable<IntegerColumn<int8_t>>();
constexpr MeanKernel kUint8Mean = Portable<IntegerColumn<uint8_t>>();
constexpr MeanKernel kInt16Mean = Portable<IntegerColumn<int16_t>>();
constexpr MeanKernel kUint16Mean = Portable<IntegerColumn<uint16_t>>();
constexpr MeanKernel kInt32Mean = Portable<IntegerColumn<int32_t>>();
constexpr MeanKernel kUint32Mean = Portable<IntegerColumn<uint32_t>>();
constexpr MeanKernel kHiFloat8Mean = Portable<FloatColumn<uint8_t, HiFloat8>>();
constexpr MeanKernel kFloat8E5M2Mean = Portable<FloatColumn<uint8_t, Float8E5M2>>();
constexpr MeanKernel kFloat8E4M3FNMean = Portable<FloatColumn<uint8_t, Float8E4M3FN>>();

}  // namespace
}  // namespace mssp
