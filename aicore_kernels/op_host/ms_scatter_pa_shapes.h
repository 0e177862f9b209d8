// Reads the operator's shapes: what they mean and whether they agree. No CANN types.
#ifndef MS_SCATTER_PA_SHAPES_H_
#define MS_SCATTER_PA_SHAPES_H_

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

// One cache against the rows that go into it; sets block numbers and sizes.
struct CacheShape {
  int64_t num_blocks;
  int64_t block_size;
};

inline bool ReadNorm(const TensorShape& cache, int64_t heads, int64_t head_size, CacheShape* out) {
  if (cache.rank == 3 && cache.dims[2] == heads * head_size) {
    *out = {cache.dims[0], cache.dims[1]};
    return true;
  }
  *out = {cache.dims[0], cache.dims[1]};
  return cache.rank == 4 && cache.dims[2] == heads && cache.dims[3] == head_size;
}

inline bool ReadNz(const TensorShape& cache, int64_t heads, int64_t head_size, int64_t last, CacheShape* out) {
  if (cache.rank == 4) {
    *out = {cache.dims[0], cache.dims[2]};
    return cache.dims[3] == last && cache.dims[1] * last == heads * head_size;
  }
  *out = {cache.dims[0], cache.dims[3]};
  return cache.rank == 5 && cache.dims[1] == heads && cache.dims[4] == last && cache.dims[2] * last == head_size;
}

inline bool ReadNhsd(const TensorShape& cache, int64_t heads, int64_t head_size, CacheShape* out) {
  *out = {cache.dims[0], cache.dims[2]};
  return cache.rank == 4 && cache.dims[1] == heads && cache.dims[3] == head_size;
}

// num_head of flattened rows. Where the cache's shape does not tell heads apart, its memory does not depend on them.
inline int64_t HeadsOf(const TensorShape& cache, const Modes& modes) {
  if (modes.layout == MSSP_NHSD || cache.rank == 5) {
    return cache.dims[1];
  }
  return modes.layout == MSSP_NORM && cache.rank == 4 ? cache.dims[2] : 1;
}

inline bool ReadCache(const TensorShape& cache, const Modes& modes, int64_t heads, int64_t head_size, int32_t type,
                      CacheShape* out) {
  int64_t elements = 0;
  if (cache.rank < 3 || cache.rank > 5 || !ElementCount(cache, &elements) || elements > INT64_MAX / 8) {
    return false;
  }
  if (modes.scatter_mode != MSSP_NONE) {
    return cache.rank == 4 && ReadNorm(cache, 1, head_size, out);
  }
  switch (modes.layout) {
    case MSSP_PA_NZ:
      return ReadNz(cache, heads, head_size, MSSP_DATA_BLOCK / MsspItemSize(type), out);
    case MSSP_NHSD:
      return ReadNhsd(cache, heads, head_size, out);
    default:
      return ReadNorm(cache, heads, head_size, out);
  }
}

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_SHAPES_H_
