// PA_NZ and NHSD: a cache block is [groups][block_size][group_bytes], so a token's groups lie far apart, but the same
// group of consecutive slots lies together. A run of tokens is transposed in the unified buffer from [run][groups] to
// [groups][run], and each group is stored as one burst of run * group_bytes.
#ifndef MS_SCATTER_PA_COPY_GROUPS_H_
#define MS_SCATTER_PA_COPY_GROUPS_H_

#include "ms_scatter_pa_side.h"
#include "ms_scatter_pa_slot_mapping.h"

namespace mssp {

template <typename IndexT>
class GroupCopier {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsScatterPaKvCacheTiling& tiling,
                              SlotMapping<IndexT>* slots) {
    slots_ = slots;
    num_tokens_ = tiling.num_tokens;
    block_size_ = tiling.block_size;
    tokens_per_tile_ = tiling.tokens_per_tile;
    copy_bytes_ = tiling.copy_buffer_bytes;
    tile_bytes_ = tiling.tile_buffer_bytes;
    pipe->InitBuffer(copy_queue_, MSSP_COPY_BUFFERS, static_cast<uint32_t>(copy_bytes_));
    if (tile_bytes_ > 0) {
      pipe->InitBuffer(load_queue_, kBuffers, static_cast<uint32_t>(tile_bytes_));
      pipe->InitBuffer(store_queue_, kBuffers, static_cast<uint32_t>(tile_bytes_));
    }
  }

  __aicore__ inline void Copy(const Side& side, const MsspPart& part) {
    const int64_t row = side.tiling.row_bytes;
    const MsspPoint from = part.from;
    const MsspPoint to = part.to;
    const int64_t last_tile = to.column > 0 ? to.tile + 1 : to.tile;
    limit_token_ = MsspMin(last_tile * tokens_per_tile_, num_tokens_);
    if (from.tile == to.tile) {
      CopyColumns(side, from.tile, from.tile + 1, from.column, to.column);
      return;
    }
    int64_t first_whole = from.tile;
    if (from.column > 0) {
      CopyColumns(side, from.tile, from.tile + 1, from.column, row);
      ++first_whole;
    }
    CopyColumns(side, first_whole, to.tile, 0, row);
    CopyColumns(side, to.tile, to.tile + 1, 0, to.column);
  }

 private:
  // Some groups of a row: `groups` whole ones, or a piece of one, `bytes` each; `column` is where they start.
  struct Groups {
    int64_t column;
    int64_t groups;
    int64_t bytes;
    int64_t cache_offset;  // of slot 0 of a block, from the block's start
  };

  __aicore__ inline void CopyColumns(const Side& side, int64_t tile, int64_t tile_end, int64_t column,
                                     int64_t column_end) {
    const int64_t token = tile * tokens_per_tile_;
    const int64_t token_end = MsspMin(tile_end * tokens_per_tile_, num_tokens_);
    const int64_t group = side.tiling.group_bytes;
    const int64_t pitch = UbPitch(group);
    while (token < token_end && column < column_end) {
      const int64_t within = column % group;
      Groups part;
      part.column = column;
      part.cache_offset = column / group * group * block_size_ + within;
      if (within == 0 && column_end - column >= group && pitch <= copy_bytes_) {
        part.bytes = group;
        part.groups = MsspMin(MsspMin((column_end - column) / group, copy_bytes_ / pitch), MSSP_MAX_BLOCK_COUNT);
      } else {
        part.bytes = MsspMin(MsspMin(group - within, column_end - column), copy_bytes_);
        part.groups = 1;
      }
      CopyPart(side, token, token_end, part);
      column += part.groups * part.bytes;
    }
  }

  __aicore__ inline void CopyPart(const Side& side, int64_t token, int64_t token_end, const Groups& part) {
    while (token < token_end) {
      slots_->Cover(token, limit_token_);
      const int64_t slot = slots_->Slot(token);
      if (slot < 0) {
        ++token;
        continue;
      }
      const int64_t limit = MsspMin(token_end, slots_->End());
      const int64_t run_end = slots_->RunEnd(token, slot, limit, (slot / block_size_ + 1) * block_size_);
      if (run_end > token + 1 && part.groups == 1) {
        CopyRunOfOneGroup(side, token, run_end, slot, part);
        token = run_end;
      } else if (run_end > token + 1 && CanTranspose(part)) {
        CopyRun(side, token, run_end, slot, part);
        token = run_end;
      } else {
        token = CopyScattered(side, token, limit, part);
      }
    }
  }

  __aicore__ inline bool CanTranspose(const Groups& part) const {
    return part.bytes % MSSP_DATA_BLOCK == 0 && 2 * part.bytes <= tile_bytes_;
  }

  __aicore__ inline int64_t CacheOffset(const Side& side, int64_t slot, const Groups& part) const {
    const int64_t block = slot / block_size_;
    return block * block_size_ * side.tiling.row_bytes + part.cache_offset +
           (slot - block * block_size_) * side.tiling.group_bytes;
  }

  // Tokens in no run: one load for as many as fit, then one store each, a burst per group.
  __aicore__ inline int64_t CopyScattered(const Side& side, int64_t token, int64_t limit, const Groups& part) {
    const int64_t row = side.tiling.row_bytes;
    const int64_t width = part.groups * part.bytes;
    const int64_t ub_width = part.groups * UbPitch(part.bytes);
    const bool aligned = ub_width == width;
    limit = MsspMin(limit, token + copy_bytes_ / ub_width);
    int64_t end = token + 1;
    const bool leave_runs = CanTranspose(part) || part.groups == 1;
    while (end < limit && slots_->Slot(end) >= 0 && !(leave_runs && StartsRun(end, limit))) {
      ++end;
    }
    Bytes buffer = copy_queue_.AllocTensor<uint8_t>();
    const int64_t source = token * row + part.column;
    if (aligned && width == row) {
      Load(buffer, side.rows, source, 1, (end - token) * row, row);
    } else if (aligned) {
      Load(buffer, side.rows, source, end - token, width, row);
    } else if (width == row) {
      Load(buffer, side.rows, source, (end - token) * part.groups, part.bytes, part.bytes);
    } else {
      for (int64_t i = token; i < end; ++i) {
        Load(buffer[static_cast<uint32_t>((i - token) * ub_width)], side.rows, source + (i - token) * row, part.groups,
             part.bytes, part.bytes);
      }
    }
    copy_queue_.EnQue(buffer);
    buffer = copy_queue_.DeQue<uint8_t>();
    for (int64_t i = token; i < end; ++i) {
      Store(side.cache, CacheOffset(side, slots_->Slot(i), part), buffer, (i - token) * ub_width, part.groups,
            part.bytes, block_size_ * side.tiling.group_bytes);
    }
    copy_queue_.FreeTensor(buffer);
    return end;
  }

  __aicore__ inline bool StartsRun(int64_t token, int64_t limit) {
    const int64_t slot = slots_->Slot(token);
    return token + 1 < limit && slots_->Slot(token + 1) == slot + 1 && (slot + 1) % block_size_ != 0;
  }

  // Consecutive slots of one group, or of a piece of one: no transposition needed.
  __aicore__ inline void CopyRunOfOneGroup(const Side& side, int64_t token, int64_t run_end, int64_t slot,
                                           const Groups& part) {
    const int64_t row = side.tiling.row_bytes;
    const int64_t group = side.tiling.group_bytes;
    const int64_t pitch = UbPitch(part.bytes);
    const int64_t most = copy_bytes_ / pitch;
    while (token < run_end) {
      const int64_t count = MsspMin(run_end - token, most);
      Bytes buffer = copy_queue_.AllocTensor<uint8_t>();
      Load(buffer, side.rows, token * row + part.column, count, part.bytes, row);
      copy_queue_.EnQue(buffer);
      buffer = copy_queue_.DeQue<uint8_t>();
      const int64_t target = CacheOffset(side, slot, part);
      if (part.bytes == group && pitch == group) {
        Store(side.cache, target, buffer, 0, 1, count * group, count * group);
      } else {
        Store(side.cache, target, buffer, 0, count, part.bytes, group);
      }
      copy_queue_.FreeTensor(buffer);
      token += count;
      slot += count;
    }
  }

  __aicore__ inline void CopyRun(const Side& side, int64_t token, int64_t run_end, int64_t slot, const Groups& part) {
    const int64_t most = RowsPerTile(run_end - token, part);
    while (token < run_end) {
      const int64_t rows = MsspMin(run_end - token, most);
      // Pieces of nearly equal width, so that no last piece is a sliver, in whole good bursts where a tile holds one.
      const int64_t most_groups = MsspMax(tile_bytes_ / (rows * part.bytes), 1);
      const int64_t good = MsspMax(MSSP_GOOD_BURST / part.bytes, 1);
      const int64_t step = most_groups >= good ? good : 1;
      const int64_t steps = MsspCeilDiv(part.groups, step);
      const int64_t pieces = MsspCeilDiv(steps, most_groups / step);
      for (int64_t piece = 0; piece < pieces; ++piece) {
        const int64_t begin = MsspShare(steps, piece, pieces) * step;
        const int64_t end = MsspMin(MsspShare(steps, piece + 1, pieces) * step, part.groups);
        CopyTransposed(side, token, rows, slot, part, begin, end - begin);
      }
      token += rows;
      slot += rows;
    }
  }

  // Long store bursts want many rows in a tile, long load bursts few: halve while the load bursts are the shorter ones.
  __aicore__ inline int64_t RowsPerTile(int64_t run, const Groups& part) const {
    int64_t rows = MsspMin(run, MsspMin(tile_bytes_ / part.bytes, MSSP_MAX_BLOCK_COUNT));
    while (rows > 1 && rows * part.bytes >= 4 * MSSP_GOOD_BURST * 2 && tile_bytes_ / rows < MSSP_GOOD_BURST &&
           tile_bytes_ / rows < part.groups * part.bytes) {
      rows = MsspCeilDiv(rows, 2);
    }
    return rows;
  }

  __aicore__ inline void CopyTransposed(const Side& side, int64_t token, int64_t rows, int64_t slot, const Groups& part,
                                        int64_t first_group, int64_t groups) {
    const int64_t row = side.tiling.row_bytes;
    const int64_t width = groups * part.bytes;
    const int64_t source = token * row + part.column + first_group * part.bytes;
    Bytes loaded = load_queue_.AllocTensor<uint8_t>();
    if (width == row) {
      Load(loaded, side.rows, source, 1, rows * row, row);
    } else {
      Load(loaded, side.rows, source, rows, width, row);
    }
    load_queue_.EnQue(loaded);
    loaded = load_queue_.DeQue<uint8_t>();
    Bytes tile = store_queue_.AllocTensor<uint8_t>();
    Transpose(tile, loaded, rows, groups, part.bytes);
    load_queue_.FreeTensor(loaded);
    store_queue_.EnQue(tile);
    tile = store_queue_.DeQue<uint8_t>();
    Store(side.cache, CacheOffset(side, slot, part) + first_group * block_size_ * part.bytes, tile, 0, groups,
          rows * part.bytes, block_size_ * part.bytes);
    store_queue_.FreeTensor(tile);
  }

  // [rows][groups] to [groups][rows] of `bytes` each, in as few instructions as possible.
  __aicore__ inline void Transpose(const Bytes& to, const Bytes& from, int64_t rows, int64_t groups, int64_t bytes) {
    const int64_t blocks = bytes / MSSP_DATA_BLOCK;
    AscendC::DataCopyParams params;
    params.blockLen = static_cast<uint16_t>(blocks);
    if (rows <= groups) {
      params.blockCount = static_cast<uint16_t>(groups);
      params.srcStride = 0;
      params.dstStride = static_cast<uint16_t>((rows - 1) * blocks);
      for (int64_t i = 0; i < rows; ++i) {
        AscendC::DataCopy(to[static_cast<uint32_t>(i * bytes)], from[static_cast<uint32_t>(i * groups * bytes)],
                          params);
      }
      return;
    }
    params.blockCount = static_cast<uint16_t>(rows);
    params.srcStride = static_cast<uint16_t>((groups - 1) * blocks);
    params.dstStride = 0;
    for (int64_t i = 0; i < groups; ++i) {
      AscendC::DataCopy(to[static_cast<uint32_t>(i * rows * bytes)], from[static_cast<uint32_t>(i * bytes)], params);
    }
  }

  SlotMapping<IndexT>* slots_;
  CopyQueue copy_queue_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> load_queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, kBuffers> store_queue_;
  int64_t num_tokens_;
  int64_t limit_token_;
  int64_t block_size_;
  int64_t tokens_per_tile_;
  int64_t copy_bytes_;
  int64_t tile_bytes_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_COPY_GROUPS_H_
