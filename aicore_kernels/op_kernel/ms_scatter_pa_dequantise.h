// The gather of one side with scales: codes of blocks to rows, x = (q - offset) * scale in float32 and one rounding. A
// tile is a row of consecutive head rows (heads of tokens); in NHSD it is one head of some tokens.
#ifndef MS_SCATTER_PA_DEQUANTISE_H_
#define MS_SCATTER_PA_DEQUANTISE_H_

#include "ms_scatter_pa_codes.h"
#include "ms_scatter_pa_gather_rows.h"
#include "ms_scatter_pa_static_scales.h"

namespace mssp {

class Dequantiser {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsspPagedTiling& tiling, StaticScales* statics) {
    statics_ = statics;
    heads_ = tiling.num_head;
    block_size_ = tiling.block_size;
    layout_ = tiling.layout;
    const int64_t elements = tiling.tile_elements;
    if (elements == 0) {
      return;
    }
    const int64_t most = WholeBlocks(MsspMax(tiling.side[0].tile_head_rows, tiling.side[1].tile_head_rows));
    const int64_t width = static_cast<int64_t>(sizeof(float));
    pipe->InitBuffer(in_queue_, kBuffers, static_cast<uint32_t>(elements));
    pipe->InitBuffer(out_queue_, kBuffers, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(scale_in_, kBuffers, static_cast<uint32_t>(most * width));
    pipe->InitBuffer(spread_, static_cast<uint32_t>(most * MSSP_DATA_BLOCK));
    pipe->InitBuffer(x_, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(turned_, static_cast<uint32_t>(elements));
    codes_.Init(pipe, elements);
  }

  __aicore__ inline void Read(const GatherSide& side, const BlockRun& run) {
    const int64_t most = side.tiling.tile_head_rows;
    if (layout_ == MSSP_NHSD) {
      for (int64_t head = 0; head < heads_; ++head) {
        for (int64_t done = 0; done < run.rows; done += most) {
          ReadHead(side, run, head, done, MsspMin(most, run.rows - done));
        }
      }
      return;
    }
    if (most < heads_) {
      for (int64_t done = 0; done < run.rows; ++done) {
        for (int64_t head = 0; head < heads_; head += most) {
          ReadHeadRows(side, run, done, 1, head, MsspMin(most, heads_ - head));
        }
      }
      return;
    }
    const int64_t most_rows = most / heads_;
    for (int64_t done = 0; done < run.rows; done += most_rows) {
      const int64_t rows = MsspMin(most_rows, run.rows - done);
      ReadHeadRows(side, run, done, rows, 0, rows * heads_);
    }
  }

 private:
  // Norm and PA_NZ: `head_rows` from head `head` of the run's row `done` on, of `rows` rows.
  __aicore__ inline void ReadHeadRows(const GatherSide& side, const BlockRun& run, int64_t done, int64_t rows,
                                      int64_t head, int64_t head_rows) {
    const MsspPagedSideTiling& tiling = side.tiling;
    const int64_t slot = run.block * block_size_ + run.offset + done;
    const int64_t bytes = head_rows * tiling.code_bytes;
    Bytes loaded = in_queue_.AllocTensor<uint8_t>();
    if (layout_ == MSSP_NORM) {
      Load(loaded, side.cache, slot * tiling.cache_bytes + head * tiling.code_bytes, 1, bytes, bytes);
    } else {
      const int64_t group = tiling.group_bytes;
      const int64_t from = run.block * block_size_ * tiling.cache_bytes + head * tiling.code_bytes * block_size_ +
                           (run.offset + done) * group;
      Load(loaded, side.cache, from, bytes / rows / MSSP_DATA_BLOCK, rows * group, block_size_ * group);
    }
    in_queue_.EnQue(loaded);
    loaded = in_queue_.DeQue<uint8_t>();
    if (layout_ == MSSP_PA_NZ && rows > 1) {
      Transpose(turned_.Get<uint8_t>(), loaded, tiling.groups, rows, tiling.group_bytes);
      VectorBarrier();
      Decode(side, turned_.Get<uint8_t>(), head_rows);
    } else {
      Decode(side, loaded, head_rows);
    }
    in_queue_.FreeTensor(loaded);
    Scale(side, (slot * heads_ + head), head_rows, head, false);
    const int64_t out_bytes = head_rows * tiling.head_bytes;
    const int64_t to = (run.row + done) * tiling.row_bytes + head * tiling.head_bytes;
    StoreRows(side, head_rows, to, 1, out_bytes);
  }

  // NHSD: one head of `rows` rows.
  __aicore__ inline void ReadHead(const GatherSide& side, const BlockRun& run, int64_t head, int64_t done,
                                  int64_t rows) {
    const MsspPagedSideTiling& tiling = side.tiling;
    const int64_t place = (run.block * heads_ + head) * block_size_ + run.offset + done;
    const int64_t bytes = rows * tiling.code_bytes;
    Bytes loaded = in_queue_.AllocTensor<uint8_t>();
    Load(loaded, side.cache, place * tiling.code_bytes, 1, bytes, bytes);
    in_queue_.EnQue(loaded);
    loaded = in_queue_.DeQue<uint8_t>();
    Decode(side, loaded, rows);
    in_queue_.FreeTensor(loaded);
    Scale(side, place, rows, head, true);
    StoreRows(side, rows, (run.row + done) * tiling.row_bytes + head * tiling.head_bytes, rows, tiling.head_bytes);
  }

  __aicore__ inline void Decode(const GatherSide& side, const Bytes& codes, int64_t head_rows) {
    codes_.Decode(x_.Get<float>(), codes, side.tiling.cache_type, head_rows * side.tiling.head_size);
  }

  // The tile's scales: the static ones from head `head` on, or numbers of the scale cache from place `place` on.
  __aicore__ inline void Scale(const GatherSide& side, int64_t place, int64_t head_rows, int64_t head, bool one_head) {
    const Floats x = x_.Get<float>();
    if (side.tiling.scaling == MSSP_STATIC) {
      if (one_head) {
        if (statics_->HasOffset()) {
          statics_->ApplyToOneHead<HeadRowOperation::kSubtract>(x, true, head_rows, head);
        }
        statics_->ApplyToOneHead<HeadRowOperation::kMultiply>(x, false, head_rows, head);
      } else {
        if (statics_->HasOffset()) {
          statics_->Apply<HeadRowOperation::kSubtract>(x, true, head_rows, head);
        }
        statics_->Apply<HeadRowOperation::kMultiply>(x, false, head_rows, head);
      }
      return;
    }
    const int64_t width = static_cast<int64_t>(sizeof(float));
    Bytes scales = scale_in_.AllocTensor<uint8_t>();
    Load(scales, side.scale_cache, place * width, 1, head_rows * width, head_rows * width);
    scale_in_.EnQue(scales);
    scales = scale_in_.DeQue<uint8_t>();
    Spread(spread_.Get<float>(), scales.ReinterpretCast<float>(), head_rows);
    scale_in_.FreeTensor(scales);
    ForHeadRows<HeadRowOperation::kMultiply>(x, spread_.Get<float>(), head_rows, side.tiling.head_size);
  }

  __aicore__ inline void StoreRows(const GatherSide& side, int64_t head_rows, int64_t to, int64_t count,
                                   int64_t burst) {
    Bytes out = out_queue_.AllocTensor<uint8_t>();
    Codes::Narrow(out, x_.Get<float>(), side.tiling.row_type, head_rows * side.tiling.head_size);
    out_queue_.EnQue(out);
    out = out_queue_.DeQue<uint8_t>();
    Store(side.rows, to, out, 0, count, burst, count == 1 ? burst : side.tiling.row_bytes);
    out_queue_.FreeTensor(out);
  }

  StaticScales* statics_;
  Codes codes_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> in_queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, kBuffers> out_queue_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> scale_in_;
  FloatBuffer spread_;
  FloatBuffer x_;
  FloatBuffer turned_;
  int64_t heads_;
  int64_t block_size_;
  int32_t layout_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_DEQUANTISE_H_
