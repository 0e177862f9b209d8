// Whether rows fit a cache: what only a kernel knows where dimensions are dynamic. The CPU's entries and op_host
// include this one file. It stands here, in C++11, because CANN compiles op_host without anything of the CPU.
#ifndef MS_SCATTER_PA_CACHE_SHAPE_H_
#define MS_SCATTER_PA_CACHE_SHAPE_H_

#include <stdint.h>

#include "../op_kernel/ms_scatter_pa_op_info.h"

namespace mssp {

// Beyond all bounds rather than wrapped around: what follows refuses it.
inline int64_t Times(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

// How many dimensions a tensor may have.
struct Ranks {
  int64_t least;
  int64_t most;
};

inline bool IsOneOf(int64_t rank, const Ranks& ranks) { return ranks.least <= rank && rank <= ranks.most; }

// Of rows: [T, N, D], or [B, S, N, D] where they have a batch; flattened, [T, N*D], [1, T, N*D] or [B, S, N*D].
inline Ranks RowsRanks(bool has_batch, bool flattened) {
  const int64_t most = has_batch ? 4 : 3;
  return {flattened ? 2 : most, most};
}

inline Ranks CacheRanks(int64_t layout, bool compressed) {
  return {layout == MSSP_NORM && !compressed ? 3 : 4, layout == MSSP_PA_NZ ? 5 : 4};
}

// What the shape of a cache says.
struct CacheShape {
  int64_t num_blocks;
  int64_t block_size;
  bool tells_heads;
  int64_t num_head;   // 0 where the shape does not tell it
  int64_t head_size;  // 0 where the shape does not tell it
  int64_t channels;   // num_head * head_size
  int64_t unit;       // PA_NZ: the last dimension; else 0
};

// `rank` is one of CacheRanks.
inline CacheShape ReadCacheShape(const int64_t* dims, int64_t rank, int64_t layout) {
  if (rank == 3) {
    return {dims[0], dims[1], false, 0, 0, dims[2], 0};
  }
  if (layout == MSSP_NHSD) {
    return {dims[0], dims[2], true, dims[1], dims[3], Times(dims[1], dims[3]), 0};
  }
  if (layout == MSSP_PA_NZ && rank == 4) {
    return {dims[0], dims[2], false, 0, 0, Times(dims[1], dims[3]), dims[3]};
  }
  if (layout == MSSP_PA_NZ) {
    const int64_t head_size = Times(dims[2], dims[4]);
    return {dims[0], dims[3], true, dims[1], head_size, Times(dims[1], head_size), dims[4]};
  }
  return {dims[0], dims[1], true, dims[2], dims[3], Times(dims[2], dims[3]), 0};
}

// What a cache has and what it should have; equal where rows fit.
struct CacheFit {
  int64_t given;
  int64_t expected;
};

// The first thing that disagrees with rows of num_head * head_size elements of item_size bytes. Of a compressed mode a
// cache row is one head.
inline CacheFit FitCache(const CacheShape& cache, int64_t layout, bool compressed, int64_t num_head, int64_t head_size,
                         int64_t item_size) {
  const int64_t heads = compressed ? 1 : num_head;
  if (layout == MSSP_PA_NZ && cache.unit != MSSP_UNIT_BYTES / item_size) {
    return {cache.unit, MSSP_UNIT_BYTES / item_size};
  }
  if ((compressed || cache.num_head != 0) && cache.num_head != heads) {
    return {cache.num_head, heads};
  }
  if ((compressed || cache.num_head != 0) && cache.head_size != head_size) {
    return {cache.head_size, head_size};
  }
  return {cache.channels, Times(heads, head_size)};
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CACHE_SHAPE_H_
