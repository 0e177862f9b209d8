// AVX2: half a cache line per store; two consecutive ones are merged on their way.
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "../call_sizes.h"
#include "../hifloat8.h"
#include "../small_float.h"
#include "target_region.h"

MSSP_BEGIN_TARGET("avx2,f16c,fma")

#include "loops.h"
#include "mean_columns.h"
#include "mean_x86.h"
#include "quant_avx2.h"
#include "quant_columns.h"
#include "quant_x86.h"

namespace mssp {
namespace {

struct Line {
  __m256i halves[2];
};

inline Line LoadLine(const char* from) {
  const auto* const halves = reinterpret_cast<const __m256i*>(from);
  return {{_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)}};
}

inline void StreamLine(char* to, const Line& line) {
  auto* const halves = reinterpret_cast<__m256i*>(to);
  _mm256_stream_si256(halves, line.halves[0]);
  _mm256_stream_si256(halves + 1, line.halves[1]);
}

inline void CopyShort(char* to, const char* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

}  // namespace
}  // namespace mssp

#include "stream_x86.h"

namespace mssp {
namespace {

inline void StreamJoined(char* to, const char* end, int64_t before, const char* next) {
  if (before % 16 == 0) {  // a whole line, if in parts
    for (int64_t i = 0; i < before; i += 16) Stream16(to + i, Load16(end - before + i));
    for (int64_t i = before; i < kLine; i += 16) Stream16(to + i, Load16(next - before + i));
    return;
  }
  StreamPart(to, end - before, before);
  StreamPart(to + before, next, kLine - before);
}

// Two units at a time, so that every source line is read once.
template <Store kStore>
void RunNzStreams(const NzRun& run) {
  const int64_t stride = run.token_stride;
  for (int64_t u = 0; u + 2 <= run.units; u += 2) {
    char* to = run.to + u * run.unit_stride;
    const char* from = run.from + u * kUnitBytes;
    for (int64_t t = 0; t < run.tokens; ++t, to += kUnitBytes, from += stride) {
      Fetch(from + run.prefetch);
      StoreUnit<kStore>(to, Load32(from));
      StoreUnit<kStore>(to + run.unit_stride, Load32(from + kUnitBytes));
    }
  }
  if (run.units & 1) RunNzUnits<kStore>(run, 0, run.tokens, run.units - 1);
}

inline void StorePart16(char* to, const char* from) {
  if (StreamsParts()) return Stream16(to, Load16(from));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Load16(from));
}

// Where units begin 16 bytes before or after the middle of a line: whole lines of halves of tokens, in a tile that goes
// on from another one with those of the rows before, and with the next unit's first where the whole write fills its
// block.
void RunNzHalves(const NzRun& run) {
  const int64_t stride = run.token_stride;
  const auto shift = static_cast<int64_t>(reinterpret_cast<uintptr_t>(run.to) % kLine / 16);  // 1 or 3
  const int64_t halves = 2 * run.tokens;
  const int64_t first = run.before > 0 ? -shift : 4 - shift;  // of the whole lines; odd: the end of a token
  const int64_t last = (halves + shift) / 4 * 4 - shift;      // behind them
  for (int64_t u = 0; u < run.units; u += 2) {
    const int64_t pair = run.units - u < 2 ? 1 : 2;
    const auto half = [&](int64_t unit, int64_t h) {
      return run.from + (u + unit) * kUnitBytes + (h >> 1) * stride + (h & 1) * 16;
    };
    char* const to = run.to + u * run.unit_stride;
    for (int64_t unit = 0; run.before == 0 && unit < pair; ++unit) {
      if (run.fills_block && u + unit > 0) continue;  // with the end of the unit before
      for (int64_t h = 0; h < first && h < halves; ++h)
        StorePart16(to + unit * run.unit_stride + h * 16, half(unit, h));
    }
    for (int64_t h = first; h < last; h += 4) {
      const char* const token = half(0, h) - 16;
      Fetch(token + stride + run.prefetch);
      Fetch(token + 2 * stride + run.prefetch);
      for (int64_t unit = 0; unit < pair; ++unit) {
        const char* const from = token + unit * kUnitBytes;
        char* const line = to + unit * run.unit_stride + h * 16;
        const __m256i middle = Load32(from + stride);
        const __m128i begin = Load16(from + 16);
        const __m128i end = Load16(from + 2 * stride);
        Stream16(line, begin);
        Stream16(line + 16, _mm256_castsi256_si128(middle));
        Stream16(line + 32, _mm256_extracti128_si256(middle, 1));
        Stream16(line + 48, end);
      }
    }
    for (int64_t unit = 0; !run.goes_on && unit < pair; ++unit) {
      char* const end = to + unit * run.unit_stride + halves * 16;
      const int64_t rest = last < first ? first : last;  // the first half that is not stored yet
      if (!run.fills_block || u + unit + 1 == run.units) {
        for (int64_t h = rest; h < halves; ++h) StorePart16(end + (h - halves) * 16, half(unit, h));
        continue;
      }
      for (int64_t h = rest; h < halves; ++h) Stream16(end + (h - halves) * 16, Load16(half(unit, h)));
      for (int64_t h = 0; h < 4 - shift; ++h) Stream16(end + h * 16, Load16(half(unit + 1, h - 2 * run.before)));
    }
  }
}

void RunNz(const NzRun& run, bool stream) {
  if (!stream || !IsAligned(run.to, 16)) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  const bool whole_lines = run.unit_stride % kLine == 0 && run.tokens >= 2;
  if (!whole_lines && !StreamsParts()) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  if (!IsAligned(run.to, 32)) return whole_lines ? RunNzHalves(run) : RunNzStreams<Store::kStream16>(run);
  RunNzStreams<Store::kStream32>(run);
}

template <Store kStore>
inline void MoveFour(char* first, char* second, const char* unit, const char* next_unit) {
  CopyUnit<kStore>(first, unit);
  CopyUnit<kStore>(first + kUnitBytes, next_unit);
  CopyUnit<kStore>(second, unit + kUnitBytes);
  CopyUnit<kStore>(second + kUnitBytes, next_unit + kUnitBytes);
}

void RowsNz(const NzRun& run, bool stream) {
  if (stream && RowsAreOnLines(run)) return RowsNzLines<MoveFour<Store::kStream32>>(run);
  RowsNzLines<MoveFour<Store::kOrdinary>>(run);
}

}  // namespace
}  // namespace mssp

MSSP_END_TARGET

namespace mssp {

const Kernels kAvx2Kernels = {
    "avx2",
    StreamLong,
    StreamInterleaved,
    RunNz,
    RowsNz,
    TileNz,
    Fence,
    AllMeans(std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>()),
    kQuant,
};

}  // namespace mssp

#endif  // __x86_64__
