// AVX-512: 16 numbers at once.
#if defined(__x86_64__)

#include <immintrin.h>

#define MSSP_LANES 16
#define MSSP_SUMS 16
#define MSSP_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,fma")))
#define MSSP_TABLE kAvx512Vectors
#define MSSP_TABLE_NAME "avx512"
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

MSSP_INLINE void StreamVector(Floats x, float* to) { _mm512_stream_ps(to, (__m512)x); }
MSSP_INLINE void StreamVector(Shorts x, uint16_t* to) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)x);
}

}  // namespace
}  // namespace compat
}  // namespace mssp

#include "vector_body.h"

#endif  // __x86_64__
