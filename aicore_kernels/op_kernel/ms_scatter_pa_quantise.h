// The quantising write of one side. A tile is a row of consecutive head rows (heads of tokens), all of them written:
// loaded in one burst, scaled and rounded as a whole, stored where the slots say.
#ifndef MS_SCATTER_PA_QUANTISE_H_
#define MS_SCATTER_PA_QUANTISE_H_

#include "ms_scatter_pa_codes.h"
#include "ms_scatter_pa_dynamic_scales.h"
#include "ms_scatter_pa_side.h"
#include "ms_scatter_pa_slot_mapping.h"
#include "ms_scatter_pa_static_scales.h"
#include "ms_scatter_pa_transpose.h"

namespace mssp {

// One side's memory.
struct QuantSide {
  GmBytes rows;
  GmBytes cache;
  GmBytes scales;       // that the caller gives for each token and head
  GmBytes scale_cache;  // where those of written rows go
  MsspPagedSideTiling tiling;

  __aicore__ inline bool IsScaled() const { return tiling.scaling == MSSP_STATIC || tiling.scaling == MSSP_DYNAMIC; }
  __aicore__ inline bool KeepsScales() const { return tiling.scaling == MSSP_DYNAMIC || tiling.scaling == MSSP_GIVEN; }
};

template <typename IndexT>
class Quantiser {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsspPagedTiling& tiling, SlotMapping<IndexT>* slots,
                              StaticScales* statics) {
    slots_ = slots;
    statics_ = statics;
    heads_ = tiling.num_head;
    layout_ = tiling.layout;
    blocks_.Init(tiling.block_size, tiling.block_shift);
    const int64_t elements = tiling.tile_elements;
    const int64_t most = WholeBlocks(MsspMax(tiling.side[0].tile_head_rows, tiling.side[1].tile_head_rows));
    const int64_t width = static_cast<int64_t>(sizeof(float));
    most_head_rows_ = most;
    pipe->InitBuffer(in_queue_, kBuffers, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(out_queue_, kBuffers, static_cast<uint32_t>(elements));
    pipe->InitBuffer(scale_in_, kBuffers, static_cast<uint32_t>(most * width));
    pipe->InitBuffer(scale_out_, kBuffers, static_cast<uint32_t>(most * (width + MSSP_DATA_BLOCK)));
    pipe->InitBuffer(x_, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(codes_buffer_, static_cast<uint32_t>(elements));
    codes_.Init(pipe, elements);
    dynamic_.Init(pipe, elements, most);
    AscendC::Duplicate(x_.Get<float>(), 0.0f, static_cast<int32_t>(elements));
    VectorBarrier();
  }

  // Head rows [begin, end) of the side, tokens before heads.
  __aicore__ inline void Write(const QuantSide& side, int64_t begin, int64_t end) {
    if (side.tiling.scaling == MSSP_DYNAMIC) {
      dynamic_.Start(LargestCode(side.tiling.cache_type));
    }
    Place at;
    at.block = begin / heads_;  // a token, and a head of it
    at.offset = begin - at.block * heads_;
    const int64_t whole_end = end / heads_;  // tokens before it are the core's to their last head
    const int64_t last_heads = end - whole_end * heads_;
    const int64_t token_end = last_heads > 0 ? whole_end + 1 : whole_end;
    const int64_t most_tokens = side.tiling.tile_head_rows / heads_;
    while (at.block < token_end) {
      slots_->Cover(at.block, token_end);
      const int64_t heads = at.block < whole_end ? heads_ : last_heads;
      if (!slots_->IsWritten(slots_->Get(at.block))) {
        ++at.block;
        at.offset = 0;
        continue;
      }
      Tile tile;
      tile.token = at.block;
      tile.head = at.offset;
      tile.tokens = 1;
      tile.head_rows = MsspMin(heads - at.offset, side.tiling.tile_head_rows);
      tile.is_run = false;
      if (at.offset == 0 && heads == heads_ && most_tokens > 0) {
        Extend(&tile, MsspMin(MsspMin(whole_end, slots_->End()), at.block + most_tokens));
      }
      WriteTile(side, tile);
      at.offset += tile.tokens == 1 ? tile.head_rows : heads_;
      at.block += tile.tokens - 1;
      if (at.offset == heads) {
        ++at.block;
        at.offset = 0;
      }
    }
  }

 private:
  struct Tile {
    int64_t token;
    int64_t head;
    int64_t tokens;
    int64_t head_rows;
    bool is_run;  // its slots follow each other in one block, and groups are stored for all of them at once
  };

  // More whole tokens for the tile, before `limit`.
  __aicore__ inline void Extend(Tile* tile, int64_t limit) {
    const int64_t slot = slots_->Get(tile->token);
    int64_t end = tile->token + 1;
    if (layout_ != MSSP_NORM) {
      const Place place = blocks_.Find(slot);
      end = slots_->RunEnd(tile->token, slot, limit, slot - place.offset + blocks_.Size());
      tile->is_run = end > tile->token + 1;
    }
    while (!tile->is_run && end < limit && slots_->IsWritten(slots_->Get(end))) {
      if (layout_ != MSSP_NORM && end + 1 < limit && slots_->Get(end + 1) == slots_->Get(end) + 1) {
        break;  // the next one may begin a run
      }
      ++end;
    }
    tile->tokens = end - tile->token;
    tile->head_rows = tile->tokens * heads_;
  }

  __aicore__ inline void WriteTile(const QuantSide& side, const Tile& tile) {
    const MsspPagedSideTiling& tiling = side.tiling;
    const int64_t count = tile.head_rows * tiling.head_size;
    const int64_t first = tile.token * heads_ + tile.head;
    Bytes loaded = in_queue_.template AllocTensor<uint8_t>();
    const int64_t bytes = tile.head_rows * tiling.head_bytes;
    Load(loaded, side.rows, first * tiling.head_bytes, 1, bytes, bytes);
    in_queue_.EnQue(loaded);
    loaded = in_queue_.template DeQue<uint8_t>();
    if (side.IsScaled()) {
      Codes::Widen(x_.Get<float>(), loaded, tiling.row_type, count);
      in_queue_.FreeTensor(loaded);
    }
    if (side.KeepsScales()) {
      KeepScales(side, tile, first);
    }
    Bytes out = out_queue_.template AllocTensor<uint8_t>();
    if (side.IsScaled()) {
      Quantise(side, tile, out, count);
    } else {
      Arrange(side, tile, out, loaded, count);
      in_queue_.FreeTensor(loaded);
    }
    out_queue_.EnQue(out);
    out = out_queue_.template DeQue<uint8_t>();
    StoreCodes(side, tile, out);
    out_queue_.FreeTensor(out);
  }

  __aicore__ inline void Quantise(const QuantSide& side, const Tile& tile, const Bytes& out, int64_t count) {
    const Floats x = x_.Get<float>();
    const bool dynamic = side.tiling.scaling == MSSP_DYNAMIC;
    if (!dynamic) {
      statics_->template Apply<HeadRowOperation::kDivide>(x, false, tile.head_rows, tile.head);
      if (statics_->HasOffset()) {
        statics_->template Apply<HeadRowOperation::kAdd>(x, true, tile.head_rows, tile.head);
      }
    }
    const Bytes codes = tile.is_run ? codes_buffer_.Get<uint8_t>() : out;
    codes_.Round(codes, x, side.tiling.cache_type, dynamic ? -127.0f : -128.0f, count);
    if (tile.is_run) {
      Arrange(side, tile, out, codes, count);
    }
  }

  // Codes as they are stored: a run's groups of tokens together.
  __aicore__ inline void Arrange(const QuantSide& side, const Tile& tile, const Bytes& out, const Bytes& codes,
                                 int64_t count) {
    if (tile.is_run) {
      Transpose(out, codes, tile.tokens, side.tiling.groups, side.tiling.group_bytes);
    } else {
      AscendC::DataCopy(out, codes, static_cast<uint32_t>(count));
    }
    VectorBarrier();
  }

  // The tile's scales into the scale cache; where they are computed, x is divided by them.
  __aicore__ inline void KeepScales(const QuantSide& side, const Tile& tile, int64_t first) {
    const int64_t width = static_cast<int64_t>(sizeof(float));
    Bytes kept = scale_out_.template AllocTensor<uint8_t>();
    const Floats scales = kept.ReinterpretCast<float>();
    const Bytes spread = kept[static_cast<uint32_t>(most_head_rows_ * width)];
    if (side.tiling.scaling == MSSP_DYNAMIC) {
      dynamic_.Compute(scales, x_.Get<float>(), tile.head_rows, side.tiling.head_size);
    } else {
      Bytes given = scale_in_.template AllocTensor<uint8_t>();
      Load(given, side.scales, first * width, 1, tile.head_rows * width, tile.head_rows * width);
      scale_in_.EnQue(given);
      given = scale_in_.template DeQue<uint8_t>();
      AscendC::DataCopy(scales, given.ReinterpretCast<float>(), static_cast<uint32_t>(WholeBlocks(tile.head_rows)));
      VectorBarrier();
      scale_in_.FreeTensor(given);
    }
    Spread(spread.ReinterpretCast<float>(), scales, tile.head_rows);
    if (side.tiling.scaling == MSSP_DYNAMIC) {
      ForHeadRows<HeadRowOperation::kDivide>(x_.Get<float>(), spread.ReinterpretCast<float>(), tile.head_rows,
                                             side.tiling.head_size);
    }
    scale_out_.EnQue(kept);
    kept = scale_out_.template DeQue<uint8_t>();
    StoreScales(side, tile, kept);
    scale_out_.FreeTensor(kept);
  }

  __aicore__ inline void StoreScales(const QuantSide& side, const Tile& tile, const Bytes& kept) {
    const int64_t width = static_cast<int64_t>(sizeof(float));
    const int64_t spread = most_head_rows_ * width;
    const int64_t end = tile.token + tile.tokens;
    int64_t head_row = 0;
    for (int64_t token = tile.token; token < end;) {
      const int64_t slot = slots_->Get(token);
      if (layout_ == MSSP_NHSD) {
        const Place place = blocks_.Find(slot);
        const int64_t heads = tile.tokens == 1 ? tile.head_rows : heads_;
        const int64_t to = (place.block * heads_ + tile.head) * blocks_.Size() + place.offset;
        Store(side.scale_cache, to * width, kept, spread + head_row * MSSP_DATA_BLOCK, heads, width,
              blocks_.Size() * width);
        head_row += heads;
        ++token;
        continue;
      }
      const int64_t next = slots_->RunEnd(token, slot, end, INT64_MAX);
      const int64_t numbers = tile.tokens == 1 ? tile.head_rows : (next - token) * heads_;
      const int64_t to = slot * heads_ + tile.head;
      if (MsspIsAligned(head_row * width)) {
        Store(side.scale_cache, to * width, kept, head_row * width, 1, numbers * width, numbers * width);
      } else {
        Store(side.scale_cache, to * width, kept, spread + head_row * MSSP_DATA_BLOCK, numbers, width, width);
      }
      head_row += numbers;
      token = next;
    }
  }

  __aicore__ inline void StoreCodes(const QuantSide& side, const Tile& tile, const Bytes& out) {
    const MsspPagedSideTiling& tiling = side.tiling;
    const int64_t end = tile.token + tile.tokens;
    const int64_t stride = blocks_.Size() * tiling.group_bytes;
    int64_t from = 0;
    for (int64_t token = tile.token; token < end;) {
      const int64_t slot = slots_->Get(token);
      const int64_t bytes = tile.tokens == 1 ? tile.head_rows * tiling.code_bytes : tiling.cache_bytes;
      const int64_t column = tile.head * tiling.code_bytes;
      if (layout_ == MSSP_NORM) {
        const int64_t next = slots_->RunEnd(token, slot, end, INT64_MAX);
        const int64_t length = (next - token) * bytes;
        Store(side.cache, slot * tiling.cache_bytes + column, out, from, 1, length, length);
        from += length;
        token = next;
        continue;
      }
      const Place place = blocks_.Find(slot);
      const int64_t target = place.block * blocks_.Size() * tiling.cache_bytes + place.offset * tiling.group_bytes +
                             column * blocks_.Size();
      if (tile.is_run) {
        Store(side.cache, target, out, 0, tiling.groups, tile.tokens * tiling.group_bytes, stride);
        return;
      }
      Store(side.cache, target, out, from, layout_ == MSSP_NHSD ? bytes / tiling.code_bytes : bytes / MSSP_DATA_BLOCK,
            tiling.group_bytes, stride);
      from += bytes;
      ++token;
    }
  }

  SlotMapping<IndexT>* slots_;
  StaticScales* statics_;
  DynamicScales dynamic_;
  Codes codes_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> in_queue_;
  AscendC::TQue<AscendC::TPosition::VECOUT, kBuffers> out_queue_;
  AscendC::TQue<AscendC::TPosition::VECIN, kBuffers> scale_in_;
  AscendC::TQue<AscendC::TPosition::VECOUT, kBuffers> scale_out_;
  FloatBuffer x_;
  FloatBuffer codes_buffer_;
  Blocks blocks_;
  int64_t heads_;
  int64_t most_head_rows_;
  int32_t layout_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_QUANTISE_H_
