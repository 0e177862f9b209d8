// Streamed copies for the x86 sets, which need no more than SSE2, for inclusion by their files after loops.h and after
// Line, LoadLine(from), StreamLine(to, line) to a line's border, past the caches, and CopyShort(to, from, bytes): fewer
// bytes than a line.
#ifndef MS_SCATTER_PA_CORE_SIMD_STREAM_X86_H_
#define MS_SCATTER_PA_CORE_SIMD_STREAM_X86_H_

#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"
#include "kernels.h"
#include "partial_stores.h"

namespace mssp {
namespace {

constexpr int64_t kMemoryPage = 4096;  // of the system: hardware reads ahead up to its end

// Reading this far ahead keeps more requests in flight than hardware does by itself, which stops at the end of a page;
// the page after that has its translation on its way. Both go on in the next row.
constexpr int kInterleavedPages = 4;
constexpr int64_t kAheadBytes = kInterleavedPages * kMemoryPage;
constexpr int64_t kChunkLines = 4;
constexpr int64_t kChunkBytes = kChunkLines * kLine;

inline bool IsAligned(const void* pointer, uintptr_t bytes) {
  return (reinterpret_cast<uintptr_t>(pointer) & (bytes - 1)) == 0;
}

inline __m128i Load16(const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline void Stream16(char* to, __m128i x) { _mm_stream_si128(reinterpret_cast<__m128i*>(to), x); }
MSSP_ALWAYS_INLINE void Fetch(const char* from) { _mm_prefetch(from, _MM_HINT_T1); }

inline int64_t BytesToLine(const char* to) {
  return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(to) & (kLine - 1));
}

// Part of a line.
inline void StreamPartialLine(char* to, const char* from, int64_t bytes) {
  if (StreamsPartialLines() && IsAligned(to, 16) && bytes % 16 == 0) {
    for (int64_t i = 0; i < bytes; i += 16) Stream16(to + i, Load16(from + i));
  } else if (bytes > 0) {
    CopyShort(to, from, bytes);
  }
}

void StreamLong(char* to, const char* from, int64_t bytes) {
  const int64_t head = BytesToLine(to) < bytes ? BytesToLine(to) : bytes;
  StreamPartialLine(to, from, head);
  to += head;
  from += head;
  bytes -= head;
  // Pages side by side: hardware reads ahead in all of them.
  while (bytes >= kInterleavedPages * kChunkBytes) {
    int64_t width = bytes / kInterleavedPages;
    width = width > kMemoryPage ? kMemoryPage : width - width % kLine;
    for (int p = 0; p < kInterleavedPages; ++p) Fetch(from + 2 * kAheadBytes + p * kMemoryPage);
    for (int64_t i = 0; i < width; i += kLine) {
      Line lines[kInterleavedPages];
      for (int p = 0; p < kInterleavedPages; ++p) Fetch(from + kAheadBytes + p * width + i);
      for (int p = 0; p < kInterleavedPages; ++p) lines[p] = LoadLine(from + p * width + i);
      for (int p = 0; p < kInterleavedPages; ++p) StreamLine(to + p * width + i, lines[p]);
    }
    to += kInterleavedPages * width;
    from += kInterleavedPages * width;
    bytes -= kInterleavedPages * width;
  }
  for (; bytes >= kLine; bytes -= kLine, to += kLine, from += kLine) {
    Fetch(from + kAheadBytes);
    StreamLine(to, LoadLine(from));
  }
  StreamPartialLine(to, from, bytes);
}

// A line that begins with the `before` bytes that end at `end`, and goes on with those from `next` on.
inline void StreamJoined(char* to, const char* end, int64_t before, const char* next);

inline void StreamChunk(char* to, const char* from) {
  // Loads first: a load behind a store is held up until it is known that they do not meet.
  Line lines[kChunkLines];
  for (int64_t i = 0; i < kChunkLines; ++i) lines[i] = LoadLine(from + i * kLine);
  for (int64_t i = 0; i < kChunkLines; ++i) StreamLine(to + i * kLine, lines[i]);
}

// What is copied for one row before it goes on with the next copy (round robin).
inline void StreamChunkAhead(char* to, const char* from, int64_t prefetch) {
  for (int64_t i = 0; i < kChunkBytes; i += kLine) Fetch(from + i + prefetch);
  StreamChunk(to, from);
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
    return CopyRoundRobin<StreamPartialLine>(copies);
  }
  const bool streams_partial_lines = StreamsPartialLines();
  for (int64_t r = 0; r < copies.rows; ++r) {
    const bool last = r + 1 == copies.rows;
    if (!streams_partial_lines && (r == 0 || last)) {  // the lines that ordinary stores will wait for
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
          if (streams_partial_lines && !GoesOn(copies, k)) StreamPartialLine(to[k], from[k], head);
        } else {  // with the end of the row before
          StreamJoined(to[k] + head - kLine, from[k] - copies.stride + row_bytes, kLine - head, from[k]);
        }
        to[k] += head;
        from[k] += head;
      }
      bytes[k] = row_bytes - head;
      common = bytes[k] < common ? bytes[k] : common;
    }
    common -= common % kChunkBytes;
    for (int64_t i = 0; i < common; i += kChunkBytes) {
      for (int k = 0; k < copies.count; ++k) StreamChunkAhead(to[k] + i, from[k] + i, copies.prefetch);
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
        StreamPartialLine(to[k] + i, from[k] + i, rest);
      }
    }
  }
  if (streams_partial_lines) return;
  for (int k = 0; k < copies.count; ++k) {
    if (!GoesOn(copies, k)) StreamPartialLine(copies.to[k], copies.from[k], BytesToLine(copies.to[k]));
  }
}

// A line that two strips share is stored once, with the first of them.
void StreamStrips(const StripRun& run) {
  StripsAhead ahead = *run.ahead;
  const int64_t head = BytesToLine(run.to);
  const int64_t whole = (run.strip_bytes - head) / kLine * kLine;
  const int64_t rest = run.strip_bytes - head - whole;
  if (!run.has_begun) StreamPartialLine(run.to, run.from, head);
  for (int64_t t = 0; t < run.tokens; ++t) {
    for (int64_t s = 0; s < run.strips; ++s) {
      const char* const from = run.from + s * run.strip_stride + t * run.strip_bytes + head;
      char* const to = run.to + t * run.token_stride + s * run.strip_bytes + head;
      for (int64_t i = 0; i < run.strip_bytes; i += StripsAhead::kAtOnce * kLine) FetchNext<Fetch>(&ahead);
      int64_t i = 0;
      for (; i + kChunkBytes <= whole; i += kChunkBytes) StreamChunk(to + i, from + i);
      for (; i < whole; i += kLine) StreamLine(to + i, LoadLine(from + i));
      if (rest == 0) continue;
      const char* next = from - head + run.strip_stride;
      if (s + 1 == run.strips) next = t + 1 < run.tokens ? run.from + (t + 1) * run.strip_bytes : run.after;
      if (next != nullptr) {
        StreamJoined(to + whole, from + whole + rest, rest, next);
      } else {
        StreamPartialLine(to + whole, from + whole, rest);
      }
    }
  }
  *run.ahead = ahead;
}

void Fence() { _mm_sfence(); }

}  // namespace
}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_STREAM_X86_H_
