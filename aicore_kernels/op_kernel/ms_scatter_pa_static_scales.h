// Static scales and offsets of one side, checked and kept in the unified buffer in the form that vectors take.
#ifndef MS_SCATTER_PA_STATIC_SCALES_H_
#define MS_SCATTER_PA_STATIC_SCALES_H_

#include "ms_scatter_pa_status.h"
#include "ms_scatter_pa_vector.h"

namespace mssp {

class StaticScales {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const MsspPagedTiling& tiling) {
    floats_ = tiling.scale_floats;
    heads_ = tiling.num_head;
    if (floats_ == 0) {
      return;
    }
    const int64_t blocks = 2 * BlockList(tiling) * MSSP_DATA_BLOCK;
    pipe->InitBuffer(values_, static_cast<uint32_t>(2 * floats_ * static_cast<int64_t>(sizeof(float))));
    pipe->InitBuffer(list_, static_cast<uint32_t>(BlockList(tiling) * static_cast<int64_t>(sizeof(float))));
    pipe->InitBuffer(blocks_, static_cast<uint32_t>(blocks));
    list_size_ = BlockList(tiling);
  }

  // Numbers that are spread over blocks: those of one token, and of as many heads after them as a tile may hold.
  __aicore__ inline static int64_t BlockList(const MsspPagedTiling& tiling) {
    return WholeBlocks(tiling.num_head + MsspMax(tiling.side[0].tile_head_rows, tiling.side[1].tile_head_rows));
  }

  // Brings in the side's numbers. False, and the status told, where one is bad.
  __aicore__ inline bool Load(const MsspPagedSideTiling& side, GM_ADDR scale, int64_t scale_place, int64_t offset_place,
                              Status* status) {
    per_channel_ = side.granularity == MSSP_PER_CHANNEL;
    has_offset_ = side.has_offset != 0;
    head_size_ = side.head_size;
    const int64_t count = side.granularity == MSSP_PER_TENSOR ? 1 : per_channel_ ? heads_ * head_size_ : heads_;
    const int64_t bytes = count * static_cast<int64_t>(sizeof(float));
    GmBytes given;
    given.SetGlobalBuffer((__gm__ uint8_t*)scale);
    Bytes to = values_.Get<uint8_t>();
    Sync<AscendC::HardEvent::V_S>();
    Sync<AscendC::HardEvent::S_MTE2>();
    mssp::Load(to, given, 0, 1, bytes, bytes);
    if (has_offset_) {
      mssp::Load(to[static_cast<uint32_t>(floats_ * static_cast<int64_t>(sizeof(float)))], given, bytes, 1, bytes,
                 bytes);
    }
    Sync<AscendC::HardEvent::MTE2_S>();
    if (!Check(count, scale_place, offset_place, status)) {
      return false;
    }
    if (!per_channel_) {
      SpreadList(0, count);
      if (has_offset_) {
        SpreadList(floats_, count);
      }
    }
    return true;
  }

  __aicore__ inline bool HasOffset() const { return has_offset_; }

  // x[head_row] OPERATION the scale (or the offset) of the head row; the first head row is head `head` of its token.
  template <HeadRowOperation OPERATION>
  __aicore__ inline void Apply(const Floats& x, bool offset, int64_t head_rows, int64_t head) {
    if (per_channel_) {
      const int64_t first = (offset ? floats_ : 0) + head * head_size_;
      ForChannels<OPERATION>(x, values_.Get<float>()[static_cast<uint32_t>(first)], head_rows, heads_, head_size_);
      return;
    }
    const int64_t first = (offset ? list_size_ : 0) + head;
    ForHeadRows<OPERATION>(x, blocks_.Get<float>()[static_cast<uint32_t>(first * MSSP_BLOCK_FLOATS)], head_rows,
                           head_size_);
  }

  // The same where all head rows are of head `head`.
  template <HeadRowOperation OPERATION>
  __aicore__ inline void ApplyToOneHead(const Floats& x, bool offset, int64_t head_rows, int64_t head) {
    if (per_channel_) {
      const int64_t first = (offset ? floats_ : 0) + head * head_size_;
      ForChannels<OPERATION>(x, values_.Get<float>()[static_cast<uint32_t>(first)], head_rows, 1, head_size_);
      return;
    }
    const int64_t first = ((offset ? list_size_ : 0) + head) * MSSP_BLOCK_FLOATS;
    ForHeadRows<OPERATION>(x, blocks_.Get<float>()[static_cast<uint32_t>(first)], head_rows, head_size_, 0);
  }

 private:
  __aicore__ inline bool Check(int64_t count, int64_t scale_place, int64_t offset_place, Status* status) {
    AscendC::LocalTensor<uint32_t> bits = values_.Get<uint32_t>();
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t scale = bits.GetValue(static_cast<uint32_t>(i));
      if (scale == 0 || scale >= static_cast<uint32_t>(kInfinityWord)) {
        status->Record(MSSP_BAD_SCALE, i, static_cast<int64_t>(scale), scale_place);
        return false;
      }
    }
    for (int64_t i = 0; has_offset_ && i < count; ++i) {
      const uint32_t offset = bits.GetValue(static_cast<uint32_t>(floats_ + i));
      if ((offset & static_cast<uint32_t>(kInfinityWord)) == static_cast<uint32_t>(kInfinityWord)) {
        status->Record(MSSP_BAD_OFFSET, i, static_cast<int64_t>(offset), offset_place);
        return false;
      }
    }
    return true;
  }

  // Numbers [first, first + count) again and again, each of them in a block.
  __aicore__ inline void SpreadList(int64_t first, int64_t count) {
    AscendC::LocalTensor<uint32_t> values = values_.Get<uint32_t>();
    AscendC::LocalTensor<uint32_t> list = list_.Get<uint32_t>();
    Sync<AscendC::HardEvent::V_S>();
    int64_t from = 0;
    for (int64_t i = 0; i < list_size_; ++i) {
      list.SetValue(static_cast<uint32_t>(i), values.GetValue(static_cast<uint32_t>(first + from)));
      from = from + 1 == count ? 0 : from + 1;
    }
    Sync<AscendC::HardEvent::S_V>();
    const int64_t place = first == 0 ? 0 : list_size_ * MSSP_BLOCK_FLOATS;
    Spread(blocks_.Get<float>()[static_cast<uint32_t>(place)], list_.Get<float>(), list_size_);
  }

  FloatBuffer values_;  // scales, then offsets
  FloatBuffer list_;
  FloatBuffer blocks_;
  int64_t floats_;
  int64_t heads_;
  int64_t head_size_;
  int64_t list_size_;
  bool per_channel_;
  bool has_offset_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_STATIC_SCALES_H_
