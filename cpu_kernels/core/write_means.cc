// Rope's mean rows: row by row, all heads of a share, which is the order in which they lie in memory.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "pair_work.h"

namespace mssp {
namespace {

constexpr int64_t kMeanPrefetchBytes = 6144;
constexpr int64_t kSumBytes = 16 << 10;  // half of a first-level cache

class MeanWriter {
 public:
  MeanWriter(const PairWork& work, const Share& share)
      : work_(work),
        share_(share),
        side_(work.sides[share.side]),
        kernel_(work.kernels.means[side_.element_type]),
        heads_(share.end - share.begin),
        width_(std::min(kSumBytes / kernel_.sum_bytes / heads_, side_.head_size)),
        prefetch_(side_.PrefetchDistance(kMeanPrefetchBytes)) {
    for (int64_t h = 0; h < heads_; ++h) {
      plans_[h] = work.Plan(share, share.begin + h);
      if (!plans_[h].HasMean()) continue;
      first_ = std::min(first_, plans_[h].mean_begin);
      last_ = std::max(last_, plans_[h].mean_end);
    }
  }

  void Write() {
    for (int64_t column = 0; column < side_.head_size && first_ < last_; column += width_) {
      const int64_t columns = std::min(width_, side_.head_size - column);
      std::memset(sums_, 0, sizeof(sums_));
      for (int64_t row = first_; row < last_; ++row) AddRow(row, column, columns);
      for (int64_t h = 0; h < heads_; ++h) {
        if (plans_[h].HasMean()) Finish(plans_[h], SumsOf(h), column, columns);
      }
    }
  }

 private:
  void AddRow(int64_t row, int64_t column, int64_t columns) {
    const bool side_by_side = width_ == side_.head_size && side_.HeadsAreContiguous();
    for (int64_t h = 0, together; h < heads_; h += together) {
      together = 1;
      if (!plans_[h].Averages(row)) continue;
      // Neighbours that average the row are one wide head.
      while (side_by_side && h + together < heads_ && plans_[h + together].Averages(row)) ++together;
      const char* const from = work_.Rows(share_, share_.begin + h) + row * side_.token_stride;
      kernel_.add(from + Bytes(column), columns * together, prefetch_, SumsOf(h));
    }
  }

  void Finish(const PairPlan& plan, const void* sums, int64_t column, int64_t columns) const {
    char* const to = side_.cache + plan.MeanSlot() * side_.head_bytes + Bytes(column);
    kernel_.finish(sums, plan.mean_end - plan.mean_begin, columns, to);
  }

  char* SumsOf(int64_t head) { return sums_ + head * width_ * kernel_.sum_bytes; }
  int64_t Bytes(int64_t columns) const { return columns * MsspItemSize(side_.element_type); }

  const PairWork& work_;
  const Share& share_;
  const SideView& side_;
  const MeanKernel& kernel_;
  const int64_t heads_;
  const int64_t width_;  // columns of each head at a time
  const int64_t prefetch_;
  PairPlan plans_[kMaxMeanHeads];
  int64_t first_ = INT64_MAX, last_ = 0;
  alignas(64) char sums_[kSumBytes];
};

}  // namespace

void WriteMeans(const PairWork& work, const Share& share) { MeanWriter(work, share).Write(); }

}  // namespace mssp
