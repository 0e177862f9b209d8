// What the tests need beside the library's interface: the rounding of each type, the tables, and flush-to-zero.
#include <cstdint>
#include <utility>

#include "op_info.h"
#include "simd/mean_columns.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <int kType>
void Round(const float* values, uint16_t* codes, int64_t n) {
  using Column = typename mssp::ColumnOf<kType>::Type;
  for (int64_t i = 0; i < n; ++i) {
    codes[i] = static_cast<uint16_t>(Column::Mean(static_cast<typename Column::Sum>(values[i]), 1));
  }
}

template <int kType>
void Widen(const uint16_t* codes, float* values, int64_t n) {
  using Column = typename mssp::ColumnOf<kType>::Type;
  for (int64_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>(Column::Widen(static_cast<typename Column::Element>(codes[i])));
  }
}

struct OfType {
  void (*round)(const float* values, uint16_t* codes, int64_t n);
  void (*widen)(const uint16_t* codes, float* values, int64_t n);
};

template <int... kTypes>
OfType Of(int32_t type, std::integer_sequence<int, kTypes...>) {
  static constexpr OfType kAll[] = {{Round<kTypes>, Widen<kTypes>}...};
  return kAll[type];
}

using AllTypes = std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>;

}  // namespace

EXPORT void ShimRound(int32_t type, const float* values, uint16_t* codes, int64_t n) {
  Of(type, AllTypes()).round(values, codes, n);
}

EXPORT void ShimWiden(int32_t type, const uint16_t* codes, float* values, int64_t n) {
  Of(type, AllTypes()).widen(codes, values, n);
}

// The floating-point control register of the calling thread.
EXPORT uint64_t ShimGetControl() {
#if defined(__x86_64__)
  return _mm_getcsr();
#else
  uint64_t value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
#endif
}

EXPORT void ShimSetControl(uint64_t value) {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(value));
#else
  asm volatile("msr fpcr, %0" : : "r"(value));
#endif
}

// Flush-to-zero and, where it is separate, denormals-are-zero.
EXPORT uint64_t ShimFlushBits() {
#if defined(__x86_64__)
  return 0x8040;
#else
  return uint64_t{1} << 24;
#endif
}
