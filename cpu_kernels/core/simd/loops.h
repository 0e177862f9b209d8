// The loops that the sets have in common, around the copies and fetches of each. Everything has internal linkage: where
// this is included, there it is compiled.
#ifndef MS_SCATTER_PA_CORE_SIMD_LOOPS_H_
#define MS_SCATTER_PA_CORE_SIMD_LOOPS_H_

#include <cstdint>
#include <cstring>

#include "../call_sizes.h"
#include "kernels.h"
#include "strips.h"

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

template <void (*kFetch)(const char* from)>
MSSP_ALWAYS_INLINE void FetchNext(StripsAhead* ahead) {
  if (!ahead->HasMore()) return;
  for (int i = 0; i < StripsAhead::kAtOnce; ++i) kFetch(ahead->Line(i));
  ahead->Advance();
}

// Units back into rows, from token `first_token` and unit `first_unit` on.
template <void (*kCopy)(char* to, const char* from)>
inline void CopyRows(const StripRun& run, int64_t first_token, int64_t first_unit) {
  for (int64_t t = first_token; t < run.tokens; ++t) {
    for (int64_t u = first_unit; u < run.strips; ++u) {
      kCopy(run.to + t * run.token_stride + u * kUnitBytes, run.from + u * run.strip_stride + t * kUnitBytes);
    }
  }
}

// The same of all, the units to come on their way meanwhile.
template <void (*kCopy)(char* to, const char* from), void (*kFetch)(const char* from)>
inline void CopyAllRows(const StripRun& run) {
  StripsAhead ahead = *run.ahead;
  for (int64_t t = 0; t < run.tokens; ++t) {
    for (int64_t u = 0; u < run.strips; ++u) {
      if (u % (2 * StripsAhead::kAtOnce) == 0) FetchNext<kFetch>(&ahead);
      kCopy(run.to + t * run.token_stride + u * kUnitBytes, run.from + u * run.strip_stride + t * kUnitBytes);
    }
  }
  *run.ahead = ahead;
}

// Strips of whole lines, one after the other.
template <void (*kCopy)(char* to, const char* from, int64_t bytes), void (*kFetch)(const char* from)>
inline void CopyStrips(const StripRun& run) {
  StripsAhead ahead = *run.ahead;
  for (int64_t s = 0; s < run.strips; ++s) {
    for (int64_t t = 0; t < run.tokens; ++t) {
      for (int64_t i = 0; i < run.strip_bytes; i += StripsAhead::kAtOnce * kLine) FetchNext<kFetch>(&ahead);
      kCopy(run.to + t * run.token_stride + s * run.strip_bytes, run.from + s * run.strip_stride + t * run.strip_bytes,
            run.strip_bytes);
    }
  }
  *run.ahead = ahead;
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
