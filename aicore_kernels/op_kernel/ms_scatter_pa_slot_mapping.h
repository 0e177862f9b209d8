// slot_mapping of Norm, PA_NZ and NHSD: which cache row a token goes to, if any.
#ifndef MS_SCATTER_PA_SLOT_MAPPING_H_
#define MS_SCATTER_PA_SLOT_MAPPING_H_

#include "ms_scatter_pa_index_window.h"
#include "ms_scatter_pa_status.h"

namespace mssp {

template <typename IndexT>
class SlotMapping {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR slot_mapping, const MsScatterPaKvCacheTiling& tiling,
                              Status* status) {
    window_.Init(pipe, slot_mapping, tiling.index_window);
    capacity_ = tiling.num_blocks * tiling.block_size;
    status_ = status;
  }

  __aicore__ inline void Cover(int64_t token, int64_t limit) { window_.Cover(token, limit); }
  __aicore__ inline int64_t End() const { return window_.End(); }

  // What stands in slot_mapping for a covered token.
  __aicore__ inline int64_t Get(int64_t token) const { return window_.Get(token); }

  // Whether a token with that slot is written: negative slots are padding, those past the caches are bad.
  __aicore__ inline bool IsWritten(int64_t slot) const { return slot >= 0 && slot < capacity_; }

  // The token after the run that starts at `token`: slots rise by one and stay below `slot_limit`. A run that
  // leaves the caches is the caller's to see.
  __aicore__ inline int64_t RunEnd(int64_t token, int64_t slot, int64_t limit, int64_t slot_limit) const {
    const int64_t longest = MsspMin(limit - token, slot_limit - slot);
    int64_t length = 1;
    while (length < longest && window_.Get(token + length) == slot + length) {
      ++length;
    }
    return token + length;
  }

  // Records the first bad slot of all.
  __aicore__ inline void Check(int64_t tokens) {
    for (int64_t token = 0; token < tokens;) {
      Cover(token, tokens);
      const int64_t end = End();
      token = window_.FindAtLeast(token, end, capacity_);
      if (token < end) {
        status_->Record(MSSP_BAD_SLOT, token, Get(token), capacity_);
        return;
      }
    }
  }

 private:
  IndexWindow<IndexT> window_;
  Status* status_;
  int64_t capacity_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_SLOT_MAPPING_H_
