// The loops that differ by instruction set.
#ifndef MS_SCATTER_PA_CORE_KERNELS_H_
#define MS_SCATTER_PA_CORE_KERNELS_H_

#include <cstdint>

#include "element_type.h"

namespace mssp {

// A PA_NZ write of consecutive tokens to consecutive slots of one block: unit u of token t goes from
// from + t * token_stride + u * 32 to to + u * unit_stride + t * 32.
struct NzRun {
  char* to;
  const char* from;
  int64_t token_stride;
  int64_t unit_stride;
  int64_t tokens;
  int64_t units;
  int64_t prefetch;  // bytes from a row to the row that should be on its way meanwhile; 0: none
};

inline constexpr int kNzTile = 8;

// Up to kNzTile tokens of a PA_NZ write whose slots have nothing to do with one another.
struct NzTile {
  int count = 0;
  char* to[kNzTile];
  const char* from[kNzTile];
};

// The mean of rows, column by column. Float types: a float32 sum that starts at +0.0, rows in order, one division, one
// rounding. Integers: a 64-bit sum, truncating division. The caller holds an IeeeScope.
struct MeanKernel {
  // Adds `count` rows, `stride` bytes apart and of any alignment, to `columns` sums.
  void (*add)(const char* rows, int64_t stride, int64_t count, int64_t columns, void* sums);
  void (*finish)(const void* sums, int64_t count, int64_t columns, char* out);
  int64_t sum_bytes;  // of one column; all bits zero is a sum of nothing
};

// "Streamed" stores go past the caches where the destination's alignment allows it; Fence() must follow them before
// another thread may read the rows.
struct Kernels {
  const char* name;

  // `rows` rows of `row_bytes`, `stride` bytes apart, to contiguous memory.
  void (*stream_rows)(char* to, const char* from, int64_t row_bytes, int64_t stride, int64_t rows);

  void (*nz_run)(const NzRun& run, bool stream);

  // Stores units [0, units) of `tile` and has the lines and rows of `next` fetched meanwhile.
  void (*nz_tile)(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool stream);

  void (*fence)();

  MeanKernel means[kNumElements];  // by MsspElementType
};

extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_KERNELS_H_
