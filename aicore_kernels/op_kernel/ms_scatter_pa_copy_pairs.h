// Alibi, Rope and Omni: one head's rows, num_head apart in the source, go to consecutive cache rows. The work is the
// source bytes of all pairs, key before value in each pair; a core takes an equal part of it, wherever that begins.
#ifndef MS_SCATTER_PA_COPY_PAIRS_H_
#define MS_SCATTER_PA_COPY_PAIRS_H_

#include "ms_scatter_pa_mean.h"
#include "ms_scatter_pa_pairs.h"
#include "ms_scatter_pa_shares.h"
#include "ms_scatter_pa_side.h"

namespace mssp {

template <typename IndexT>
class PairCopier {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsScatterPaKvCacheTiling& tiling, PairReader<IndexT>* pairs) {
    pairs_ = pairs;
    buffer_bytes_ = tiling.copy_buffer_bytes;
    block_size_ = tiling.block_size;
    pipe->InitBuffer(queue_, MSSP_COPY_BUFFERS, static_cast<uint32_t>(buffer_bytes_));
    mean_.Init(pipe, tiling);
  }

  __aicore__ inline void Run(const Side& key, const Side& value, int64_t core, int64_t cores) {
    if (!pairs_->CheckLengths()) {
      return;
    }
    const int64_t both = key.tiling.head_bytes + value.tiling.head_bytes;
    int64_t total = 0;
    Pair pair;
    for (pairs_->Restart(); pairs_->Next(&pair);) {
      total += SourceRows(pair) * both;
    }
    const int64_t quotient = total / cores;
    const int64_t rest = total - quotient * cores;
    const int64_t begin = MsspShareBegin(quotient, rest, core);
    const int64_t end = MsspShareBegin(quotient, rest, core + 1);
    int64_t base = 0;
    pairs_->Restart();
    while (base < end && pairs_->Next(&pair)) {
      base = CopySide(key, pair, begin, end, base);
      base = CopySide(value, pair, begin, end, base);
    }
  }

 private:
  __aicore__ inline static int64_t SourceRows(const Pair& pair) {
    return pair.skip ? pair.rows - (pair.mean_end - pair.mean_begin) : pair.rows;
  }

  __aicore__ inline int64_t CopySide(const Side& side, const Pair& pair, int64_t begin, int64_t end, int64_t base) {
    const int64_t size = SourceRows(pair) * side.tiling.head_bytes;
    const MsspRange range = MsspClip(begin, end, base, size);
    if (range.begin < range.end) {
      block_bytes_ = block_size_ * side.tiling.head_bytes;
      dense_blocks_ = side.HasDenseBlocks(block_size_, side.tiling.head_bytes);
      CopyParts(side, pair, range);
    }
    return base + size;
  }

  // The pair's three parts one after another: rows before the mean, the rows of the mean, rows after it.
  __aicore__ inline void CopyParts(const Side& side, const Pair& pair, const MsspRange& range) {
    const int64_t head = side.tiling.head_bytes;
    const int64_t averaged = pair.skip ? 0 : pair.mean_end - pair.mean_begin;
    const int64_t prefix = pair.mean_begin * head;
    const int64_t mean = averaged * head;
    const int64_t tail = (pair.rows - pair.mean_end) * head;
    CopyRows(side, pair, 0, 0, pair.mean_begin, MsspClip(range.begin, range.end, 0, prefix));
    if (averaged > 0) {
      const MsspRange part = MsspClip(range.begin, range.end, prefix, mean);
      mean_.Write(side, RowOffset(side, pair, pair.mean_begin), averaged,
                  Locate(side, (pair.slot + pair.mean_begin) * head).offset, MeanColumn(part.begin, averaged, head),
                  MeanColumn(part.end, averaged, head));
    }
    CopyRows(side, pair, pair.mean_end, pair.mean_begin + (averaged > 0 ? 1 : 0), pair.rows - pair.mean_end,
             MsspClip(range.begin, range.end, prefix + mean, tail));
  }

  // Rows of a mean are added up column by column, so it is shared out by columns.
  __aicore__ inline static int64_t MeanColumn(int64_t x, int64_t rows, int64_t head) {
    return x == rows * head ? head : (x / rows) & -kMeanUnit;
  }

  __aicore__ inline static int64_t RowOffset(const Side& side, const Pair& pair, int64_t row) {
    return (pair.first + row) * side.tiling.row_stride + pair.head * side.tiling.head_bytes;
  }

  // Bytes `range` of rows [first, first + rows) of the pair, which go to its cache rows from `target` on.
  __aicore__ inline void CopyRows(const Side& side, const Pair& pair, int64_t first, int64_t target, int64_t rows,
                                  const MsspRange& range) {
    const int64_t head = side.tiling.head_bytes;
    const MsspPoint from = MsspCut(range.begin, rows, head, 0, side.tiling.column_unit);
    const MsspPoint to = MsspCut(range.end, rows, head, 0, side.tiling.column_unit);
    const int64_t source = RowOffset(side, pair, first);
    const int64_t cache = (pair.slot + target) * head;
    if (from.tile == to.tile) {
      CopyPiece(side, source, cache, from.tile, from.column, to.column);
      return;
    }
    int64_t row = from.tile;
    if (from.column > 0) {
      CopyPiece(side, source, cache, row, from.column, head);
      ++row;
    }
    if (head == side.tiling.row_stride) {
      CopyBytes(side, source + row * head, cache + row * head, (to.tile - row) * head);
    } else if (UbPitch(head) <= buffer_bytes_) {
      CopyWholeRows(side, source, cache, row, to.tile);
    } else {
      for (; row < to.tile; ++row) {
        CopyPiece(side, source, cache, row, 0, head);
      }
    }
    CopyPiece(side, source, cache, to.tile, 0, to.column);
  }

  __aicore__ inline void CopyPiece(const Side& side, int64_t source, int64_t cache, int64_t row, int64_t column,
                                   int64_t column_end) {
    CopyBytes(side, source + row * side.tiling.row_stride + column, cache + row * side.tiling.head_bytes + column,
              column_end - column);
  }

  // Where a byte of the cache is, and how many follow it in its block.
  struct CachePlace {
    int64_t offset;
    int64_t left;
  };

  // `byte` counts as if blocks lay one after another.
  __aicore__ inline CachePlace Locate(const Side& side, int64_t byte) const {
    CachePlace place;
    place.offset = byte;
    place.left = INT64_MAX;
    if (!dense_blocks_) {
      const int64_t block = byte / block_bytes_;
      const int64_t within = byte - block * block_bytes_;
      place.offset = block * side.tiling.block_stride + within;
      place.left = block_bytes_ - within;
    }
    return place;
  }

  __aicore__ inline void CopyBytes(const Side& side, int64_t source, int64_t cache, int64_t length) {
    int64_t now = 0;
    for (int64_t done = 0; done < length; done += now) {
      const CachePlace place = Locate(side, cache + done);
      now = MsspMin(MsspMin(buffer_bytes_, length - done), place.left);
      Bytes buffer = queue_.AllocTensor<uint8_t>();
      Load(buffer, side.rows, source + done, 1, now, now);
      queue_.EnQue(buffer);
      buffer = queue_.DeQue<uint8_t>();
      Store(side.cache, place.offset, buffer, 0, 1, now, now);
      queue_.FreeTensor(buffer);
    }
  }

  __aicore__ inline void CopyWholeRows(const Side& side, int64_t source, int64_t cache, int64_t row, int64_t row_end) {
    const int64_t head = side.tiling.head_bytes;
    const int64_t most = buffer_bytes_ / UbPitch(head);
    int64_t now = 0;
    for (; row < row_end; row += now) {
      const CachePlace place = Locate(side, cache + row * head);
      now = MsspMin(most, row_end - row);
      if (now * head > place.left) {
        now = place.left / head;
      }
      Bytes buffer = queue_.AllocTensor<uint8_t>();
      Load(buffer, side.rows, source + row * side.tiling.row_stride, now, head, side.tiling.row_stride);
      queue_.EnQue(buffer);
      buffer = queue_.DeQue<uint8_t>();
      if (UbPitch(head) == head) {
        Store(side.cache, place.offset, buffer, 0, 1, now * head, now * head);
      } else {
        Store(side.cache, place.offset, buffer, 0, now, head, head);
      }
      queue_.FreeTensor(buffer);
    }
  }

  PairReader<IndexT>* pairs_;
  CopyQueue queue_;
  MeanWriter mean_;
  int64_t buffer_bytes_;
  int64_t block_size_;
  int64_t block_bytes_;  // of the side that is being copied
  bool dense_blocks_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_COPY_PAIRS_H_
