// How the work of a compressed call is shared out to threads.
#ifndef MS_SCATTER_PA_CORE_PAIR_SHARES_H_
#define MS_SCATTER_PA_CORE_PAIR_SHARES_H_

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "index_array.h"
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
  Shares(const MsspCall& call, const IndexArray& lengths, const bool present[2], int64_t mean_heads)
      : call_(call),
        lengths_(lengths),
        present_{present[0], present[1]},
        mean_heads_(mean_heads),
        means_(call.scatter_mode == MSSP_ROPE) {}

  bool Take(Share* share) {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (batch_ < call_.batch) {
      // If all pairs are skipped the length of rows that are not packed may be anything.
      const int64_t length = lengths_[batch_];
      const int64_t rows = call_.packed ? length : std::min(length, call_.seq_len);
      const int64_t bound = means_ ? call_.num_head : rows;
      if (side_ == 2) {
        side_ = 0;
        ++batch_;
        first_row_ += rows;
        if (batch_ == call_.batch && means_) {
          means_ = false;
          batch_ = first_row_ = 0;
        }
        continue;
      }
      if (next_ >= bound || !present_[side_]) {
        next_ = 0;
        ++side_;
        continue;
      }
      const int64_t begin = next_;
      next_ = std::min(begin + (means_ ? mean_heads_ : kChunkRows), bound);
      *share = {side_, means_, batch_, first_row_, length, begin, next_};
      return true;
    }
    return false;
  }

 private:
  const MsspCall& call_;
  const IndexArray& lengths_;
  const bool present_[2];
  const int64_t mean_heads_;
  std::mutex mutex_;
  bool means_;
  int side_ = 0;
  int64_t batch_ = 0, next_ = 0, first_row_ = 0;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_PAIR_SHARES_H_
