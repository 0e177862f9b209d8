// Streamed copies and PA_NZ units for the x86 sets, for inclusion by their files after loops.h and after Line,
// LoadLine(from), StreamLine(to, line) to a line's border, past the caches, and CopyShort(to, from, bytes): fewer bytes
// than a line.
#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"
#include "kernels.h"
#include "partial_stores.h"

namespace mssp {
namespace {

constexpr int64_t kPage = 4096;

// Reading this far ahead keeps more requests in flight than hardware does by itself, which stops at the end of a page;
// the page after that has its translation on its way. Both go on in the next row.
constexpr int kPagesAbreast = 4;
constexpr int64_t kAheadBytes = kPagesAbreast * kPage;
constexpr int64_t kTurnLines = 4;
constexpr int64_t kTurnBytes = kTurnLines * kLine;

inline bool IsAligned(const void* pointer, uintptr_t bytes) {
  return (reinterpret_cast<uintptr_t>(pointer) & (bytes - 1)) == 0;
}

inline __m128i Load16(const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline __m256i Load32(const char* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline void Stream16(char* to, __m128i x) { _mm_stream_si128(reinterpret_cast<__m128i*>(to), x); }
inline void Stream32(char* to, __m256i x) { _mm256_stream_si256(reinterpret_cast<__m256i*>(to), x); }
inline void Store32(char* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }
inline void Fetch(const char* from) { _mm_prefetch(from, _MM_HINT_T1); }

inline int64_t BytesToLine(const char* to) {
  return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(to) & (kLine - 1));
}

// Part of a line.
inline void StreamPart(char* to, const char* from, int64_t bytes) {
  if (StreamsParts() && IsAligned(to, 16) && bytes % 16 == 0) {
    for (int64_t i = 0; i < bytes; i += 16) Stream16(to + i, Load16(from + i));
  } else if (bytes > 0) {
    CopyShort(to, from, bytes);
  }
}

void StreamLong(char* to, const char* from, int64_t bytes) {
  const int64_t head = BytesToLine(to) < bytes ? BytesToLine(to) : bytes;
  StreamPart(to, from, head);
  to += head;
  from += head;
  bytes -= head;
  // Pages side by side: hardware reads ahead in all of them.
  while (bytes >= kPagesAbreast * kTurnBytes) {
    int64_t width = bytes / kPagesAbreast;
    width = width > kPage ? kPage : width - width % kLine;
    for (int p = 0; p < kPagesAbreast; ++p) Fetch(from + 2 * kAheadBytes + p * kPage);
    for (int64_t i = 0; i < width; i += kLine) {
      Line lines[kPagesAbreast];
      for (int p = 0; p < kPagesAbreast; ++p) Fetch(from + kAheadBytes + p * width + i);
      for (int p = 0; p < kPagesAbreast; ++p) lines[p] = LoadLine(from + p * width + i);
      for (int p = 0; p < kPagesAbreast; ++p) StreamLine(to + p * width + i, lines[p]);
    }
    to += kPagesAbreast * width;
    from += kPagesAbreast * width;
    bytes -= kPagesAbreast * width;
  }
  for (; bytes >= kLine; bytes -= kLine, to += kLine, from += kLine) {
    Fetch(from + kAheadBytes);
    StreamLine(to, LoadLine(from));
  }
  StreamPart(to, from, bytes);
}

// A line that begins with the `before` bytes that end at `end`, and goes on with those from `next` on.
inline void StreamJoined(char* to, const char* end, int64_t before, const char* next);

// What one copy gets before the next one has its turn.
inline void StreamTurn(char* to, const char* from, int64_t prefetch) {
  for (int64_t i = 0; i < kTurnBytes; i += kLine) Fetch(from + i + prefetch);
  // Loads first: a load behind a store is held up until it is known that they do not meet.
  Line lines[kTurnLines];
  for (int64_t i = 0; i < kTurnLines; ++i) lines[i] = LoadLine(from + i * kLine);
  for (int64_t i = 0; i < kTurnLines; ++i) StreamLine(to + i * kLine, lines[i]);
}

// Whether copy k begins where the one before it ends.
inline bool GoesOn(const InterleavedCopies& copies, int k) {
  return k > 0 && k < copies.count && copies.to[k - 1] + copies.rows * copies.row_bytes == copies.to[k];
}

// Whole lines of all copies in turn. A line that two rows of a copy share is stored once, with the second row; one that
// two copies share with the end of the first.
void StreamInterleaved(const InterleavedCopies& copies) {
  const int64_t row_bytes = copies.row_bytes;
  if (row_bytes < kLine) {
    return CopyInTurn<StreamPart>(copies);
  }
  const bool streams_parts = StreamsParts();
  for (int64_t r = 0; r < copies.rows; ++r) {
    const bool last = r + 1 == copies.rows;
    if (!streams_parts && (r == 0 || last)) {  // the lines that ordinary stores will wait for
      for (int k = 0; k < copies.count; ++k) {
        const char* const end = copies.to[k] + copies.rows * row_bytes;
        if (r == 0 && !IsAligned(copies.to[k], kLine)) Fetch(copies.to[k]);
        if (last && !IsAligned(end, kLine)) Fetch(end);
      }
    }
    char* to[kMaxInterleaved];
    const char* from[kMaxInterleaved];
    int64_t bytes[kMaxInterleaved];  // of the row that are still to be copied
    int64_t common = row_bytes;
    for (int k = 0; k < copies.count; ++k) {
      to[k] = copies.to[k] + r * row_bytes;
      from[k] = copies.from[k] + r * copies.stride;
      Fetch(from[k] + row_bytes - 1 + copies.prefetch);  // a line that no step from the row's beginning meets
      const int64_t head = BytesToLine(to[k]);
      if (head != 0) {
        Fetch(from[k] + copies.prefetch);
        if (r == 0) {
          if (streams_parts && !GoesOn(copies, k)) StreamPart(to[k], from[k], head);
        } else {  // with the end of the row before
          StreamJoined(to[k] + head - kLine, from[k] - copies.stride + row_bytes, kLine - head, from[k]);
        }
        to[k] += head;
        from[k] += head;
      }
      bytes[k] = row_bytes - head;
      common = bytes[k] < common ? bytes[k] : common;
    }
    common -= common % kTurnBytes;
    for (int64_t i = 0; i < common; i += kTurnBytes) {
      for (int k = 0; k < copies.count; ++k) StreamTurn(to[k] + i, from[k] + i, copies.prefetch);
    }
    for (int k = 0; k < copies.count; ++k) {
      int64_t i = common;
      for (; i + kLine <= bytes[k]; i += kLine) {
        Fetch(from[k] + i + copies.prefetch);
        StreamLine(to[k] + i, LoadLine(from[k] + i));
      }
      const int64_t rest = bytes[k] - i;
      if (!last || rest == 0) continue;  // with the beginning of the next row
      if (GoesOn(copies, k + 1)) {
        StreamJoined(to[k] + i, from[k] + bytes[k], rest, copies.from[k + 1]);
      } else {
        StreamPart(to[k] + i, from[k] + i, rest);
      }
    }
  }
  if (streams_parts) return;
  for (int k = 0; k < copies.count; ++k) {
    if (!GoesOn(copies, k)) StreamPart(copies.to[k], copies.from[k], BytesToLine(copies.to[k]));
  }
}

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

inline bool RowsAreOnLines(const NzRun& run) { return IsAligned(run.to, kLine) && run.token_stride % kLine == 0; }

// Two units of two tokens at a time: whole lines of the cache become whole lines of the rows. kMove takes where they go
// in the first and in the second row, and two tokens of each unit.
template <void (*kMove)(char* first, char* second, const char* unit, const char* next_unit)>
void RowsNzLines(const NzRun& run) {
  const int64_t pitch = run.unit_stride;
  const int64_t twos = run.tokens / 2;
  for (int64_t p = 0; p < twos; ++p) {
    const char* from = run.from + p * kLine;
    char* to = run.to + 2 * p * run.token_stride;
    UnitsAhead ahead(run, 2 * p);
    for (int64_t u = 0; u + 2 <= run.units; u += 2, from += 2 * pitch, to += kLine) {
      Fetch(ahead.Next());
      Fetch(ahead.Next());
      kMove(to, to + run.token_stride, from, from + pitch);
    }
  }
  if (run.units & 1) CopyRows<CopyUnit<Store::kOrdinary>, Fetch>(run, 0, run.units - 1);
  if (run.tokens & 1) CopyRows<CopyUnit<Store::kOrdinary>, Fetch>(run, run.tokens - 1, 0);
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
  stream = stream && StreamsParts();
  uintptr_t bits = static_cast<uintptr_t>(unit_stride);
  for (int k = 0; k < tile.count; ++k) bits |= reinterpret_cast<uintptr_t>(tile.to[k]);
  if (!stream || bits % 16 != 0) return TileNzUnits<Store::kOrdinary>(tile, next, units, unit_stride, kNzTile);
  if (bits % 32 != 0) return TileNzUnits<Store::kStream16>(tile, next, units, unit_stride, kNzTile);
  TileNzUnits<Store::kStream32>(tile, next, units, unit_stride, kNzTile);
}

void Fence() { _mm_sfence(); }

}  // namespace
}  // namespace mssp
