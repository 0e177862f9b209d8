// Any processor: the compiler's memcpy and its own vectoriser.
#include <utility>

#include "../call_sizes.h"
#include "kernels.h"
#include "loops.h"
#include "mean_columns.h"
#include "quant_columns.h"

namespace mssp {
namespace {

inline void CopyUnit(char* to, const char* from) { std::memcpy(to, from, kUnitBytes); }
inline void FetchNothing(const char*) {}

void RunNz(const NzRun& run, bool) { CopyUnits<CopyUnit, FetchNothing>(run, 0, run.tokens, 0); }

void RowsNz(const NzRun& run, bool) { CopyRows<CopyUnit, FetchNothing>(run, 0, 0); }

void TileNz(const NzTile& tile, const NzTile& next, int64_t units, int64_t unit_stride, bool) {
  CopyTile<CopyUnit, FetchNothing>(tile, next, units, unit_stride);
}

void Fence() {}

}  // namespace

const Kernels kPortableKernels = {
    "portable",
    CopyBytes,
    CopyInTurn<CopyBytes>,
    RunNz,
    RowsNz,
    TileNz,
    Fence,
    AllMeans(std::make_integer_sequence<int, MSSP_NUM_ELEMENT_TYPES>()),
    MSSP_QUANT_KERNELS(PortableQuantise, PortableDequantise, PortableMaxAbs),
};

}  // namespace mssp
