// Any processor: the compiler's memcpy and its own vectoriser; on x86-64, whose baseline is SSE2, stores past the
// caches.
#include <cstring>
#include <utility>

#include "../call_sizes.h"
#include "kernels.h"
#include "loops.h"
#include "mean_columns.h"
#include "quant_columns.h"

#if defined(__x86_64__)

#include <emmintrin.h>

namespace mssp {
namespace {

struct Line {
  __m128i parts[4];
};

inline Line LoadLine(const char* from) {
  const auto* const parts = reinterpret_cast<const __m128i*>(from);
  return {{_mm_loadu_si128(parts), _mm_loadu_si128(parts + 1), _mm_loadu_si128(parts + 2), _mm_loadu_si128(parts + 3)}};
}

inline void StreamLine(char* to, const Line& line) {
  auto* const parts = reinterpret_cast<__m128i*>(to);
  for (int i = 0; i < 4; ++i) _mm_stream_si128(parts + i, line.parts[i]);
}

inline void CopyShort(char* to, const char* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

}  // namespace
}  // namespace mssp

#include "nz_lines_x86.h"
#include "stream_joined_x86.h"

#endif  // __x86_64__

namespace mssp {
namespace {

inline void CopyUnit(char* to, const char* from) { std::memcpy(to, from, kUnitBytes); }
MSSP_ALWAYS_INLINE void FetchAhead(const char* from) { __builtin_prefetch(from, 0, 2); }

#if defined(__x86_64__)

inline void StreamUnit(char* to, const char* from) {
  const __m128i begin = Load16(from);
  const __m128i end = Load16(from + 16);
  Stream16(to, begin);
  Stream16(to + 16, end);
}

void RunNz(const NzRun& run, bool stream) {
  const bool whole_lines = IsAligned(run.to, 16) && run.unit_stride % kLine == 0 && run.tokens >= 2;
  if (stream && whole_lines) return RunNzLines<StreamUnit>(run);
  CopyUnits<CopyUnit, FetchAhead>(run, 0, run.tokens, 0);
}

bool StreamsNzRows(const void*, int64_t) { return false; }

#else

constexpr auto StreamLong = CopyBytes;
constexpr auto StreamInterleaved = CopyRoundRobin<CopyBytes>;
constexpr auto StreamStrips = CopyStrips<CopyBytes, FetchAhead>;

void RunNz(const NzRun& run, bool) { CopyUnits<CopyUnit, FetchAhead>(run, 0, run.tokens, 0); }

bool StreamsNzRows(const void*, int64_t) { return true; }

void Fence() {}

#endif

void RowsNz(const StripRun& run, bool) { CopyAllRows<CopyUnit, FetchAhead>(run); }

void TileNz(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool) {
  CopyTile<CopyUnit, FetchAhead>(tile, next, units, unit_stride);
}

}  // namespace

const Kernels kPortableKernels = {
    "portable",
    StreamLong,
    StreamInterleaved,
    RunNz,
    RowsNz,
    StreamsNzRows,
    StreamStrips,
    TileNz,
    Fence,
    AllMeans(std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>()),
    MSSP_QUANT_KERNELS(PortableQuantise, PortableDequantise, PortableDynamic, PortablePlan, false, 0),
};

}  // namespace mssp
