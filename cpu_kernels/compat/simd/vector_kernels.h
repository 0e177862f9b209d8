// The arithmetic that depends on an instruction set, as one table for each; float32 inside, whatever is stored.
#ifndef MS_SCATTER_PA_COMPAT_SIMD_VECTOR_KERNELS_H_
#define MS_SCATTER_PA_COMPAT_SIMD_VECTOR_KERNELS_H_

#include <cstdint>

namespace mssp {
namespace compat {

// Rows of cached keys or values: `count` of them, `stride` bytes apart, of `size` numbers each.
struct Rows {
  const char* base;
  int64_t stride;
  int64_t count;
  int64_t size;
  int32_t type;  // MSSP_BUILTIN_FLOAT32, FLOAT16 or BFLOAT16
  // Rows of the same stride that come later and are fetched meanwhile, line by line with the work on these: a burst of
  // fetches would hold the work up. nullptr: none.
  const char* ahead;
};

struct VectorKernels {
  const char* name;

  // float32 from float16, bfloat16, int8, uint8 or bool (and float32).
  void (*widen)(int32_t type, const void* from, int64_t n, float* to);
  // to = from * factor: float32 from the floats, and back into them, to nearest even.
  void (*scale)(int32_t type, const void* from, float factor, int64_t n, float* to);
  void (*narrow)(int32_t type, const float* from, float factor, int64_t n, void* to);

  // scores[h * score_stride + t] = queries[h * query_stride + ...] . keys[t] for h in 0..heads-1.
  void (*scores)(const Rows& keys, const float* queries, int64_t query_stride, int64_t heads, float* scores,
                 int64_t score_stride);
  // sums[h * sum_stride + ...] = factors[h] * sums + weights[h * weight_stride + t] * values[t], over t. nullptr: 1.
  void (*weigh)(const Rows& values, const float* weights, int64_t weight_stride, const float* factors, int64_t heads,
                float* sums, int64_t sum_stride);
  // The step of an online softmax, for rows of `count` scores: most[r] grows to the largest, a score x becomes
  // exp(x - most[r]), factors[r] is exp(most before - most[r]), and sums[r] = factors[r] * sums[r] + the row's sum.
  // -inf is a key that is not seen.
  void (*soften)(float* scores, int64_t stride, int64_t rows, int64_t count, float* most, float* sums, float* factors);

  // Meanwhile fetches the first half of as many bytes from `ahead` on, and as many from `later` on; nullptr: none.
  float (*sum_of_squares)(int32_t type, const void* x, int64_t n, const void* ahead, const void* later);
  // to = x * factor * gamma; meanwhile fetches the other half from `ahead` on. `stream`: stores go past the caches,
  // which Kernels::fence must follow; `to` and the bytes between two rows are multiples of 16 then.
  void (*normalize)(int32_t type, const void* x, const float* gamma, float factor, int64_t n, void* to,
                    const void* ahead, bool stream);
  // Both halves of `heads` vectors of `size` numbers, from `from` to `to`: cos and sin hold `size` numbers. Meanwhile
  // fetches what lies as far behind as they are long. `stream`: as above, for halves of vectors.
  void (*rotate_halves)(int32_t type, const void* from, const float* cos, const float* sin, int64_t heads, int64_t size,
                        void* to, bool stream);
};

extern const VectorKernels kPortableVectors;
#if defined(__x86_64__)
extern const VectorKernels kAvx2Vectors;
extern const VectorKernels kAvx512Vectors;
#elif defined(__aarch64__)
extern const VectorKernels kNeonVectors;
#endif

// Those of the instruction set that the core runs with.
const VectorKernels& ActiveVectors();

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_SIMD_VECTOR_KERNELS_H_
