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

  // Whether tokens' rows, or cache blocks, lie one after another with nothing in between.
  __aicore__ inline bool HasDenseRows() const { return tiling.row_stride == tiling.row_bytes; }
  __aicore__ inline bool HasDenseBlocks(int64_t block_size, int64_t slot_bytes) const {
    return tiling.block_stride == block_size * slot_bytes;
  }
};

// Where a slot is.
struct Place {
  int64_t block;
  int64_t offset;  // of the slot in its block
};

// Where slots are. Slots of the block that was found last cost no division.
class Blocks {
 public:
  __aicore__ inline void Init(int64_t size, int32_t shift) {
    size_ = size;
    shift_ = shift;
    last_ = 0;
    last_begin_ = 0;
  }

  __aicore__ inline int64_t Size() const { return size_; }

  __aicore__ inline Place Find(int64_t slot) {
    Place place;
    if (shift_ >= 0) {
      place.block = slot >> shift_;
      place.offset = slot - place.block * size_;
      return place;
    }
    if (slot < last_begin_ || slot - last_begin_ >= size_) {
      last_ = slot / size_;
      last_begin_ = last_ * size_;
    }
    place.block = last_;
    place.offset = slot - last_begin_;
    return place;
  }

 private:
  int64_t size_;
  int32_t shift_;
  int64_t last_;  // the block found last, and its first slot
  int64_t last_begin_;
};

__aicore__ inline void InitSide(Side* side, GM_ADDR rows, GM_ADDR cache, const MsspSideTiling& tiling) {
  side->rows.SetGlobalBuffer((__gm__ uint8_t*)rows);
  side->cache.SetGlobalBuffer((__gm__ uint8_t*)cache);
  side->tiling = tiling;
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_SIDE_H_
