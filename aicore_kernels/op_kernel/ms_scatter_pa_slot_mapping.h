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

  // The slot of a covered token, or -1 when the token is not written. A slot past the caches is recorded.
  __aicore__ inline int64_t Slot(int64_t token) {
    const int64_t slot = window_.Get(token);
    if (slot < 0) {
      return -1;
    }
    if (slot >= capacity_) {
      status_->Record(MSSP_BAD_SLOT, token, slot, capacity_);
      return -1;
    }
    return slot;
  }

  // The token after the run that starts at `token`: slots rise by one and stay below `slot_limit`.
  __aicore__ inline int64_t RunEnd(int64_t token, int64_t slot, int64_t limit, int64_t slot_limit) {
    const int64_t longest = MsspMin(limit, token + MsspMin(slot_limit, capacity_) - slot);
    int64_t next = token + 1;
    while (next < longest && window_.Get(next) == slot + (next - token)) {
      ++next;
    }
    return next;
  }

 private:
  IndexWindow<IndexT> window_;
  Status* status_;
  int64_t capacity_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_SLOT_MAPPING_H_
