// AArch64: two registers stored at once with STNP's hint, which compilers give for the non-temporal builtin; the rest
// is the portable code under the compiler's vectoriser, which has NEON as its baseline there.
#include "kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "../call_sizes.h"

#define MSSP_TARGET
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

void StreamInterleaved(const InterleavedCopies& copies) {
  for (int64_t r = 0; r < copies.rows; ++r) {
    for (int k = 0; k < copies.count; ++k) {
      StreamLong(copies.to[k] + r * copies.row_bytes, copies.from[k] + r * copies.stride, copies.row_bytes);
    }
  }
}

void RunNz(const NzRun& run, bool stream) {
  for (int64_t u = 0; u < run.units; ++u) {
    char* to = run.to + u * run.unit_stride;
    const char* from = run.from + u * kUnitBytes;
    for (int64_t t = 0; t < run.tokens; ++t, to += kUnitBytes, from += run.token_stride) {
      __builtin_prefetch(from + run.prefetch, 0, 2);
      if (stream) {
        StreamUnit(to, from);
      } else {
        StoreUnit(to, from);
      }
    }
  }
}

void TileNz(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool) {
  for (int64_t u = 0; u < units; ++u) {
    for (int k = 0; k < kNzTile; ++k) {
      if (k < next.count) __builtin_prefetch(next.to[k] + u * unit_stride, 1, 2);
      if (k < tile.count) StoreUnit(tile.to[k] + u * unit_stride, tile.from[k] + u * kUnitBytes);
    }
  }
}

void Fence() { std::atomic_thread_fence(std::memory_order_release); }

}  // namespace

const Kernels kNeonKernels = {
    "neon",
    StreamLong,
    StreamInterleaved,
    RunNz,
    TileNz,
    Fence,
    {kFloat16Mean, kFloat32Mean, kBFloat16Mean, kInt8Mean, kUint8Mean, kInt16Mean, kUint16Mean, kInt32Mean, kUint32Mean,
     kHiFloat8Mean, kFloat8E5M2Mean, kFloat8E4M3FNMean},
    MSSP_QUANT_KERNELS(PortableQuantise, PortableDequantise, PortableMaxAbs),
};

}  // namespace mssp

#endif  // __aarch64__
