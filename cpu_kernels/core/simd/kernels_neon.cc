// AArch64: two registers stored at once with STNP's hint, which compilers give for the non-temporal builtin; the rest
// is the portable code under the compiler's vectoriser, which has NEON as its baseline there.
#include "kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>

#include "../call_sizes.h"
#include "loops.h"
#include "mean_columns.h"
#include "quant_columns.h"

namespace mssp {
namespace {

// 32 bytes of any alignment, not to be kept in the caches.
inline void StreamUnit(char* to, const char* from) {
  const uint8x16_t a = vld1q_u8(reinterpret_cast<const uint8_t*>(from));
  const uint8x16_t b = vld1q_u8(reinterpret_cast<const uint8_t*>(from) + 16);
  asm volatile("stnp %q1, %q2, [%0]" : : "r"(to), "w"(a), "w"(b) : "memory");
}

inline void StoreUnit(char* to, const char* from) { std::memcpy(to, from, kUnitBytes); }

void StreamLong(char* to, const char* from, int64_t bytes) {
  int64_t i = 0;
  for (; i + kUnitBytes <= bytes; i += kUnitBytes) StreamUnit(to + i, from + i);
  std::memcpy(to + i, from + i, static_cast<size_t>(bytes - i));
}

MSSP_ALWAYS_INLINE void FetchToRead(const char* from) { __builtin_prefetch(from, 0, 2); }
MSSP_ALWAYS_INLINE void FetchToWrite(const char* to) { __builtin_prefetch(to, 1, 2); }

void RunNz(const NzRun& run, bool stream) {
  if (stream) return CopyUnits<StreamUnit, FetchToRead>(run, 0, run.tokens, 0);
  CopyUnits<StoreUnit, FetchToRead>(run, 0, run.tokens, 0);
}

void RowsNz(const StripRun& run, bool stream) {
  if (stream) return CopyAllRows<StreamUnit, FetchToRead>(run);
  CopyAllRows<StoreUnit, FetchToRead>(run);
}

bool StreamsNzRows(const void*, int64_t) { return true; }

void TileNz(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool) {
  CopyTile<StoreUnit, FetchToWrite>(tile, next, units, unit_stride);
}

void Fence() { std::atomic_thread_fence(std::memory_order_release); }

}  // namespace

const Kernels kNeonKernels = {
    "neon",
    StreamLong,
    CopyRoundRobin<StreamLong>,
    RunNz,
    RowsNz,
    StreamsNzRows,
    CopyStrips<StreamLong, FetchToRead>,
    TileNz,
    Fence,
    AllMeans(std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>()),
    MSSP_QUANT_KERNELS(PortableQuantise, PortableDequantise, PortableDynamic, PortablePlan, false, 0),
};

}  // namespace mssp

#endif  // __aarch64__
