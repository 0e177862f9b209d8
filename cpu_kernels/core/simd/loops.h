// The loops that the sets have in common, around the copies and fetches of each. Everything has internal linkage: where
// this is included, there it is compiled.
#ifndef MS_SCATTER_PA_CORE_SIMD_LOOPS_H_
#define MS_SCATTER_PA_CORE_SIMD_LOOPS_H_

#include <cstdint>
#include <cstring>

#include "../call_sizes.h"
#include "kernels.h"

namespace mssp {
namespace {

inline void CopyBytes(char* to, const char* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

// Row by row, all copies round robin.
template <void (*kCopy)(char* to, const char* from, int64_t bytes)>
inline void CopyRoundRobin(const InterleavedCopies& copies) {
  for (int64_t r = 0; r < copies.rows; ++r) {
    for (int k = 0; k < copies.count; ++k) {
      kCopy(copies.to[k] + r * copies.row_bytes, copies.from[k] + r * copies.stride, copies.row_bytes);
    }
  }
}

// Tokens [first_token, first_token + tokens) of a run, from unit `first_unit` on. Two units lie in one line of the
// source, which is fetched once.
template <void (*kCopy)(char* to, const char* from), void (*kFetch)(const char* from)>
inline void CopyUnits(const NzRun& run, int64_t first_token, int64_t tokens, int64_t first_unit) {
  for (int64_t u = first_unit; u < run.units; ++u) {
    char* const to = run.to + u * run.unit_stride + first_token * kUnitBytes;
    const char* const from = run.from + u * kUnitBytes + first_token * run.token_stride;
    for (int64_t t = 0; t < tokens; ++t) {
      if ((u & 1) == 0) kFetch(from + t * run.token_stride + run.prefetch);
      kCopy(to + t * kUnitBytes, from + t * run.token_stride);
    }
  }
}

// Lines of the run to come, one for each line that two tokens share in a unit: in the order of its units, or, where the
// run fills its block and they lie side by side, in the order of memory, which hardware reads ahead in as well.
class UnitsAhead {
 public:
  UnitsAhead(const NzRun& run, int64_t token) : at_(run.from + run.prefetch) {
    const bool fills_block = run.unit_stride == run.tokens * kUnitBytes;
    step_ = fills_block ? kLine : run.unit_stride;
    at_ += token / 2 * (fills_block ? run.units * kLine : kLine);
  }

  const char* Next() {
    const char* const line = at_;
    at_ += step_;
    return line;
  }

 private:
  const char* at_;
  int64_t step_;
};

// Units of a run back into rows, from token `first_token` and unit `first_unit` on: two at a time fill a line of a row.
template <void (*kCopy)(char* to, const char* from), void (*kFetch)(const char* from)>
inline void CopyRows(const NzRun& run, int64_t first_token, int64_t first_unit) {
  for (int64_t t = first_token; t < run.tokens; ++t) {
    UnitsAhead ahead(run, t);
    for (int64_t u = first_unit; u < run.units; ++u) {
      const char* const line = ahead.Next();
      if (t % 2 == 0) kFetch(line);
      kCopy(run.to + t * run.token_stride + u * kUnitBytes, run.from + u * run.unit_stride + t * kUnitBytes);
    }
  }
}

// Unit by unit of all tokens of a tile, the lines of the next tile on their way meanwhile.
template <void (*kCopy)(char* to, const char* from), void (*kFetch)(const char* to)>
inline void CopyTile(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride) {
  for (int64_t u = 0; u < units; ++u) {
    for (int k = 0; k < kNzTile; ++k) {
      if (k < next.count) {
        char* const to = next.to[k] + u * unit_stride;
        kFetch(to);
        kFetch(to + kUnitBytes - 1);
      }
      if (k < tile.count) kCopy(tile.to[k] + u * unit_stride, tile.from[k] + u * kUnitBytes);
    }
  }
}

}  // namespace
}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_LOOPS_H_
