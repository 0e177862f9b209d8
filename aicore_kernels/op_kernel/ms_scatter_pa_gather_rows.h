// The gather of one side without scales: bytes of blocks to rows. Norm's rows lie in a block as they lie in key; in
// PA_NZ and NHSD a block is [groups][rows], which the unified buffer turns into [rows][groups].
#ifndef MS_SCATTER_PA_GATHER_ROWS_H_
#define MS_SCATTER_PA_GATHER_ROWS_H_

#include "ms_scatter_pa_sequences.h"
#include "ms_scatter_pa_side.h"
#include "ms_scatter_pa_transpose.h"

namespace mssp {

// One side's memory.
struct GatherSide {
  GmBytes rows;
  GmBytes cache;
  GmBytes scale_cache;
  MsspPagedSideTiling tiling;
};

// Rows that no block holds.
class ZeroRows {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe) {
    pipe->InitBuffer(zeros_, static_cast<uint32_t>(kBytes));
    ready_ = false;
  }

  __aicore__ inline void Store(const GatherSide& side, const BlockRun& run) {
    if (!ready_) {
      AscendC::Duplicate(zeros_.Get<float>(), 0.0f, static_cast<int32_t>(kBytes / 4));
      Sync<AscendC::HardEvent::V_MTE3>();
      ready_ = true;
    }
    int64_t to = run.row * side.tiling.row_bytes;
    for (int64_t left = run.rows * side.tiling.row_bytes; left > 0;) {
      const int64_t now = MsspMin(left, kBytes);
      mssp::Store(side.rows, to, zeros_.Get<uint8_t>(), 0, 1, now, now);
      to += now;
      left -= now;
    }
  }

 private:
  static constexpr int64_t kBytes = 4096;

  AscendC::TBuf<AscendC::TPosition::VECCALC> zeros_;
  bool ready_;
};

class RowGatherer {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsspPagedTiling& tiling) {
    layout_ = tiling.layout;
    block_size_ = tiling.block_size;
    copy_bytes_ = tiling.copy_buffer_bytes;
    tile_bytes_ = tiling.tile_buffer_bytes;
    if (copy_bytes_ > 0) {
      pipe->InitBuffer(copy_queue_, MSSP_COPY_BUFFERS, static_cast<uint32_t>(copy_bytes_));
    }
    if (tile_bytes_ > 0) {
      pipe->InitBuffer(load_queue_, kBuffers, static_cast<uint32_t>(tile_bytes_));
      pipe->InitBuffer(store_queue_, kBuffers, static_cast<uint32_t>(tile_bytes_));
    }
  }

  __aicore__ inline void Copy(const GatherSide& side, const BlockRun& run) {
    if (layout_ == MSSP_NORM) {
      CopyBytes(side, run);
    } else if (MsspIsAligned(side.tiling.group_bytes) && side.tiling.group_bytes <= tile_bytes_) {
      CopyTransposed(side, run);
    } else {
      for (int64_t group = 0; group < side.tiling.groups; ++group) {
        CopyGroup(side, run, group);
      }
    }
  }

 private:
  __aicore__ inline void CopyBytes(const GatherSide& side, const BlockRun& run) {
    const int64_t row = side.tiling.row_bytes;
    int64_t from = (run.block * block_size_ + run.offset) * row;
    int64_t to = run.row * row;
    for (int64_t left = run.rows * row; left > 0;) {
      const int64_t now = MsspMin(left, copy_bytes_);
      Bytes buffer = copy_queue_.AllocTensor<uint8_t>();
      Load(buffer, side.cache, from, 1, now, now);
      copy_queue_.EnQue(buffer);
      buffer = copy_queue_.DeQue<uint8_t>();
      Store(side.rows, to, buffer, 0, 1, now, now);
      copy_queue_.FreeTensor(buffer);
      from += now;
      to += now;
      left -= now;
    }
  }

  // Tiles of all groups of some rows, or where a row does not fit, of some groups of one row.
  __aicore__ inline void CopyTransposed(const GatherSide& side, const BlockRun& run) {
    const int64_t group = side.tiling.group_bytes;
    const int64_t row = side.tiling.row_bytes;
    const bool whole = row <= tile_bytes_;
    const int64_t most_rows = whole ? MsspMin(tile_bytes_ / row, MSSP_MAX_BLOCK_COUNT) : 1;
    const int64_t most_groups = whole ? side.tiling.groups : MsspMin(tile_bytes_ / group, MSSP_MAX_BLOCK_COUNT);
    for (int64_t done = 0; done < run.rows; done += most_rows) {
      const int64_t rows = MsspMin(most_rows, run.rows - done);
      for (int64_t first = 0; first < side.tiling.groups; first += most_groups) {
        const int64_t groups = MsspMin(most_groups, side.tiling.groups - first);
        const int64_t from =
            (run.block * side.tiling.groups + first) * block_size_ * group + (run.offset + done) * group;
        Bytes loaded = load_queue_.AllocTensor<uint8_t>();
        Load(loaded, side.cache, from, groups, rows * group, block_size_ * group);
        load_queue_.EnQue(loaded);
        loaded = load_queue_.DeQue<uint8_t>();
        Bytes tile = store_queue_.AllocTensor<uint8_t>();
        Transpose(tile, loaded, groups, rows, group);
        load_queue_.FreeTensor(loaded);
        store_queue_.EnQue(tile);
        tile = store_queue_.DeQue<uint8_t>();
        const int64_t to = (run.row + done) * row + first * group;
        Store(side.rows, to, tile, 0, 1, rows * groups * group, row);
        store_queue_.FreeTensor(tile);
      }
    }
  }

  // One group whose bytes are no multiple of 32: a burst for each row, in pieces where even one is longer than a
  // buffer.
  __aicore__ inline void CopyGroup(const GatherSide& side, const BlockRun& run, int64_t group) {
    const int64_t bytes = side.tiling.group_bytes;
    const int64_t row = side.tiling.row_bytes;
    const bool whole = UbPitch(bytes) <= copy_bytes_;
    const int64_t most = whole ? copy_bytes_ / UbPitch(bytes) : 1;
    const int64_t piece = whole ? bytes : copy_bytes_;
    for (int64_t done = 0; done < run.rows; done += most) {
      const int64_t rows = MsspMin(most, run.rows - done);
      const int64_t from = ((run.block * side.tiling.groups + group) * block_size_ + run.offset + done) * bytes;
      const int64_t to = (run.row + done) * row + group * bytes;
      for (int64_t begin = 0; begin < bytes; begin += piece) {
        const int64_t now = MsspMin(piece, bytes - begin);
        Bytes buffer = copy_queue_.AllocTensor<uint8_t>();
        Load(buffer, side.cache, from + begin, rows, now, bytes);
        copy_queue_.EnQue(buffer);
        buffer = copy_queue_.DeQue<uint8_t>();
        Store(side.rows, to + begin, buffer, 0, rows, now, row);
        copy_queue_.FreeTensor(buffer);
      }
    }
  }

  CopyQueue copy_queue_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> load_queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, kBuffers> store_queue_;
  int64_t block_size_;
  int64_t copy_bytes_;
  int64_t tile_bytes_;
  int32_t layout_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_GATHER_ROWS_H_
