// AVX-512 (F, BW, DQ, VL): whole cache lines per store.
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "layout.h"

#define MSSP_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,fma,prfchw")))
#include "mean_columns.h"
#include "mean_x86.h"

namespace mssp {
namespace {

constexpr int64_t kLine = 64;

// Reading this far ahead keeps more requests in flight than hardware does by itself, and goes on in the next row.
constexpr int64_t kAheadBytes = 2560;

inline bool IsAligned(const void* pointer, uintptr_t bytes) {
  return (reinterpret_cast<uintptr_t>(pointer) & (bytes - 1)) == 0;
}

MSSP_TARGET inline __m512i Load64(const char* from) { return _mm512_loadu_si512(from); }
MSSP_TARGET inline __m256i Load32(const char* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
MSSP_TARGET inline void Stream64(char* to, __m512i x) { _mm512_stream_si512(reinterpret_cast<__m512i*>(to), x); }
MSSP_TARGET inline void Stream32(char* to, __m256i x) { _mm256_stream_si256(reinterpret_cast<__m256i*>(to), x); }
MSSP_TARGET inline void Stream16(char* to, __m128i x) { _mm_stream_si128(reinterpret_cast<__m128i*>(to), x); }
MSSP_TARGET inline void Store32(char* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }

// Fewer than 64 bytes; touches no byte outside them.
MSSP_TARGET inline void CopyTail(char* to, const char* from, int64_t bytes) {
  const __mmask64 mask = (~uint64_t{0}) >> (64 - bytes);
  _mm512_mask_storeu_epi8(to, mask, _mm512_maskz_loadu_epi8(mask, from));
}

MSSP_TARGET void StreamLong(char* to, const char* from, int64_t bytes) {
  int64_t head = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(to) & (kLine - 1));
  if (head > bytes) head = bytes;
  if (head > 0) CopyTail(to, from, head);
  to += head;
  from += head;
  bytes -= head;
  for (; bytes >= 4 * kLine; bytes -= 4 * kLine, to += 4 * kLine, from += 4 * kLine) {
    for (int i = 0; i < 4; ++i) _mm_prefetch(from + kAheadBytes + kLine * i, _MM_HINT_T1);
    const __m512i a = Load64(from), b = Load64(from + 64), c = Load64(from + 128), d = Load64(from + 192);
    Stream64(to, a);
    Stream64(to + 64, b);
    Stream64(to + 128, c);
    Stream64(to + 192, d);
  }
  for (; bytes >= kLine; bytes -= kLine, to += kLine, from += kLine) Stream64(to, Load64(from));
  if (bytes > 0) CopyTail(to, from, bytes);
}

MSSP_TARGET void StreamRows(char* to, const char* from, int64_t row_bytes, int64_t stride, int64_t rows) {
  if (rows > 1 && stride == row_bytes) return StreamLong(to, from, row_bytes * rows);
  // Short rows that do not end on line borders: smaller streamed stores still fill the lines that rows share.
  const bool short_rows = rows > 1 && row_bytes < 4096 && !(IsAligned(to, kLine) && row_bytes % kLine == 0);
  if (!short_rows || !IsAligned(to, 16) || row_bytes % 16 != 0) {
    for (int64_t r = 0; r < rows; ++r, to += row_bytes, from += stride) StreamLong(to, from, row_bytes);
    return;
  }
  if (IsAligned(to, 32) && row_bytes % 32 == 0) {
    for (int64_t r = 0; r < rows; ++r, to += row_bytes, from += stride) {
      for (int64_t i = 0; i < row_bytes; i += 32) Stream32(to + i, Load32(from + i));
    }
    return;
  }
  for (int64_t r = 0; r < rows; ++r, to += row_bytes, from += stride) {
    for (int64_t i = 0; i < row_bytes; i += 16) {
      Stream16(to + i, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    }
  }
}

enum class Store { kOrdinary, kStream16, kStream32 };

template <Store kStore>
MSSP_TARGET inline void StoreUnit(char* to, __m256i x) {
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
MSSP_TARGET void RunNzUnits(const NzRun& run, int64_t first_token, int64_t tokens, int64_t first_unit) {
  for (int64_t u = first_unit; u < run.units; ++u) {
    char* const to = run.to + u * run.unit_stride + first_token * kUnitBytes;
    const char* const from = run.from + u * kUnitBytes + first_token * run.token_stride;
    for (int64_t t = 0; t < tokens; ++t) {
      if ((u & 1) == 0) _mm_prefetch(from + t * run.token_stride + run.prefetch, _MM_HINT_T1);
      StoreUnit<kStore>(to + t * kUnitBytes, Load32(from + t * run.token_stride));
    }
  }
}

// Two units of two tokens at a time: whole source lines become whole lines of the cache. to is on a line.
MSSP_TARGET void RunNzLines(const NzRun& run, int64_t first_token) {
  const int64_t pairs = (run.tokens - first_token) / 2;
  const int64_t stride = run.token_stride;
  for (int64_t u = 0; u + 2 <= run.units; u += 2) {
    char* to = run.to + u * run.unit_stride + first_token * kUnitBytes;
    const char* from = run.from + u * kUnitBytes + first_token * stride;
    for (int64_t p = 0; p < pairs; ++p, to += kLine, from += 2 * stride) {
      _mm_prefetch(from + run.prefetch, _MM_HINT_T1);
      _mm_prefetch(from + stride + run.prefetch, _MM_HINT_T1);
      const __m512i a = Load64(from);
      const __m512i b = Load64(from + stride);
      Stream64(to, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x44));
      Stream64(to + run.unit_stride, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xEE));
    }
  }
  if (run.units & 1) RunNzUnits<Store::kStream32>(run, first_token, 2 * pairs, run.units - 1);
  const int64_t rest = first_token + 2 * pairs;
  if (rest < run.tokens) RunNzUnits<Store::kOrdinary>(run, rest, run.tokens - rest, 0);
}

// Words [kBegin, kEnd) of eight, in streamed stores of two.
template <int kBegin, int kEnd>
MSSP_TARGET inline void StreamWords(char* to, __m512i x) {
  if constexpr (kBegin < kEnd) {
    Stream16(to + 8 * kBegin, _mm512_maskz_extracti64x2_epi64(0xFF, x, kBegin / 2));
    StreamWords<kBegin + 2, kEnd>(to, x);
  }
}

// The same where a line of the cache begins kHead bytes into a pair of tokens: each line joins two pairs.
template <int kHead>
MSSP_TARGET void RunNzShifted(const NzRun& run) {
  constexpr int kWords = kHead / 8;
  const int64_t pairs = run.tokens / 2;
  const int64_t stride = run.token_stride;
  for (int64_t u = 0; u + 2 <= run.units; u += 2) {
    char* to = run.to + u * run.unit_stride;
    const char* from = run.from + u * kUnitBytes;
    __m512i last[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int64_t p = 0; p < pairs; ++p, from += 2 * stride) {
      _mm_prefetch(from + run.prefetch, _MM_HINT_T1);
      _mm_prefetch(from + stride + run.prefetch, _MM_HINT_T1);
      const __m512i a = Load64(from);
      const __m512i b = Load64(from + stride);
      const __m512i pair[2] = {_mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x44),
                               _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xEE)};
      if (p == 0) {
        StreamWords<0, kWords>(to, pair[0]);
        StreamWords<0, kWords>(to + run.unit_stride, pair[1]);
        to += kHead;
      } else {
        Stream64(to, _mm512_maskz_alignr_epi64(0xFF, pair[0], last[0], kWords));
        Stream64(to + run.unit_stride, _mm512_maskz_alignr_epi64(0xFF, pair[1], last[1], kWords));
        to += kLine;
      }
      last[0] = pair[0];
      last[1] = pair[1];
    }
    StreamWords<kWords, 8>(to - kHead, last[0]);
    StreamWords<kWords, 8>(to - kHead + run.unit_stride, last[1]);
  }
  if (run.units & 1) RunNzUnits<Store::kStream16>(run, 0, 2 * pairs, run.units - 1);
  if (run.tokens & 1) RunNzUnits<Store::kOrdinary>(run, run.tokens - 1, 1, 0);
}

MSSP_TARGET void RunNz(const NzRun& run, bool stream) {
  if (!stream || !IsAligned(run.to, 16)) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  const bool whole_lines = run.unit_stride % kLine == 0 && run.tokens >= 2;
  if (!IsAligned(run.to, 32)) {
    // A run that fills its block has no ends between units: small stores one after another fill all lines.
    const bool fills_block = run.unit_stride == run.tokens * kUnitBytes;
    if (!whole_lines || fills_block) return RunNzUnits<Store::kStream16>(run, 0, run.tokens, 0);
    return reinterpret_cast<uintptr_t>(run.to) % kLine == 16 ? RunNzShifted<48>(run) : RunNzShifted<16>(run);
  }
  if (!whole_lines) return RunNzUnits<Store::kStream32>(run, 0, run.tokens, 0);
  const int64_t head = IsAligned(run.to, kLine) ? 0 : 1;
  if (head != 0) RunNzUnits<Store::kOrdinary>(run, 0, 1, 0);
  RunNzLines(run, head);
}

// Ordinary stores wait for the line they go to, streamed ones for their way to memory; each kind has its own queue, so
// a share of both is the fastest. Measured on random slots of 1 GiB: three in eight.
constexpr int kStreamedTokens = 3;

template <Store kStore>
MSSP_TARGET void TileNzUnits(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride) {
  const bool ordinary = kStore == Store::kOrdinary;
  const int first_fetched = ordinary ? 0 : kStreamedTokens;
  for (int64_t u = 0; u < units; ++u) {
    for (int k = 0; k < kNzTile; ++k) {
      const int64_t at = u * unit_stride;
      if (k >= first_fetched && k < next.count) {
        // Into the second-level cache: it has more requests in flight than the first.
        _mm_prefetch(next.to[k] + at, _MM_HINT_T1);
        if (kStore != Store::kStream32) _mm_prefetch(next.to[k] + at + kUnitBytes - 1, _MM_HINT_T1);
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

MSSP_TARGET void TileNz(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool stream) {
  uintptr_t bits = static_cast<uintptr_t>(unit_stride);
  for (int k = 0; k < tile.count; ++k) bits |= reinterpret_cast<uintptr_t>(tile.to[k]);
  if (!stream || bits % 16 != 0) return TileNzUnits<Store::kOrdinary>(tile, next, units, unit_stride);
  if (bits % 32 != 0) return TileNzUnits<Store::kStream16>(tile, next, units, unit_stride);
  TileNzUnits<Store::kStream32>(tile, next, units, unit_stride);
}

void Fence() { _mm_sfence(); }

}  // namespace

const Kernels kAvx512Kernels = {
    "avx512",
    StreamRows,
    RunNz,
    TileNz,
    Fence,
    {WideMean<WideFloat16>(), kFloat32Mean, kBFloat16Mean, kInt8Mean, kUint8Mean, kInt16Mean, kUint16Mean, kInt32Mean,
     kUint32Mean, WideMean<WideByTable<HiFloat8>>(), WideMean<WideFloat8E5M2>(), WideMean<WideByTable<Float8E4M3FN>>()},
};

}  // namespace mssp

#endif  // __x86_64__
