// PA_NZ and NHSD: a cache block is [groups][block_size][group_bytes], so a token's groups lie far apart, but the same
// group of consecutive slots lies together. A run of tokens is transposed in the unified buffer from [run][groups] to
// [groups][run], and each group is stored as one burst of run * group_bytes.
#ifndef MS_SCATTER_PA_COPY_GROUPS_H_
#define MS_SCATTER_PA_COPY_GROUPS_H_

#include "ms_scatter_pa_groups.h"
#include "ms_scatter_pa_shares.h"
#include "ms_scatter_pa_side.h"
#include "ms_scatter_pa_slot_mapping.h"
#include "ms_scatter_pa_transpose.h"

namespace mssp {

template <typename IndexT>
class GroupCopier {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsScatterPaKvCacheTiling& tiling,
                              SlotMapping<IndexT>* slots) {
    slots_ = slots;
    num_tokens_ = tiling.num_tokens;
    blocks_.Init(tiling.block_size, tiling.block_shift);
    tile_shift_ = tiling.tile_shift;
    copy_bytes_ = tiling.copy_buffer_bytes;
    tile_bytes_ = tiling.tile_buffer_bytes;
    pipe->InitBuffer(copy_queue_, MSSP_COPY_BUFFERS, static_cast<uint32_t>(copy_bytes_));
    if (tile_bytes_ > 0) {
      pipe->InitBuffer(load_queue_, kBuffers, static_cast<uint32_t>(tile_bytes_));
      pipe->InitBuffer(store_queue_, kBuffers, static_cast<uint32_t>(tile_bytes_));
    }
  }

  // Slots are brought in up to token `limit` where that is more than the part needs.
  __aicore__ inline void Copy(const Side& side, const MsspPart& part, int64_t limit) {
    const int64_t row = side.tiling.row_bytes;
    const MsspPoint from = part.from;
    const MsspPoint to = part.to;
    const int64_t last_tile = to.column > 0 ? to.tile + 1 : to.tile;
    limit_token_ = MsspMax(MsspMin(last_tile << tile_shift_, num_tokens_), limit);
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
  // Columns of some tiles. All of a window of slots is copied before the next one is brought in.
  __aicore__ inline void CopyColumns(const Side& side, int64_t tile, int64_t tile_end, int64_t column,
                                     int64_t column_end) {
    const int64_t token_end = MsspMin(tile_end << tile_shift_, num_tokens_);
    int64_t token = tile << tile_shift_;
    if (token >= token_end || column >= column_end) {
      return;
    }
    GroupWalk walk;
    walk.Init(side.tiling, column, column_end, blocks_.Size(), copy_bytes_);
    while (token < token_end) {
      slots_->Cover(token, limit_token_);
      const int64_t end = MsspMin(token_end, slots_->End());
      Groups part;
      for (walk.Restart(); walk.Next(&part);) {
        CopyPart(side, token, end, part);
      }
      token = end;
    }
  }

  // Tokens [token, limit), all of whose slots are there.
  __aicore__ inline void CopyPart(const Side& side, int64_t token, int64_t limit, const Groups& part) {
    const bool transposes = CanTranspose(part);
    while (token < limit) {
      const int64_t slot = slots_->Get(token);
      if (!slots_->IsWritten(slot)) {
        ++token;
        continue;
      }
      if ((transposes || part.groups == 1) && IsFollowed(token, slot, limit)) {
        const Place place = blocks_.Find(slot);
        const int64_t run_end = slots_->RunEnd(token, slot, limit, slot - place.offset + blocks_.Size());
        if (run_end > token + 1) {
          if (part.groups == 1) {
            CopyRunOfOneGroup(side, token, run_end, place, part);
          } else {
            CopyRun(side, token, run_end, place, part);
          }
          token = run_end;
          continue;
        }
      }
      token = CopyScattered(side, token, limit, part, transposes || part.groups == 1);
    }
  }

  __aicore__ inline bool CanTranspose(const Groups& part) const {
    return MsspIsAligned(part.bytes) && 2 * part.bytes <= tile_bytes_;
  }

  __aicore__ inline bool IsFollowed(int64_t token, int64_t slot, int64_t limit) const {
    return token + 1 < limit && slots_->Get(token + 1) == slot + 1 && slots_->IsWritten(slot + 1);
  }

  __aicore__ inline int64_t CacheOffset(const Side& side, const Place& place, const Groups& part) const {
    return place.block * side.tiling.block_stride + part.cache_offset + place.offset * side.tiling.group_bytes;
  }

  // Tokens in no run: one load for as many as fit, then one store each, a burst per group.
  __aicore__ inline int64_t CopyScattered(const Side& side, int64_t token, int64_t limit, const Groups& part,
                                          bool leave_runs) {
    const int64_t stride = side.tiling.row_stride;
    const int64_t width = part.groups * part.bytes;
    const int64_t ub_width = part.groups * UbPitch(part.bytes);
    const bool whole = width == side.tiling.row_bytes && side.HasDenseRows();
    const int64_t end = ScatteredEnd(token, limit, ub_width, leave_runs);
    Bytes buffer = copy_queue_.AllocTensor<uint8_t>();
    const int64_t source = token * stride + part.column;
    if (ub_width == width && (whole || end == token + 1)) {
      Load(buffer, side.rows, source, 1, (end - token) * width, width);
    } else if (ub_width == width) {
      Load(buffer, side.rows, source, end - token, width, stride);
    } else if (whole) {
      Load(buffer, side.rows, source, (end - token) * part.groups, part.bytes, part.bytes);
    } else {
      for (int64_t i = token; i < end; ++i) {
        Load(buffer[static_cast<uint32_t>((i - token) * ub_width)], side.rows, source + (i - token) * stride,
             part.groups, part.bytes, part.bytes);
      }
    }
    copy_queue_.EnQue(buffer);
    buffer = copy_queue_.DeQue<uint8_t>();
    const int64_t group_stride = blocks_.Size() * side.tiling.group_bytes;
    for (int64_t from = 0; token < end; ++token) {
      const Place place = blocks_.Find(slots_->Get(token));
      Store(side.cache, CacheOffset(side, place, part), buffer, from, part.groups, part.bytes, group_stride);
      from += ub_width;
    }
    copy_queue_.FreeTensor(buffer);
    return end;
  }

  __aicore__ inline int64_t ScatteredEnd(int64_t token, int64_t limit, int64_t ub_width, bool leave_runs) {
    int64_t bytes = 2 * ub_width;
    int64_t end = token + 1;
    for (; end < limit && bytes <= copy_bytes_; ++end) {
      const int64_t slot = slots_->Get(end);
      if (!slots_->IsWritten(slot) || (leave_runs && StartsRun(end, slot, limit))) {
        break;
      }
      bytes += ub_width;
    }
    return end;
  }

  __aicore__ inline bool StartsRun(int64_t token, int64_t slot, int64_t limit) {
    return IsFollowed(token, slot, limit) && blocks_.Find(slot).offset + 1 < blocks_.Size();
  }

  // Consecutive slots of one group, or of a piece of one: no transposition needed.
  __aicore__ inline void CopyRunOfOneGroup(const Side& side, int64_t token, int64_t run_end, Place place,
                                           const Groups& part) {
    const int64_t row = side.tiling.row_stride;
    const int64_t group = side.tiling.group_bytes;
    const int64_t pitch = UbPitch(part.bytes);
    const bool fits = (run_end - token) * pitch <= copy_bytes_;
    const int64_t most = fits ? run_end - token : copy_bytes_ / pitch;
    while (token < run_end) {
      const int64_t count = MsspMin(run_end - token, most);
      Bytes buffer = copy_queue_.AllocTensor<uint8_t>();
      Load(buffer, side.rows, token * row + part.column, count, part.bytes, row);
      copy_queue_.EnQue(buffer);
      buffer = copy_queue_.DeQue<uint8_t>();
      const int64_t target = CacheOffset(side, place, part);
      if (part.bytes == group && pitch == group) {
        Store(side.cache, target, buffer, 0, 1, count * group, count * group);
      } else {
        Store(side.cache, target, buffer, 0, count, part.bytes, group);
      }
      copy_queue_.FreeTensor(buffer);
      token += count;
      place.offset += count;
    }
  }

  __aicore__ inline void CopyRun(const Side& side, int64_t token, int64_t run_end, Place place, const Groups& part) {
    const int64_t most = RowsPerTile(side, run_end - token, part);
    while (token < run_end) {
      const int64_t rows = MsspMin(run_end - token, most);
      if (rows * part.groups <= side.tiling.tile_groups) {
        CopyTransposed(side, token, rows, place, part, 0, part.groups);
      } else {
        CopyInPieces(side, token, rows, place, part);
      }
      token += rows;
      place.offset += rows;
    }
  }

  // Pieces of nearly equal width, so that no last piece is a sliver, in whole good bursts where a tile holds one.
  __aicore__ inline void CopyInPieces(const Side& side, int64_t token, int64_t rows, const Place& place,
                                      const Groups& part) {
    const int64_t most_groups = MsspMax(side.tiling.tile_groups / rows, 1);
    const int64_t good = MsspMax(MsspDivide(MSSP_GOOD_BURST, part.bytes, side.tiling.group_shift), 1);
    const int64_t step = most_groups >= good ? good : 1;
    const int64_t steps = step == 1 ? part.groups : (part.groups - 1) / step + 1;
    const int64_t most_steps = step == 1 ? most_groups : most_groups / step;
    const int64_t pieces = (steps - 1) / most_steps + 1;
    const int64_t quotient = steps / pieces;
    const int64_t rest = steps - quotient * pieces;
    int64_t begin = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t end = MsspMin(MsspShareBegin(quotient, rest, piece + 1) * step, part.groups);
      CopyTransposed(side, token, rows, place, part, begin, end - begin);
      begin = end;
    }
  }

  // Long store bursts want many rows in a tile, long load bursts few: halve while the load bursts are the shorter ones.
  __aicore__ inline int64_t RowsPerTile(const Side& side, int64_t run, const Groups& part) const {
    int64_t rows = MsspMin(run, side.tiling.tile_groups);
    const int64_t shortest = MsspMin(MSSP_GOOD_BURST, part.groups * part.bytes);
    while (rows > 1 && rows * part.bytes >= 4 * MSSP_GOOD_BURST * 2 && tile_bytes_ < rows * shortest) {
      rows = (rows + 1) >> 1;
    }
    return rows;
  }

  __aicore__ inline void CopyTransposed(const Side& side, int64_t token, int64_t rows, const Place& place,
                                        const Groups& part, int64_t first_group, int64_t groups) {
    const int64_t width = groups * part.bytes;
    const int64_t source = token * side.tiling.row_stride + part.column + first_group * part.bytes;
    Bytes loaded = load_queue_.AllocTensor<uint8_t>();
    if (width == side.tiling.row_bytes && side.HasDenseRows()) {
      Load(loaded, side.rows, source, 1, rows * width, width);
    } else {
      Load(loaded, side.rows, source, rows, width, side.tiling.row_stride);
    }
    load_queue_.EnQue(loaded);
    loaded = load_queue_.DeQue<uint8_t>();
    Bytes tile = store_queue_.AllocTensor<uint8_t>();
    Transpose(tile, loaded, rows, groups, part.bytes);
    load_queue_.FreeTensor(loaded);
    store_queue_.EnQue(tile);
    tile = store_queue_.DeQue<uint8_t>();
    const int64_t target = CacheOffset(side, place, part) + first_group * blocks_.Size() * part.bytes;
    Store(side.cache, target, tile, 0, groups, rows * part.bytes, blocks_.Size() * part.bytes);
    store_queue_.FreeTensor(tile);
  }

  SlotMapping<IndexT>* slots_;
  CopyQueue copy_queue_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> load_queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, kBuffers> store_queue_;
  int64_t num_tokens_;
  int64_t limit_token_;
  Blocks blocks_;
  int64_t copy_bytes_;
  int64_t tile_bytes_;
  int32_t tile_shift_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_COPY_GROUPS_H_
