// Any processor: the compiler's memcpy and its own vectoriser.
#include <cstring>

#include "../call_sizes.h"
#include "kernels.h"

#define MSSP_TARGET
#include "mean_columns.h"
#include "quant_columns.h"

namespace mssp {
namespace {

void StreamLong(char* to, const char* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

void RunNz(const NzRun& run, bool) {
  for (int64_t u = 0; u < run.units; ++u) {
    char* const to = run.to + u * run.unit_stride;
    const char* const from = run.from + u * kUnitBytes;
    for (int64_t t = 0; t < run.tokens; ++t) std::memcpy(to + t * kUnitBytes, from + t * run.token_stride, kUnitBytes);
  }
}

void TileNz(const NzTile& tile, const NzTile&, int64_t units, int64_t unit_stride, bool) {
  for (int k = 0; k < tile.count; ++k) {
    for (int64_t u = 0; u < units; ++u) {
      std::memcpy(tile.to[k] + u * unit_stride, tile.from[k] + u * kUnitBytes, kUnitBytes);
    }
  }
}

void Fence() {}

}  // namespace

const Kernels kPortableKernels = {
    "portable",
    StreamLong,
    CopyWithMemcpy,
    RunNz,
    TileNz,
    Fence,
    {kFloat16Mean, kFloat32Mean, kBFloat16Mean, kInt8Mean, kUint8Mean, kInt16Mean, kUint16Mean, kInt32Mean, kUint32Mean,
     kHiFloat8Mean, kFloat8E5M2Mean, kFloat8E4M3FNMean},
    MSSP_QUANT_KERNELS(PortableQuantise, PortableDequantise, PortableMaxAbs),
};

}  // namespace mssp
