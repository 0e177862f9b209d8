// K or V: rows to read and the cache to write, and the buffers that every copy goes through.
#ifndef MS_SCATTER_PA_SIDE_H_
#define MS_SCATTER_PA_SIDE_H_

#include "ms_scatter_pa_dma.h"

namespace mssp {

constexpr int32_t kBuffers = 2;

// Loads and stores without a vector step in between.
using CopyQueue = AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, MSSP_COPY_BUFFERS>;

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

}  // namespace mssp

#endif  // MS_SCATTER_PA_SIDE_H_
