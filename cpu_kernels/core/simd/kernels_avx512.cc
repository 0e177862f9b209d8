// AVX-512 (F, BW, DQ, VL): whole cache lines per store.
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "../call_sizes.h"
#include "../hifloat8.h"
#include "../small_float.h"
#include "target_region.h"

MSSP_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,fma")

#include "loops.h"
#include "mean_columns.h"
#include "mean_x86.h"
#include "quant_avx512.h"
#include "quant_columns.h"
#include "quant_x86.h"
#include "quant_x86_products.h"
//
#include "quant_avx512_tables.h"
#include "quant_x86_rows.h"

namespace mssp {
namespace {

inline __m512i Load64(const char* from) { return _mm512_loadu_si512(from); }
inline void Stream64(char* to, __m512i x) { _mm512_stream_si512(reinterpret_cast<__m512i*>(to), x); }

using Line = __m512i;
inline Line LoadLine(const char* from) { return Load64(from); }
inline void StreamLine(char* to, Line line) { Stream64(to, line); }

inline void CopyShort(char* to, const char* from, int64_t bytes) {
  const __mmask64 mask = (~uint64_t{0}) >> (64 - bytes);
  _mm512_mask_storeu_epi8(to, mask, _mm512_maskz_loadu_epi8(mask, from));
}

}  // namespace
}  // namespace mssp

#include "nz_lines_x86.h"
#include "nz_units_x86.h"

namespace mssp {
namespace {

inline void StreamJoined(char* to, const char* end, int64_t before, const char* next) {
  const __mmask64 mask = (~uint64_t{0}) >> (kLine - before);
  StreamLine(to, _mm512_mask_loadu_epi8(_mm512_maskz_loadu_epi8(mask, end - before), ~mask, next - before));
}

// Two units of two tokens at a time: whole source lines become whole lines of the cache. `to` is on a line, and units
// and tokens are even in number.
template <bool kFetches>
void RunNzTwos(const NzRun& run) {
  const int64_t stride = run.token_stride;
  for (int64_t u = 0; u < run.units; u += 2) {
    char* to = run.to + u * run.unit_stride;
    const char* from = run.from + u * kUnitBytes;
    for (int64_t t = 0; t < run.tokens; t += 2, to += kLine, from += 2 * stride) {
      if (kFetches) {
        Fetch(from + run.prefetch);
        Fetch(from + stride + run.prefetch);
      }
      const __m512i a = Load64(from);
      const __m512i b = Load64(from + stride);
      Stream64(to, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x44));
      Stream64(to + run.unit_stride, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xEE));
    }
  }
}

// Words [kBegin, kEnd) of eight, in streamed stores of two.
template <int kBegin, int kEnd>
inline void StreamPairs(char* to, __m512i x) {
  if constexpr (kBegin < kEnd) {
    Stream16(to + int64_t{8} * kBegin, _mm512_maskz_extracti64x2_epi64(0xFF, x, kBegin / 2));
    StreamPairs<kBegin + 2, kEnd>(to, x);
  }
}

// The same, of a line that has other bytes too.
template <int kBegin, int kEnd>
inline void StoreWords(char* to, __m512i x) {
  if (StreamsPartialLines()) return StreamPairs<kBegin, kEnd>(to, x);
  _mm512_mask_storeu_epi64(to, (0xFF >> (8 - kEnd)) & (0xFF << kBegin), x);
}

// A line whose first words are the last ones of `left` and whose last `kWords` words are the first ones of `right`.
template <int kWords>
inline __m512i Join(__m512i left, __m512i right) {
  return _mm512_maskz_alignr_epi64(0xFF, right, left, kWords);
}

struct TwoTokens {
  __m512i units[2];  // of two tokens each; or two tokens of two units each
};

inline TwoTokens LoadTwoTokens(const char* from, int64_t stride) {
  const __m512i a = Load64(from);
  const __m512i b = Load64(from + stride);
  return {{_mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x44), _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xEE)}};
}

// The same where a line of the cache begins kHead bytes into two tokens, even in number as the units are: each line
// joins two and two. Where the whole write fills its block a unit's last line goes on in the next unit, in the rows of
// the first tokens.
template <int kHead>
void RunNzShifted(const NzRun& run) {
  constexpr int kWords = kHead / 8;
  const int64_t twos = run.tokens / 2;
  const int64_t stride = run.token_stride;
  const char* const first_row = run.from - run.before * stride;
  for (int64_t u = 0; u < run.units; u += 2) {
    char* to = run.to + u * run.unit_stride;
    const char* from = run.from + u * kUnitBytes;
    TwoTokens last;
    for (int64_t p = 0; p < twos; ++p, from += 2 * stride) {
      Fetch(from + run.prefetch);
      Fetch(from + stride + run.prefetch);
      const TwoTokens two = LoadTwoTokens(from, stride);
      if (p == 0) {
        if (run.before > 0) {
          last = LoadTwoTokens(from - 2 * stride, stride);
          Stream64(to + kHead - kLine, Join<kWords>(last.units[0], two.units[0]));
          Stream64(to + kHead - kLine + run.unit_stride, Join<kWords>(last.units[1], two.units[1]));
        } else {
          if (!run.fills_block || u == 0) StoreWords<0, kWords>(to, two.units[0]);
          if (!run.fills_block) StoreWords<0, kWords>(to + run.unit_stride, two.units[1]);
        }
        to += kHead;
      } else {
        Stream64(to, Join<kWords>(last.units[0], two.units[0]));
        Stream64(to + run.unit_stride, Join<kWords>(last.units[1], two.units[1]));
        to += kLine;
      }
      last = two;
    }
    if (run.goes_on) continue;
    if (!run.fills_block) {
      StoreWords<kWords, 8>(to - kHead, last.units[0]);
      StoreWords<kWords, 8>(to - kHead + run.unit_stride, last.units[1]);
      continue;
    }
    const char* const next = first_row + u * kUnitBytes;
    Stream64(to, Join<kWords>(last.units[0], LoadTwoTokens(next, stride).units[1]));
    if (u + 4 <= run.units) {
      const __m512i first = LoadTwoTokens(next + 2 * kUnitBytes, stride).units[0];
      Stream64(to + run.unit_stride, Join<kWords>(last.units[1], first));
    } else {
      StoreWords<kWords, 8>(to - kHead + run.unit_stride, last.units[1]);
    }
  }
}

void RunNz(const NzRun& run, bool stream) {
  if (!stream || !IsAligned(run.to, 16)) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  if (run.unit_stride % kLine == 0 && run.tokens >= 2) {
    const auto shift = reinterpret_cast<uintptr_t>(run.to) % kLine;
    const bool is_even = run.units % 2 == 0 && run.tokens % 2 == 0;
    if (is_even && shift == 0) return run.prefetch != 0 ? RunNzTwos<true>(run) : RunNzTwos<false>(run);
    if (is_even && shift == 16) return RunNzShifted<48>(run);
    if (is_even && shift == 48) return RunNzShifted<16>(run);
    return RunNzLines<CopyUnit<Store::kStream32>>(run);
  }
  if (!StreamsPartialLines()) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  if (!IsAligned(run.to, 32)) return RunNzUnits<Store::kStream16>(run, 0, run.tokens, 0);
  RunNzUnits<Store::kStream32>(run, 0, run.tokens, 0);
}

inline void Store64(char* to, __m512i x) { _mm512_storeu_si512(to, x); }

template <void (*kStore)(char* to, __m512i x)>
inline void MoveFour(char* first, char* second, const char* unit, const char* next_unit) {
  const __m512i a = Load64(unit);
  const __m512i b = Load64(next_unit);
  kStore(first, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x44));
  kStore(second, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xEE));
}

// The same where the first line of the rows, which lie side by side, begins kHead bytes into them: each line joins two
// lines of units. Units and tokens are even in number.
template <int kHead>
void RowsNzShifted(const StripRun& run) {
  constexpr int kWords = kHead / 8;
  const int64_t pitch = run.strip_stride;
  const int64_t row_bytes = run.strips * kUnitBytes;
  StripsAhead ahead = *run.ahead;
  for (int64_t t = 0; t < run.tokens; t += 2) {
    const char* from = run.from + t * kUnitBytes;
    const char* const after = t + 2 < run.tokens ? from + kLine : run.after;
    char* to = run.to + t * row_bytes + kHead;
    TwoTokens rows = LoadTwoTokens(from, pitch);
    const __m512i second_row = rows.units[1];
    if (t == 0 && !run.has_begun) StoreWords<0, kWords>(run.to, rows.units[0]);
    for (int64_t u = 0; u + 2 < run.strips; u += 2, to += kLine) {
      if (u % 4 == 0) FetchNext<Fetch>(&ahead);
      from += 2 * pitch;
      const TwoTokens next = LoadTwoTokens(from, pitch);
      Stream64(to, Join<kWords>(rows.units[0], next.units[0]));
      Stream64(to + row_bytes, Join<kWords>(rows.units[1], next.units[1]));
      rows = next;
    }
    if (run.strips % 4 != 0) FetchNext<Fetch>(&ahead);
    Stream64(to, Join<kWords>(rows.units[0], second_row));
    if (after != nullptr) {
      Stream64(to + row_bytes, Join<kWords>(rows.units[1], LoadTwoTokens(after, pitch).units[0]));
    } else {
      StoreWords<kWords, 8>(to + row_bytes - kHead, rows.units[1]);
    }
  }
  *run.ahead = ahead;
}

bool StreamsNzRows(const void* to, int64_t row_bytes) { return IsAligned(to, 16) && row_bytes % kLine == 0; }

void RowsNz(const StripRun& run, bool stream) {
  if (stream && RowsAreOnLines(run)) return RowsNzLines<MoveFour<Stream64>>(run);
  const bool is_even = run.tokens % 2 == 0 && run.strips % 2 == 0;
  if (stream && is_even && run.token_stride == run.strips * kUnitBytes && IsAligned(run.to, 16)) {
    const int64_t head = BytesToLine(run.to);
    if (head == 16) return RowsNzShifted<16>(run);
    if (head == 32) return RowsNzShifted<32>(run);
    if (head == 48) return RowsNzShifted<48>(run);
  }
  RowsNzLines<MoveFour<Store64>>(run);
}

}  // namespace
}  // namespace mssp

MSSP_END_TARGET

namespace mssp {

const Kernels kAvx512Kernels = {
    "avx512",
    StreamLong,
    StreamInterleaved,
    RunNz,
    RowsNz,
    StreamsNzRows,
    StreamStrips,
    TileNz,
    Fence,
    AllMeans(std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>()),
    kQuant,
};

}  // namespace mssp

#endif  // __x86_64__
