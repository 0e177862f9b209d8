// AVX-512: 16 numbers at once.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <limits>

#include "../../core/simd/target_region.h"
#include "../../core/small_float.h"
#include "../builtin.h"
#include "vector_kernels.h"

#define MSSP_LANES 16
#define MSSP_SUMS 16
#define MSSP_TABLE kAvx512Vectors
#define MSSP_TABLE_NAME "avx512"

MSSP_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,fma")

#include "vector_types.h"

namespace mssp {
namespace compat {
namespace {

MSSP_INLINE Floats LoadHalf(const uint16_t* from) {
  return (Floats)_mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

MSSP_INLINE Shorts NarrowHalf(Floats x) {
  return (Shorts)_mm512_maskz_cvtps_ph(0xFFFF, (__m512)x, _MM_FROUND_TO_NEAREST_INT);
}

// In pieces of 16 bytes: MindSpore's large tensors begin 16 bytes behind a page.
MSSP_INLINE void StreamVector(Floats x, float* to) {
  _mm_stream_ps(to, _mm512_maskz_extractf32x4_ps(0xF, (__m512)x, 0));
  _mm_stream_ps(to + 4, _mm512_maskz_extractf32x4_ps(0xF, (__m512)x, 1));
  _mm_stream_ps(to + 8, _mm512_maskz_extractf32x4_ps(0xF, (__m512)x, 2));
  _mm_stream_ps(to + 12, _mm512_maskz_extractf32x4_ps(0xF, (__m512)x, 3));
}
MSSP_INLINE void StreamVector(Shorts x, uint16_t* to) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), _mm256_extracti128_si256((__m256i)x, 0));
  _mm_stream_si128(reinterpret_cast<__m128i*>(to) + 1, _mm256_extracti128_si256((__m256i)x, 1));
}

}  // namespace
}  // namespace compat
}  // namespace mssp

#include "vector_body.h"

MSSP_END_TARGET

#endif  // __x86_64__
