// Where the slots of a call jump, the next page of memory (4 KiB, not a block of the cache) is one whose translation is
// not in the TLB: a walk through a virtual machine's two levels of page tables takes longer than copying a row. Walks
// overlap if they begin together.
#ifndef MS_SCATTER_PA_CORE_MEMORY_PAGE_PREFETCH_H_
#define MS_SCATTER_PA_CORE_MEMORY_PAGE_PREFETCH_H_

#include <cstdint>

#include "call_sizes.h"
#include "indices.h"

namespace mssp {

class MemoryPagePrefetch {
 public:
  // Jumps of tokens [begin, end), which may go beyond what the caller itself writes.
  MemoryPagePrefetch(const IndexArray& slots, const SideView& side, int64_t begin, int64_t end)
      : slots_(slots), side_(side), next_(begin), refill_(begin), end_(end) {}

  // To be called before the row of `token` is written: keeps one to two batches of jumps on their way.
  void GoTo(int64_t token) {
    if (token >= refill_) FetchBatch();
  }

 private:
  static constexpr int kBatch = 16;

  void FetchBatch() {
    const char* addresses[kBatch];
    int found = 0;
    refill_ = end_;
    for (; next_ < end_ && found < kBatch; ++next_) {
      const int64_t slot = slots_[next_];
      if (slot >= 0 && slot != expected_) {
        if (found == 0) refill_ = next_;
        addresses[found++] = side_.Slot(slot);
      }
      expected_ = slot + 1;
    }
    for (int i = 0; i < found; ++i) __builtin_prefetch(addresses[i], 0, 2);
  }

  const IndexArray& slots_;
  const SideView& side_;
  int64_t next_;
  int64_t refill_;
  const int64_t end_;
  int64_t expected_ = -1;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_MEMORY_PAGE_PREFETCH_H_
