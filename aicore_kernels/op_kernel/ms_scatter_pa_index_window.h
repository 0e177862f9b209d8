// Index arrays, brought in by DMA a window at a time; the scalar unit never reads them from global memory.
#ifndef MS_SCATTER_PA_INDEX_WINDOW_H_
#define MS_SCATTER_PA_INDEX_WINDOW_H_

#include "ms_scatter_pa_dma.h"

namespace mssp {

template <typename IndexT>
class IndexWindow {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR array, int64_t capacity) {
    array_.SetGlobalBuffer((__gm__ uint8_t*)array);
    capacity_ = capacity;
    begin_ = 0;
    end_ = 0;
    pipe->InitBuffer(buffer_, static_cast<uint32_t>(MsspAlignUp(capacity * static_cast<int64_t>(sizeof(IndexT)))));
  }

  // Brings in entries from `index` on, at most up to `limit`, unless `index` is there already.
  __aicore__ inline void Cover(int64_t index, int64_t limit) {
    if (index >= begin_ && index < end_) {
      return;
    }
    const int64_t width = static_cast<int64_t>(sizeof(IndexT));
    begin_ = index;
    end_ = MsspMin(limit, index + capacity_);
    Bytes bytes = buffer_.template Get<uint8_t>();
    Sync<AscendC::HardEvent::S_MTE2>();
    const int64_t length = (end_ - begin_) * width;
    Load(bytes, array_, begin_ * width, 1, length, length);
    Sync<AscendC::HardEvent::MTE2_S>();
    entries_ = bytes.template ReinterpretCast<IndexT>();
  }

  __aicore__ inline int64_t End() const { return end_; }

  // The first of the entries [index, limit) that is `bound` or more; `limit` if there is none. All are covered.
  __aicore__ inline int64_t FindAtLeast(int64_t index, int64_t limit, int64_t bound) const {
    uint32_t entry = static_cast<uint32_t>(index - begin_);
    const uint32_t last = static_cast<uint32_t>(limit - begin_);
    for (; entry + kUnroll <= last; entry += kUnroll) {
      int64_t largest = static_cast<int64_t>(entries_.GetValue(entry));
      for (uint32_t i = 1; i < kUnroll; ++i) {
        largest = MsspMax(largest, static_cast<int64_t>(entries_.GetValue(entry + i)));
      }
      if (largest >= bound) {
        break;
      }
    }
    while (entry < last && static_cast<int64_t>(entries_.GetValue(entry)) < bound) {
      ++entry;
    }
    return begin_ + entry;
  }

  __aicore__ inline int64_t Get(int64_t index) const {
    return static_cast<int64_t>(entries_.GetValue(static_cast<uint32_t>(index - begin_)));
  }

 private:
  static constexpr uint32_t kUnroll = 8;

  GmBytes array_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> buffer_;
  AscendC::LocalTensor<IndexT> entries_;
  int64_t capacity_;
  int64_t begin_;
  int64_t end_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_INDEX_WINDOW_H_
