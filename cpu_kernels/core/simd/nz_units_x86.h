// PA_NZ units for the x86 sets that have registers of 32 bytes, for inclusion where stream_x86.h may be.
#ifndef MS_SCATTER_PA_CORE_SIMD_NZ_UNITS_X86_H_
#define MS_SCATTER_PA_CORE_SIMD_NZ_UNITS_X86_H_

#include <immintrin.h>

#include <cstdint>

#include "stream_x86.h"

namespace mssp {
namespace {

inline __m256i Load32(const char* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline void Stream32(char* to, __m256i x) { _mm256_stream_si256(reinterpret_cast<__m256i*>(to), x); }
inline void Store32(char* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }

enum class Store { kOrdinary, kStream16, kStream32 };

template <Store kStore>
inline void StoreUnit(char* to, __m256i x) {
  if constexpr (kStore == Store::kStream32) {
    Stream32(to, x);
  } else if constexpr (kStore == Store::kStream16) {
    Stream16(to, _mm256_castsi256_si128(x));
    Stream16(to + 16, _mm256_extracti128_si256(x, 1));
  } else {
    Store32(to, x);
  }
}

template <Store kStore>
inline void CopyUnit(char* to, const char* from) {
  StoreUnit<kStore>(to, Load32(from));
}

template <Store kStore>
void RunNzUnits(const NzRun& run, int64_t first_token, int64_t tokens, int64_t first_unit) {
  CopyUnits<CopyUnit<kStore>, Fetch>(run, first_token, tokens, first_unit);
}

inline bool RowsAreOnLines(const StripRun& run) { return IsAligned(run.to, kLine) && run.token_stride % kLine == 0; }

// Two units of two tokens at a time: whole lines of the cache become whole lines of the rows. kMove takes where they go
// in the first and in the second row, and two tokens of each unit.
template <void (*kMove)(char* first, char* second, const char* unit, const char* next_unit)>
void RowsNzLines(const StripRun& run) {
  const int64_t pitch = run.strip_stride;
  StripsAhead ahead = *run.ahead;
  for (int64_t t = 0; t + 2 <= run.tokens; t += 2) {
    const char* from = run.from + t * kUnitBytes;
    char* to = run.to + t * run.token_stride;
    for (int64_t u = 0; u + 2 <= run.strips; u += 2, from += 2 * pitch, to += kLine) {
      if (u % 4 == 0) FetchNext<Fetch>(&ahead);
      kMove(to, to + run.token_stride, from, from + pitch);
    }
  }
  *run.ahead = ahead;
  if (run.strips & 1) CopyRows<CopyUnit<Store::kOrdinary>>(run, 0, run.strips - 1);
  if (run.tokens & 1) CopyRows<CopyUnit<Store::kOrdinary>>(run, run.tokens - 1, 0);
}

// Ordinary stores wait for the line they go to, streamed ones for their way to memory; where each kind has its own
// queue a share of both is the fastest. Measured on random slots of 1 GiB: two in eight.
constexpr int kStreamedTokens = 2;

template <Store kStore>
inline void TileNzUnits(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, int tokens) {
  const int first_fetched = kStore == Store::kOrdinary ? 0 : kStreamedTokens;
  for (int64_t u = 0; u < units; ++u) {
    const int64_t at = u * unit_stride;
    for (int k = 0; k < tokens; ++k) {
      // Into the second-level cache: it has more requests in flight than the first.
      if (k < next.count && u % 2 == 0) Fetch(next.from[k] + u * kUnitBytes);
      if (k < next.count && k >= first_fetched) {
        Fetch(next.to[k] + at);
        if (kStore != Store::kStream32) Fetch(next.to[k] + at + kUnitBytes - 1);
      }
      if (k < tile.count) {
        const __m256i x = Load32(tile.from[k] + u * kUnitBytes);
        if (k < first_fetched) {
          StoreUnit<kStore>(tile.to[k] + at, x);
        } else {
          Store32(tile.to[k] + at, x);
        }
      }
    }
  }
}

void TileNz(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool stream) {
  if (!stream && tile.count <= 1 && next.count <= 1) {
    return TileNzUnits<Store::kOrdinary>(tile, next, units, unit_stride, 1);  // a decode step of one sequence
  }
  stream = stream && StreamsPartialLines();
  uintptr_t bits = static_cast<uintptr_t>(unit_stride);
  for (int k = 0; k < tile.count; ++k) bits |= reinterpret_cast<uintptr_t>(tile.to[k]);
  if (!stream || bits % 16 != 0) return TileNzUnits<Store::kOrdinary>(tile, next, units, unit_stride, kNzTile);
  if (bits % 32 != 0) return TileNzUnits<Store::kStream16>(tile, next, units, unit_stride, kNzTile);
  TileNzUnits<Store::kStream32>(tile, next, units, unit_stride, kNzTile);
}

}  // namespace
}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_NZ_UNITS_X86_H_
