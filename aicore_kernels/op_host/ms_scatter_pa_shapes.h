// Reads the operator's shapes: what they mean and whether they agree. No CANN types.
#ifndef MS_SCATTER_PA_SHAPES_H_
#define MS_SCATTER_PA_SHAPES_H_

#include "ms_scatter_pa_cache_shape.h"
#include "ms_scatter_pa_kv_cache_tiling.h"

namespace mssp_host {

// False when the product does not fit; every address the kernel forms is below such a product.
inline bool Multiply(int64_t a, int64_t b, int64_t* product) { return !__builtin_mul_overflow(a, b, product); }

inline bool ElementCount(const TensorShape& shape, int64_t* count) {
  *count = 1;
  for (int64_t i = 0; i < shape.rank; ++i) {
    if (shape.dims[i] < 0 || !Multiply(*count, shape.dims[i], count)) {
      return false;
    }
  }
  return true;
}

inline bool HasCount(const TensorShape& shape, int64_t expected) {
  int64_t count = 0;
  return ElementCount(shape, &count) && count == expected;
}

// How key and value come: [T, N, D] or, in compressed modes, [B, S, N, D]; packed, [sum(seq_lens), N, D]; flattened,
// [T, N*D], [1, T, N*D] or [B, S, N*D].
enum Rows { kPlainRows, kPackedRows, kFlattenedRows, kRows };

// The modes, which come as the shape of the tensor `mode`: [1 + layout, 1 + scatter_mode, 1 + key_only, 1 + rows].
struct Modes {
  int32_t layout;
  int32_t scatter_mode;
  bool key_only;
  bool packed;
  bool flattened;
};

inline const char* ReadModes(const TensorShape& shape, Modes* modes) {
  const int64_t limits[4] = {MSSP_NUM_LAYOUTS, MSSP_NUM_SCATTER_MODES, 2, kRows};
  if (shape.rank != 4) {
    return "mode: expected 4 dimensions";
  }
  for (int32_t i = 0; i < 4; ++i) {
    if (shape.dims[i] < 1 || shape.dims[i] > limits[i]) {
      return "mode: a dimension names no mode";
    }
  }
  modes->layout = static_cast<int32_t>(shape.dims[0] - 1);
  modes->scatter_mode = static_cast<int32_t>(shape.dims[1] - 1);
  modes->key_only = shape.dims[2] == 2;
  modes->packed = shape.dims[3] == 1 + kPackedRows;
  modes->flattened = shape.dims[3] == 1 + kFlattenedRows;
  if (modes->scatter_mode != MSSP_NONE && modes->layout != MSSP_NORM) {
    return "mode: Alibi, Rope and Omni need the Norm layout";
  }
  if (modes->scatter_mode == MSSP_NONE && modes->packed) {
    return "mode: packed rows need Alibi, Rope or Omni";
  }
  if (modes->scatter_mode != MSSP_NONE && modes->flattened) {
    return "mode: Alibi, Rope and Omni take no flattened rows";
  }
  return nullptr;
}

// num_head as a cache tells it; -1 where it does not.
inline int64_t ToldHeads(const TensorShape& cache, int32_t layout) {
  if (!mssp::IsOneOf(cache.rank, mssp::CacheRanks(layout, false))) {
    return -1;
  }
  const mssp::CacheShape shape = mssp::ReadCacheShape(cache.dims, cache.rank, layout);
  return shape.tells_heads ? shape.num_head : -1;
}

// num_head of flattened rows. Where the cache's shape does not tell heads apart, its memory does not depend on them.
inline int64_t HeadsOf(const TensorShape& cache, const Modes& modes) {
  const int64_t told = ToldHeads(cache, modes.layout);
  return told < 0 ? 1 : told;
}

// Whether rows of `heads` heads of `head_size` elements fit the cache, and what its shape says.
inline bool ReadCache(const TensorShape& cache, int32_t layout, bool compressed, int64_t heads, int64_t head_size,
                      int32_t type, mssp::CacheShape* out) {
  int64_t elements = 0;
  if (!mssp::IsOneOf(cache.rank, mssp::CacheRanks(layout, compressed)) || !ElementCount(cache, &elements) ||
      elements > INT64_MAX / 8) {
    return false;
  }
  *out = mssp::ReadCacheShape(cache.dims, cache.rank, layout);
  const mssp::CacheFit fit = mssp::FitCache(*out, layout, compressed, heads, head_size, MsspItemSize(type));
  return fit.given == fit.expected;
}

// n where x is 1 << n; -1 where it is none.
inline int32_t ShiftOf(int64_t x) {
  int32_t shift = 0;
  while ((INT64_C(1) << shift) < x) {
    ++shift;
  }
  return (INT64_C(1) << shift) == x ? shift : -1;
}

inline int64_t Clamp(int64_t x, int64_t low, int64_t high) { return MsspMax(low, MsspMin(x, high)); }

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_SHAPES_H_
