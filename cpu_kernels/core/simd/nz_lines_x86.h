// Runs of PA_NZ in whole lines of the cache, put together from halves of tokens, 16 bytes each: no more than SSE2 has.
// For inclusion where stream_x86.h may be.
#ifndef MS_SCATTER_PA_CORE_SIMD_NZ_LINES_X86_H_
#define MS_SCATTER_PA_CORE_SIMD_NZ_LINES_X86_H_

#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"
#include "kernels.h"
#include "stream_x86.h"

namespace mssp {
namespace {

inline void StorePart16(char* to, const char* from) {
  if (StreamsPartialLines()) return Stream16(to, Load16(from));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Load16(from));
}

// A unit begins kShift halves behind a line's border. In a tile that goes on from another one a line may begin with the
// rows before, and where the whole write fills its block the last line of a unit goes on in the next one. kStreamUnit
// takes a unit that lies on half a line.
template <int kShift, void (*kStreamUnit)(char* to, const char* from)>
void RunNzHalves(const NzRun& run) {
  constexpr int64_t kHead = (4 - kShift) % 4;  // halves before the first border
  const int64_t stride = run.token_stride;
  const int64_t halves = 2 * run.tokens;
  const int64_t first = run.before > 0 ? -kShift : kHead;   // of the whole lines
  const int64_t last = (halves + kShift) / 4 * 4 - kShift;  // behind them
  const int64_t rest = last < first ? first : last;         // the first half that no whole line takes
  for (int64_t u = 0; u < run.units; u += 2) {
    const int64_t units = run.units - u < 2 ? 1 : 2;
    const auto half = [&](int64_t unit, int64_t h) {
      return run.from + (u + unit) * kUnitBytes + (h >> 1) * stride + (h & 1) * 16;
    };
    char* const to = run.to + u * run.unit_stride;
    for (int64_t unit = 0; run.before == 0 && unit < units; ++unit) {
      if (run.fills_block && u + unit > 0) continue;  // with the end of the unit before
      for (int64_t h = 0; h < first && h < halves; ++h)
        StorePart16(to + unit * run.unit_stride + h * 16, half(unit, h));
    }
    for (int64_t h = first; h < last; h += 4) {
      const char* const token = half(0, h) - (kShift & 1) * 16;
      Fetch(token + (kShift & 1) * stride + run.prefetch);
      Fetch(token + ((kShift & 1) + 1) * stride + run.prefetch);
      for (int64_t unit = 0; unit < units; ++unit) {
        const char* const from = token + unit * kUnitBytes;
        char* const line = to + unit * run.unit_stride + h * 16;
        if constexpr (kShift % 2 == 0) {
          kStreamUnit(line, from);
          kStreamUnit(line + kUnitBytes, from + stride);
        } else {
          const __m128i halves_of_line[] = {Load16(from + 16), Load16(from + stride), Load16(from + stride + 16),
                                            Load16(from + 2 * stride)};
          for (int64_t i = 0; i < 4; ++i) Stream16(line + i * 16, halves_of_line[i]);
        }
      }
    }
    for (int64_t unit = 0; !run.goes_on && unit < units; ++unit) {
      char* const end = to + unit * run.unit_stride + halves * 16;
      if (!run.fills_block || u + unit + 1 == run.units) {
        for (int64_t h = rest; h < halves; ++h) StorePart16(end + (h - halves) * 16, half(unit, h));
        continue;
      }
      for (int64_t h = rest; h < halves; ++h) Stream16(end + (h - halves) * 16, Load16(half(unit, h)));
      for (int64_t h = 0; (halves + kShift + h) % 4 != 0; ++h)
        Stream16(end + h * 16, Load16(half(unit + 1, h - 2 * run.before)));
    }
  }
}

// A run to 16 bytes' border, of two tokens or more, whose units lie whole lines apart.
template <void (*kStreamUnit)(char* to, const char* from)>
void RunNzLines(const NzRun& run) {
  switch (reinterpret_cast<uintptr_t>(run.to) % kLine / 16) {
    case 0:
      return RunNzHalves<0, kStreamUnit>(run);
    case 1:
      return RunNzHalves<1, kStreamUnit>(run);
    case 2:
      return RunNzHalves<2, kStreamUnit>(run);
    default:
      return RunNzHalves<3, kStreamUnit>(run);
  }
}

}  // namespace
}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_NZ_LINES_X86_H_
