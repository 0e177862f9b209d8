// What paged attention cannot be faster than: reading its pages once, and doing its conversions and multiply-adds once,
// without softmax, sums across vectors or an order of its own. Compiled for the machine that measures.
#include <immintrin.h>

#include <cstdint>

namespace {

#if defined(__AVX512F__)
using Vector = __m512;
constexpr int kLanes = 16;
inline Vector Load(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vector LoadFloats(const float* p) { return _mm512_loadu_ps(p); }
inline Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline float First(Vector v) { return _mm512_cvtss_f32(v); }
inline Vector Zero() { return _mm512_setzero_ps(); }
#else
using Vector = __m256;
constexpr int kLanes = 8;
inline Vector Load(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Vector LoadFloats(const float* p) { return _mm256_loadu_ps(p); }
inline Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline float First(Vector v) { return _mm256_cvtss_f32(v); }
inline Vector Zero() { return _mm256_setzero_ps(); }
#endif

constexpr int kGroup = 4;
constexpr int kSize = 128;

}  // namespace

extern "C" {

// Every byte of `count` pages, by `threads` threads.
uint64_t ReadPages(const char* base, const int32_t* pages, int64_t count, int64_t page_bytes, int threads) {
  uint64_t total = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
  for (int64_t i = 0; i < count; ++i) {
    const char* page = base + pages[i] * page_bytes;
    __m256i a = _mm256_setzero_si256();
    __m256i b = a;
    for (int64_t at = 0; at < page_bytes; at += 64) {
      a = _mm256_xor_si256(a, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(page + at)));
      b = _mm256_xor_si256(b, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(page + at + 32)));
    }
    total += static_cast<uint64_t>(_mm256_extract_epi64(_mm256_xor_si256(a, b), 0));
  }
  return total;
}

// The arithmetic of four queries on every row of 128 float16 in those pages.
float MultiplyPages(const char* base, const int32_t* pages, int64_t count, int64_t page_bytes, const float* queries,
                    int threads) {
  float total = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
  for (int64_t i = 0; i < count; ++i) {
    const auto* rows = reinterpret_cast<const uint16_t*>(base + pages[i] * page_bytes);
    const int64_t pairs = page_bytes / 2 / kSize / 2;
    Vector sums[2 * kGroup];
    for (Vector& sum : sums) sum = Zero();
    for (int64_t pair = 0; pair < pairs; ++pair, rows += 2 * kSize) {
#pragma GCC unroll 16
      for (int c = 0; c < kSize; c += kLanes) {
        const Vector first = Load(rows + c);
        const Vector second = Load(rows + kSize + c);
#pragma GCC unroll 4
        for (int g = 0; g < kGroup; ++g) {
          const Vector query = LoadFloats(queries + g * kSize + c);
          sums[g] = MultiplyAdd(query, first, sums[g]);
          sums[kGroup + g] = MultiplyAdd(query, second, sums[kGroup + g]);
        }
      }
    }
    for (const Vector& sum : sums) total += First(sum);
  }
  return total;
}

}  // extern "C"
