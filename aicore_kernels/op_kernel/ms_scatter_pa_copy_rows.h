// Norm: a token's row is contiguous in the cache, and so are the rows of consecutive slots, across blocks too.
#ifndef MS_SCATTER_PA_COPY_ROWS_H_
#define MS_SCATTER_PA_COPY_ROWS_H_

#include "ms_scatter_pa_side.h"
#include "ms_scatter_pa_slot_mapping.h"

namespace mssp {

template <typename IndexT>
class RowCopier {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsScatterPaKvCacheTiling& tiling,
                              SlotMapping<IndexT>* slots) {
    slots_ = slots;
    buffer_bytes_ = tiling.copy_buffer_bytes;
    pipe->InitBuffer(queue_, MSSP_COPY_BUFFERS, static_cast<uint32_t>(buffer_bytes_));
  }

  // A tile is one token here.
  __aicore__ inline void Copy(const Side& side, const MsspPart& part) {
    const int64_t row = side.tiling.row_bytes;
    int64_t begin = part.from.tile * row + part.from.column;
    const int64_t end = part.to.tile * row + part.to.column;
    const int64_t token_end = part.to.column == 0 ? part.to.tile : part.to.tile + 1;
    int64_t token = part.from.tile;
    while (begin < end) {
      slots_->Cover(token, token_end);
      const int64_t slot = slots_->Slot(token);
      if (slot < 0) {
        ++token;
        begin = token * row;
        continue;
      }
      begin = CopyTile(side, begin, MsspMin(end, MsspMin(begin + buffer_bytes_, slots_->End() * row)), token, slot);
      token = begin / row;
    }
  }

 private:
  // One load, then one store per run. Takes rows from `begin` on as long as they are written, up to `limit`; where rows
  // are not multiples of 32 bytes only the first run, because a store must start at a multiple of 32 in the buffer.
  __aicore__ inline int64_t CopyTile(const Side& side, int64_t begin, int64_t limit, int64_t token, int64_t slot) {
    const int64_t row = side.tiling.row_bytes;
    int64_t token_end = slots_->RunEnd(token, slot, MsspCeilDiv(limit, row), INT64_MAX);
    const int64_t run_end = token_end;
    if (row % MSSP_DATA_BLOCK == 0) {
      while (token_end * row < limit && slots_->Slot(token_end) >= 0) {
        ++token_end;
      }
    }
    const int64_t end = MsspMin(limit, token_end * row);
    Bytes buffer = queue_.AllocTensor<uint8_t>();
    Load(buffer, side.rows, begin, 1, end - begin, end - begin);
    queue_.EnQue(buffer);
    buffer = queue_.DeQue<uint8_t>();
    int64_t store_end = MsspMin(end, run_end * row);
    StoreRun(side, buffer, 0, slot * row + begin - token * row, store_end - begin);
    while (store_end < end) {
      const int64_t first = store_end / row;
      const int64_t first_slot = slots_->Slot(first);
      const int64_t next = slots_->RunEnd(first, first_slot, token_end, INT64_MAX);
      const int64_t store_begin = store_end;
      store_end = MsspMin(end, next * row);
      StoreRun(side, buffer, store_begin - begin, first_slot * row, store_end - store_begin);
    }
    queue_.FreeTensor(buffer);
    return end;
  }

  __aicore__ inline void StoreRun(const Side& side, const Bytes& buffer, int64_t from, int64_t to, int64_t length) {
    Store(side.cache, to, buffer, from, 1, length, length);
  }

  SlotMapping<IndexT>* slots_;
  CopyQueue queue_;
  int64_t buffer_bytes_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_COPY_ROWS_H_
