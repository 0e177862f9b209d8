// AVX2 with FMA and F16C: 8 numbers at once.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <limits>

#include "../../core/simd/target_region.h"
#include "../../core/small_float.h"
#include "../builtin.h"
#include "vector_kernels.h"

#define MSSP_LANES 8
#define MSSP_SUMS 8
#define MSSP_TABLE kAvx2Vectors
#define MSSP_TABLE_NAME "avx2"

MSSP_BEGIN_TARGET("avx2,f16c,fma")

#include "vector_types.h"

namespace mssp {
namespace compat {
namespace {

MSSP_INLINE Floats LoadHalf(const uint16_t* from) {
  return (Floats)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

MSSP_INLINE Shorts NarrowHalf(Floats x) { return (Shorts)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT); }

// In pieces of 16 bytes: MindSpore's large tensors begin 16 bytes behind a page.
MSSP_INLINE void StreamVector(Floats x, float* to) {
  _mm_stream_ps(to, _mm256_extractf128_ps((__m256)x, 0));
  _mm_stream_ps(to + 4, _mm256_extractf128_ps((__m256)x, 1));
}
MSSP_INLINE void StreamVector(Shorts x, uint16_t* to) { _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)x); }

}  // namespace
}  // namespace compat
}  // namespace mssp

#include "vector_body.h"

MSSP_END_TARGET

#endif  // __x86_64__
