// The mean loops, for inclusion by the file of each instruction set. Everything has internal linkage, so that no two
// sets share a compiled copy.
#include <cstdint>
#include <cstring>
#include <utility>

#include "../call_sizes.h"
#include "../hifloat8.h"
#include "../small_float.h"
#include "kernels.h"

namespace mssp {
namespace {

template <typename Storage, typename Format>
struct FloatColumn {
  using Element = Storage;
  using Sum = float;
  static inline Sum Widen(Element x) { return Format::ToFloat(x); }
  static inline Element Mean(Sum sum, int64_t count) {
    return static_cast<Element>(Format::FromFloat(sum / static_cast<float>(count)));
  }
};

template <typename Storage>
struct IntegerColumn {
  using Element = Storage;
  using Sum = int64_t;
  static inline Sum Widen(Element x) { return x; }
  static inline Element Mean(Sum sum, int64_t count) { return static_cast<Element>(sum / count); }
};

template <typename Column>
void AddColumns(const char* row, int64_t columns, int64_t prefetch, void* sums) {
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
void FinishColumns(const void* sums, int64_t count, int64_t columns, char* out) {
  using Element = typename Column::Element;
  const auto* const totals = static_cast<const typename Column::Sum*>(sums);
  for (int64_t c = 0; c < columns; ++c) {
    const Element mean = Column::Mean(totals[c], count);
    std::memcpy(out + c * static_cast<int64_t>(sizeof(Element)), &mean, sizeof(Element));
  }
}

template <typename Column>
constexpr MeanKernel ColumnMean() {
  return {AddColumns<Column>, FinishColumns<Column>, sizeof(typename Column::Sum)};
}

// How the columns of each MsspElementType are summed: a new one needs a line.
template <int kElementType>
struct ColumnOf;
template <>
struct ColumnOf<MSSP_FLOAT16> {
  using Type = FloatColumn<uint16_t, Float16>;
};
template <>
struct ColumnOf<MSSP_FLOAT32> {
  using Type = FloatColumn<uint32_t, Float32>;
};
template <>
struct ColumnOf<MSSP_BFLOAT16> {
  using Type = FloatColumn<uint16_t, BFloat16>;
};
template <>
struct ColumnOf<MSSP_INT8> {
  using Type = IntegerColumn<int8_t>;
};
template <>
struct ColumnOf<MSSP_UINT8> {
  using Type = IntegerColumn<uint8_t>;
};
template <>
struct ColumnOf<MSSP_INT16> {
  using Type = IntegerColumn<int16_t>;
};
template <>
struct ColumnOf<MSSP_UINT16> {
  using Type = IntegerColumn<uint16_t>;
};
template <>
struct ColumnOf<MSSP_INT32> {
  using Type = IntegerColumn<int32_t>;
};
template <>
struct ColumnOf<MSSP_UINT32> {
  using Type = IntegerColumn<uint32_t>;
};
template <>
struct ColumnOf<MSSP_HIFLOAT8> {
  using Type = FloatColumn<uint8_t, HiFloat8>;
};
template <>
struct ColumnOf<MSSP_FLOAT8_E5M2> {
  using Type = FloatColumn<uint8_t, Float8E5M2>;
};
template <>
struct ColumnOf<MSSP_FLOAT8_E4M3FN> {
  using Type = FloatColumn<uint8_t, Float8E4M3FN>;
};

// A set that knows a faster way for a type specialises this.
template <int kElementType>
constexpr MeanKernel MeanOf() {
  return ColumnMean<typename ColumnOf<kElementType>::Type>();
}

// The means of all types, by MsspElementType.
template <int... kTypes>
constexpr Means AllMeans(std::integer_sequence<int, kTypes...>) {
  return {{MeanOf<kTypes>()...}};
}

}  // namespace
}  // namespace mssp
