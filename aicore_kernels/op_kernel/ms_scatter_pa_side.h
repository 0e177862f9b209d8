// K or V: rows to read and the cache to write, and the buffers that every copy goes through.
#ifndef MS_SCATTER_PA_SIDE_H_
#define MS_SCATTER_PA_SIDE_H_

#include "ms_scatter_pa_dma.h"

namespace mssp {

constexpr int32_t kBuffers = 2;

// Loads and stores without a vector step in between.
using CopyQueue = AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, kBuffers>;

struct Side {
  GmBytes rows;
  GmBytes cache;
  MsspSideTiling tiling;
};

__aicore__ inline void InitSide(Side* side, GM_ADDR rows, GM_ADDR cache, const MsspSideTiling& tiling) {
  side->rows.SetGlobalBuffer((__gm__ uint8_t*)rows);
  side->cache.SetGlobalBuffer((__gm__ uint8_t*)cache);
  side->tiling = tiling;
}

// What a strategy needs to know about one core's part: bytes [begin, end) of the side's tokens * row_bytes.
struct SideRange {
  int64_t begin;
  int64_t end;
};

// The part of [begin, end) of the work of both sides, key first, that lies in the side whose work is [base, base +
// size).
__aicore__ inline SideRange Clip(int64_t begin, int64_t end, int64_t base, int64_t size) {
  SideRange range;
  range.begin = MsspMin(MsspMax(begin - base, 0), size);
  range.end = MsspMin(MsspMax(end - base, 0), size);
  return range;
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_SIDE_H_
