// The numbers [0, count) shared out to threads: each goes through a share of its own, so that reading ahead is of use
// to the thread that did it; a thread that has finished takes half of what another one still has, so that no
// thread waits for one that is late or disturbed.
#ifndef MS_SCATTER_PA_CORE_SHARES_H_
#define MS_SCATTER_PA_CORE_SHARES_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace mssp {

struct Range {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t Size() const { return end - begin; }
};

class Shares {
 public:
  // A share with `least` numbers left or fewer is not divided any more.
  Shares(int64_t count, int threads, int64_t least) : least_(least), shares_(static_cast<size_t>(threads)) {
    for (int i = 0; i < threads; ++i) shares_[i].range = {count * i / threads, count * (i + 1) / threads};
  }

  // To be called once by every thread that takes part, at most `threads` times.
  int Join() { return joined_.fetch_add(1, std::memory_order_relaxed); }

  // The next piece for thread `self`; false when nothing is left.
  bool Take(int self, Range* piece) {
    while (!TakeOwn(shares_[self], piece)) {
      if (!Steal(self)) return false;
    }
    return true;
  }

 private:
  struct alignas(64) Share {
    std::mutex mutex;
    Range range;
  };

  // A quarter of what is left of the share: long pieces first, short ones when threads come to the ends of theirs.
  bool TakeOwn(Share& share, Range* piece) {
    const std::lock_guard<std::mutex> lock(share.mutex);
    if (share.range.Size() == 0) return false;
    const int64_t size = std::min(std::max(share.range.Size() / 4, least_), share.range.Size());
    *piece = {share.range.begin, share.range.begin + size};
    share.range.begin += size;
    return true;
  }

  bool Steal(int self) {
    const int threads = static_cast<int>(shares_.size());
    for (int i = 1; i < threads; ++i) {
      Range taken;
      {
        Share& victim = shares_[(self + i) % threads];
        const std::lock_guard<std::mutex> lock(victim.mutex);
        const int64_t size = victim.range.Size();
        if (size == 0) continue;
        taken = {size <= least_ ? victim.range.begin : victim.range.end - size / 2, victim.range.end};
        victim.range.end = taken.begin;
      }
      const std::lock_guard<std::mutex> lock(shares_[self].mutex);
      shares_[self].range = taken;
      return true;
    }
    return false;
  }

  const int64_t least_;
  std::atomic<int> joined_{0};
  std::vector<Share> shares_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SHARES_H_
