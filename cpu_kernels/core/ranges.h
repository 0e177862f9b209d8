// The numbers [0, count) shared out to threads: each goes through a range of its own, so that reading ahead is of use
// to the thread that did it; whoever is through takes over half of another's rest, so that nobody waits for a thread
// that is late or disturbed.
#ifndef MS_SCATTER_PA_CORE_RANGES_H_
#define MS_SCATTER_PA_CORE_RANGES_H_

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

class Ranges {
 public:
  // A rest of `least` numbers or fewer is not divided any more.
  Ranges(int64_t count, int threads, int64_t least) : least_(least), rests_(static_cast<size_t>(threads)) {
    for (int i = 0; i < threads; ++i) rests_[i].range = {count * i / threads, count * (i + 1) / threads};
  }

  // To be called once by every thread that takes part, at most `threads` times.
  int Join() { return joined_.fetch_add(1, std::memory_order_relaxed); }

  // The next piece for thread `self`; false when nothing is left.
  bool Take(int self, Range* piece) {
    while (!TakeOwn(rests_[self], piece)) {
      if (!Steal(self)) return false;
    }
    return true;
  }

 private:
  struct alignas(64) Rest {
    std::mutex mutex;
    Range range;
  };

  // A quarter of the rest: long pieces first, short ones when threads come to their ends.
  bool TakeOwn(Rest& rest, Range* piece) {
    const std::lock_guard<std::mutex> lock(rest.mutex);
    if (rest.range.Size() == 0) return false;
    const int64_t size = std::min(std::max(rest.range.Size() / 4, least_), rest.range.Size());
    *piece = {rest.range.begin, rest.range.begin + size};
    rest.range.begin += size;
    return true;
  }

  bool Steal(int self) {
    const int threads = static_cast<int>(rests_.size());
    for (int i = 1; i < threads; ++i) {
      Range taken;
      {
        Rest& victim = rests_[(self + i) % threads];
        const std::lock_guard<std::mutex> lock(victim.mutex);
        const int64_t size = victim.range.Size();
        if (size == 0) continue;
        taken = {size <= least_ ? victim.range.begin : victim.range.end - size / 2, victim.range.end};
        victim.range.end = taken.begin;
      }
      const std::lock_guard<std::mutex> lock(rests_[self].mutex);
      rests_[self].range = taken;
      return true;
    }
    return false;
  }

  const int64_t least_;
  std::atomic<int> joined_{0};
  std::vector<Rest> rests_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_RANGES_H_
