// How the work of a compressed call is shared out to threads.
#ifndef MS_SCATTER_PA_CORE_PAIR_SHARES_H_
#define MS_SCATTER_PA_CORE_PAIR_SHARES_H_

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "pair.h"
#include "scatter_pa.h"

namespace mssp {

// A share of the work: of one side of one batch element, the means of heads [begin, end), or source rows [begin, end)
// of all heads.
struct Share {
  int side;
  bool is_mean;
  int64_t batch;
  int64_t first_row;  // packed: row of the batch element's token 0
  int64_t length;
  int64_t begin, end;
};

inline constexpr int64_t kChunkRows = 256;  // source rows, all heads, that a thread takes at a time

// Hands the shares out in turn. Means first: they are the longest.
class Shares {
 public:
  Shares(const MsspCall& call, const PairArrays& arrays, const bool present[2], int64_t mean_heads)
      : call_(call),
        arrays_(arrays),
        present_{present[0], present[1]},
        mean_heads_(mean_heads),
        means_(call.scatter_mode == MSSP_ROPE) {
    EnterBatch();
  }

  bool Take(Share* share) {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (batch_ < call_.batch) {
      if (side_ == 2) {
        side_ = 0;
        ++batch_;
        first_row_ += call_.packed != 0 ? length_ : 0;
        if (batch_ == call_.batch && means_) {
          means_ = false;
          batch_ = first_row_ = 0;
        }
        EnterBatch();
        continue;
      }
      const int64_t bound = means_ ? call_.num_head : copied_end_;
      if (next_ >= bound || !present_[side_]) {
        next_ = First();
        ++side_;
        continue;
      }
      const int64_t begin = next_;
      next_ = std::min(begin + (means_ ? mean_heads_ : kChunkRows), bound);
      *share = {side_, means_, batch_, first_row_, length_, begin, next_};
      return true;
    }
    return false;
  }

 private:
  // The rows from the first to the last that some head copies: those before an Alibi tail are no work, and where all
  // pairs are skipped the length of rows that are not packed may be anything.
  void EnterBatch() {
    if (batch_ >= call_.batch) return;
    length_ = arrays_.lengths[batch_];
    copied_begin_ = INT64_MAX;
    copied_end_ = 0;
    for (int64_t h = 0; h < call_.num_head && !means_; ++h) {
      const int64_t position = batch_ * call_.num_head + h;
      const PairPlan plan = PlanPair(LoadPair(arrays_, call_.scatter_mode, position, length_), call_.scatter_mode);
      Cover(plan.head_begin, plan.head_end);
      Cover(plan.tail_begin, plan.tail_end);
    }
    next_ = First();
  }

  void Cover(int64_t begin, int64_t end) {
    if (begin >= end) return;
    copied_begin_ = std::min(copied_begin_, begin);
    copied_end_ = std::max(copied_end_, end);
  }

  int64_t First() const { return means_ ? 0 : copied_begin_; }

  const MsspCall& call_;
  const PairArrays& arrays_;
  const bool present_[2];
  const int64_t mean_heads_;
  std::mutex mutex_;
  bool means_;
  int side_ = 0;
  int64_t batch_ = 0, next_ = 0, first_row_ = 0;
  int64_t length_ = 0, copied_begin_ = 0, copied_end_ = 0;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_PAIR_SHARES_H_
