// The loops that differ by instruction set.
#ifndef MS_SCATTER_PA_CORE_KERNELS_H_
#define MS_SCATTER_PA_CORE_KERNELS_H_

#include <array>
#include <cstdint>

#include "../op_info.h"
#include "quant.h"
#include "strips.h"

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
  // Part of a longer write of the same kind, of which so many tokens were before,
  int64_t before;
  // and more follow: the last line of a unit, if it is not whole, is left to them, who find its first bytes in the rows
  // before their own.
  bool goes_on;
  bool fills_block;  // all of it: where a unit ends the next one begins
};

// Copies that go on side by side: row r of copy k, `row_bytes` long, goes from from[k] + r * stride to
// to[k] + r * row_bytes.
inline constexpr int kMaxInterleaved = 8;

struct InterleavedCopies {
  int count = 0;
  char* to[kMaxInterleaved];
  const char* from[kMaxInterleaved];
  int64_t row_bytes;
  int64_t stride;
  int64_t rows;
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
  // Adds a row, of any alignment, to `columns` sums; `prefetch` as in InterleavedCopies.
  void (*add)(const char* row, int64_t columns, int64_t prefetch, void* sums);
  void (*finish)(const void* sums, int64_t count, int64_t columns, char* out);
  int64_t sum_bytes;  // of one column; all bits zero is a sum of nothing
};

using Means = std::array<MeanKernel, MSSP_NUM_ELEMENT_TYPES>;  // by MsspElementType

// "Streamed" stores go past the caches where the destination's alignment allows it, those of part of a line only where
// StreamsPartialLines() says so; Fence() must follow them before another thread may read the rows.
struct Kernels {
  const char* name;

  void (*stream_long)(char* to, const char* from, int64_t bytes);

  void (*stream_interleaved)(const InterleavedCopies& copies);

  void (*nz_run)(const NzRun& run, bool stream);

  // Strips of 32 bytes.
  void (*nz_rows)(const StripRun& run, bool stream);

  // Whether it streams rows of that length, which lie side by side from `to` on.
  bool (*streams_nz_rows)(const void* to, int64_t row_bytes);

  // Strips of whole lines to rows that lie side by side.
  void (*stream_strips)(const StripRun& run);

  // Stores units [0, units) of `tile` and has the lines and rows of `next` fetched meanwhile.
  void (*nz_tile)(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool stream);

  void (*fence)();

  Means means;

  QuantKernels quant;
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
