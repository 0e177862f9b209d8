// AVX2: half a cache line per store; two consecutive ones are merged on their way.
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

MSSP_BEGIN_TARGET("avx2,f16c,fma")

#include "loops.h"
#include "mean_columns.h"
#include "mean_x86.h"
#include "quant_avx2.h"
#include "quant_columns.h"
#include "quant_x86.h"
#include "quant_x86_products.h"
//
#include "quant_x86_rows.h"

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

#include "nz_lines_x86.h"
#include "nz_units_x86.h"
#include "stream_joined_x86.h"

namespace mssp {
namespace {

void RunNz(const NzRun& run, bool stream) {
  if (!stream || !IsAligned(run.to, 16)) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  if (run.unit_stride % kLine == 0 && run.tokens >= 2) return RunNzLines<CopyUnit<Store::kStream32>>(run);
  if (!StreamsPartialLines()) return RunNzUnits<Store::kOrdinary>(run, 0, run.tokens, 0);
  if (!IsAligned(run.to, 32)) return RunNzUnits<Store::kStream16>(run, 0, run.tokens, 0);
  RunNzUnits<Store::kStream32>(run, 0, run.tokens, 0);
}

template <Store kStore>
inline void MoveFour(char* first, char* second, const char* unit, const char* next_unit) {
  CopyUnit<kStore>(first, unit);
  CopyUnit<kStore>(first + kUnitBytes, next_unit);
  CopyUnit<kStore>(second, unit + kUnitBytes);
  CopyUnit<kStore>(second + kUnitBytes, next_unit + kUnitBytes);
}

bool StreamsNzRows(const void* to, int64_t row_bytes) { return IsAligned(to, kLine) && row_bytes % kLine == 0; }

void RowsNz(const StripRun& run, bool stream) {
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
    StreamsNzRows,
    StreamStrips,
    TileNz,
    Fence,
    AllMeans(std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>()),
    kQuant,
};

}  // namespace mssp

#endif  // __x86_64__
