// Norm: a token's row is contiguous in the cache, and so are the rows of consecutive slots, across blocks too unless
// blocks lie apart.
#ifndef MS_SCATTER_PA_COPY_ROWS_H_
#define MS_SCATTER_PA_COPY_ROWS_H_

#include "ms_scatter_pa_shares.h"
#include "ms_scatter_pa_side.h"
#include "ms_scatter_pa_slot_mapping.h"

namespace mssp {

template <typename IndexT>
class RowCopier {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsScatterPaKvCacheTiling& tiling,
                              SlotMapping<IndexT>* slots) {
    slots_ = slots;
    blocks_.Init(tiling.block_size, tiling.block_shift);
    buffer_bytes_ = tiling.copy_buffer_bytes;
    pipe->InitBuffer(queue_, MSSP_COPY_BUFFERS, static_cast<uint32_t>(buffer_bytes_));
  }

  // A tile is one token here. Slots are brought in up to token `limit` where that is more.
  __aicore__ inline void Copy(const Side& side, const MsspPart& part, int64_t limit) {
    row_ = side.tiling.row_bytes;
    dense_rows_ = side.HasDenseRows();
    pitch_ = dense_rows_ ? row_ : UbPitch(row_);
    dense_blocks_ = side.HasDenseBlocks(blocks_.Size(), row_);
    last_ = part.to.column > 0 ? part.to.tile : -1;
    last_bytes_ = part.to.column;
    const int64_t end = part.to.column > 0 ? part.to.tile + 1 : part.to.tile;
    int64_t column = part.from.column;
    for (int64_t token = part.from.tile; token < end; column = 0) {
      slots_->Cover(token, MsspMax(end, limit));
      if (!slots_->IsWritten(slots_->Get(token))) {
        ++token;
      } else if (pitch_ > buffer_bytes_) {
        CopyLongRow(side, token, column);
        ++token;
      } else {
        token = CopyTile(side, token, column, MsspMin(end, slots_->End()));
      }
    }
  }

 private:
  // Where the part ends in a token's row.
  __aicore__ inline int64_t RowEnd(int64_t token) const { return token == last_ ? last_bytes_ : row_; }

  __aicore__ inline int64_t CacheOffset(const Side& side, int64_t slot) {
    if (dense_blocks_) {
      return slot * row_;
    }
    const Place place = blocks_.Find(slot);
    return place.block * side.tiling.block_stride + place.offset * row_;
  }

  // Past the last slot of a run that starts at `slot`.
  __aicore__ inline int64_t RunLimit(int64_t slot) {
    return dense_blocks_ ? INT64_MAX : (blocks_.Find(slot).block + 1) * blocks_.Size();
  }

  __aicore__ inline void CopyLongRow(const Side& side, int64_t token, int64_t column) {
    const int64_t end = RowEnd(token);
    const int64_t target = CacheOffset(side, slots_->Get(token));
    while (column < end) {
      const int64_t length = MsspMin(end - column, buffer_bytes_);
      Bytes buffer = queue_.AllocTensor<uint8_t>();
      Load(buffer, side.rows, token * side.tiling.row_stride + column, 1, length, length);
      queue_.EnQue(buffer);
      buffer = queue_.DeQue<uint8_t>();
      Store(side.cache, target + column, buffer, 0, 1, length, length);
      queue_.FreeTensor(buffer);
      column += length;
    }
  }

  // One load, then one store per run; returns the token after them.
  __aicore__ inline int64_t CopyTile(const Side& side, int64_t token, int64_t column, int64_t limit) {
    const int64_t end = TileEnd(token, column, limit);
    const int64_t source = token * side.tiling.row_stride + column;
    Bytes buffer = queue_.AllocTensor<uint8_t>();
    if (dense_rows_ || end == token + 1) {
      const int64_t length = RunBytes(token, end, column);
      Load(buffer, side.rows, source, 1, length, length);
    } else {
      Load(buffer, side.rows, source, end - token, row_, side.tiling.row_stride);
    }
    queue_.EnQue(buffer);
    buffer = queue_.DeQue<uint8_t>();
    int64_t from = 0;
    while (token < end) {
      const int64_t slot = slots_->Get(token);
      const int64_t next = slots_->RunEnd(token, slot, end, RunLimit(slot));
      const int64_t target = CacheOffset(side, slot) + column;
      if (pitch_ == row_ || next == token + 1) {
        const int64_t length = RunBytes(token, next, column);
        Store(side.cache, target, buffer, from, 1, length, length);
      } else {
        Store(side.cache, target, buffer, from, next - token, row_, row_);
      }
      from += (next - token) * pitch_ - column;
      token = next;
      column = 0;
    }
    queue_.FreeTensor(buffer);
    return end;
  }

  // Bytes of the part in rows [token, end), without the first `column`.
  __aicore__ inline int64_t RunBytes(int64_t token, int64_t end, int64_t column) const {
    return (end - 1 - token) * row_ + RowEnd(end - 1) - column;
  }

  // The tokens of one tile: rows that are written, as many as fit, before `limit`. A store must start at a multiple of
  // 32 bytes in the buffer, so where rows lie in it end to end and are no such multiples, only the first run is taken.
  // Rows with gaps between them in the source are loaded whole; a piece of one is a tile of its own.
  __aicore__ inline int64_t TileEnd(int64_t token, int64_t column, int64_t limit) {
    int64_t bytes = RowEnd(token) - column;
    if (!dense_rows_) {
      if (bytes < row_) {
        return token + 1;
      }
      bytes = pitch_;
      limit = last_ >= 0 ? MsspMin(limit, last_) : limit;
    }
    const int64_t slot = slots_->Get(token);
    if (dense_rows_ && !MsspIsAligned(row_)) {
      limit = slots_->RunEnd(token, slot, limit, RunLimit(slot));
    }
    int64_t end = token + 1;
    for (; end < limit && slots_->IsWritten(slots_->Get(end)); ++end) {
      bytes += end == last_ ? last_bytes_ : pitch_;
      if (bytes > buffer_bytes_) {
        break;
      }
    }
    return end;
  }

  SlotMapping<IndexT>* slots_;
  CopyQueue queue_;
  Blocks blocks_;
  int64_t buffer_bytes_;
  int64_t row_;
  int64_t pitch_;  // of rows in a buffer
  int64_t last_;   // the token of which the part takes the first last_bytes_ only; -1: none
  int64_t last_bytes_;
  bool dense_rows_;
  bool dense_blocks_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_COPY_ROWS_H_
