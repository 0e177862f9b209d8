// What the tests need beside the library's interface: the rounding of each type, the tables, and flush-to-zero.
#include <cstdint>

#include "hifloat8.h"
#include "op_info.h"
#include "small_float.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <typename Format>
void Round(const float* values, uint16_t* codes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) codes[i] = static_cast<uint16_t>(Format::FromFloat(values[i]));
}

template <typename Format>
void Widen(const uint16_t* codes, float* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) values[i] = Format::ToFloat(codes[i]);
}

}  // namespace

EXPORT void ShimRound(int32_t type, const float* values, uint16_t* codes, int64_t n) {
  switch (type) {
    case MSSP_FLOAT16:
      return Round<mssp::Float16>(values, codes, n);
    case MSSP_BFLOAT16:
      return Round<mssp::BFloat16>(values, codes, n);
    case MSSP_HIFLOAT8:
      return Round<mssp::HiFloat8>(values, codes, n);
    case MSSP_FLOAT8_E5M2:
      return Round<mssp::Float8E5M2>(values, codes, n);
    default:
      return Round<mssp::Float8E4M3FN>(values, codes, n);
  }
}

EXPORT void ShimWiden(int32_t type, const uint16_t* codes, float* values, int64_t n) {
  switch (type) {
    case MSSP_FLOAT16:
      return Widen<mssp::Float16>(codes, values, n);
    case MSSP_BFLOAT16:
      return Widen<mssp::BFloat16>(codes, values, n);
    case MSSP_HIFLOAT8:
      return Widen<mssp::HiFloat8>(codes, values, n);
    case MSSP_FLOAT8_E5M2:
      return Widen<mssp::Float8E5M2>(codes, values, n);
    default:
      return Widen<mssp::Float8E4M3FN>(codes, values, n);
  }
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
