// The status: a kernel cannot raise, so the core that sees every slot or pair records the first that is bad. It alone
// writes, so no cores need to wait for each other.
#ifndef MS_SCATTER_PA_STATUS_H_
#define MS_SCATTER_PA_STATUS_H_

#include "ms_scatter_pa_dma.h"

namespace mssp {

constexpr int64_t kStatusCore = 0;

class Status {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR status, GM_ADDR last_status, bool keep_last) {
    status_.SetGlobalBuffer((__gm__ uint8_t*)status);
    last_status_.SetGlobalBuffer((__gm__ uint8_t*)last_status);
    keep_last_ = keep_last;
    code_ = MSSP_WRITTEN;
    position_ = 0;
    value_ = 0;
    limit_ = 0;
    pipe->InitBuffer(buffer_, static_cast<uint32_t>(MSSP_STATUS_BYTES));
  }

  // Positions come in rising order: the first that is bad stays.
  __aicore__ inline void Record(int64_t code, int64_t position, int64_t value, int64_t limit) {
    if (code_ != MSSP_WRITTEN) {
      return;
    }
    code_ = code;
    position_ = position;
    value_ = value;
    limit_ = limit;
  }

  // Writes what was recorded: the status always, a Cell's last status when the call was bad. One core does.
  __aicore__ inline void Finish() {
    AscendC::LocalTensor<int64_t> fields = buffer_.Get<int64_t>();
    fields.SetValue(0, code_);
    fields.SetValue(1, position_);
    fields.SetValue(2, value_);
    fields.SetValue(3, limit_);
    Sync<AscendC::HardEvent::S_MTE3>();
    Bytes bytes = buffer_.Get<uint8_t>();
    Store(status_, 0, bytes, 0, 1, MSSP_STATUS_BYTES, MSSP_STATUS_BYTES);
    if (keep_last_ && code_ != MSSP_WRITTEN) {
      Store(last_status_, 0, bytes, 0, 1, MSSP_STATUS_BYTES, MSSP_STATUS_BYTES);
    }
  }

 private:
  GmBytes status_;
  GmBytes last_status_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> buffer_;
  int64_t code_;
  int64_t position_;
  int64_t value_;
  int64_t limit_;
  bool keep_last_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_STATUS_H_
