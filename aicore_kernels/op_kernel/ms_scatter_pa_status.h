// The status output: a kernel cannot raise, so each core records the first bad position that it met.
#ifndef MS_SCATTER_PA_STATUS_H_
#define MS_SCATTER_PA_STATUS_H_

#include "ms_scatter_pa_dma.h"

namespace mssp {

class Status {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR status, int64_t core, int64_t used_cores) {
    status_.SetGlobalBuffer((__gm__ uint8_t*)status);
    core_ = core;
    used_cores_ = used_cores;
    code_ = MSSP_WRITTEN;
    position_ = 0;
    value_ = 0;
    limit_ = 0;
    pipe->InitBuffer(buffer_, static_cast<uint32_t>(MSSP_STATUS_LINES * kLineBytes));
  }

  __aicore__ inline void Record(int64_t code, int64_t position, int64_t value, int64_t limit) {
    if (code_ != MSSP_WRITTEN && position_ <= position) {
      return;
    }
    code_ = code;
    position_ = position;
    value_ = value;
    limit_ = limit;
  }

  // Writes this core's line, and clears its share of the lines that no core owns.
  __aicore__ inline void Finish() {
    AscendC::LocalTensor<int64_t> line = buffer_.Get<int64_t>();
    line.SetValue(0, code_);
    line.SetValue(1, position_);
    line.SetValue(2, value_);
    line.SetValue(3, limit_);
    const int64_t begin = MsspShare(MSSP_STATUS_LINES - used_cores_, core_, used_cores_);
    const int64_t lines = MsspShare(MSSP_STATUS_LINES - used_cores_, core_ + 1, used_cores_) - begin;
    for (int64_t i = 0; i < lines * MSSP_STATUS_SIZE; ++i) {
      line.SetValue(static_cast<uint32_t>(MSSP_STATUS_SIZE + i), 0);
    }
    Sync<AscendC::HardEvent::S_MTE3>();
    Bytes bytes = buffer_.Get<uint8_t>();
    Store(status_, core_ * kLineBytes, bytes, 0, 1, kLineBytes, kLineBytes);
    if (lines > 0) {
      Store(status_, (used_cores_ + begin) * kLineBytes, bytes, kLineBytes, 1, lines * kLineBytes, lines * kLineBytes);
    }
  }

 private:
  static constexpr int64_t kLineBytes = MSSP_STATUS_SIZE * static_cast<int64_t>(sizeof(int64_t));

  GmBytes status_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> buffer_;
  int64_t core_;
  int64_t used_cores_;
  int64_t code_;
  int64_t position_;
  int64_t value_;
  int64_t limit_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_STATUS_H_
