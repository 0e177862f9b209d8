// Alibi, Rope and Omni: rows of one head, num_head rows apart in the source, follow one another in the cache.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "float_environment.h"
#include "pair_work.h"
#include "strand_copy.h"
#include "threads.h"
#include "write.h"

namespace mssp {
namespace {

constexpr int64_t kTileBytes = int64_t{32} << 10;  // of source rows, where not all heads are copied side by side

// Heads whose means one share takes. All of them lie in one stretch of memory, which is read at full speed; but every
// thread should have something to do.
int64_t MeanHeads(const MsspCall& call, int num_threads) {
  const int64_t sides = call.value.rows == nullptr ? 1 : 2;
  return std::clamp<int64_t>(call.num_head * sides * call.batch / num_threads, 1, kMaxMeanHeads);
}

// Heads side by side, in the order in which their rows lie in memory.
class RowWriter {
 public:
  RowWriter(const PairWork& work, const Share& share)
      : work_(work), share_(share), side_(work.sides[share.side]), plans_(static_cast<size_t>(work.call.num_head)) {
    for (size_t h = 0; h < plans_.size(); ++h) plans_[h] = work.Plan(share, static_cast<int64_t>(h));
  }

  void Write() const {
    const int64_t tile =
        plans_.size() <= kMaxStrands ? kChunkRows : std::max(kTileBytes / side_.token_bytes, int64_t{1});
    for (int64_t row = share_.begin, next; row < share_.end; row = next) {
      // The same heads are copied from here to there.
      next = std::min(row + tile, share_.end);
      for (const PairPlan& plan : plans_) next = plan.NextChange(row, next);
      WriteTile(row, next - row);
    }
  }

 private:
  void WriteTile(int64_t row, int64_t rows) const {
    StrandCopy heads(work_.kernels, work_.stream, side_.head_bytes, side_.token_stride, rows, side_.PrefetchDistance());
    for (size_t h = 0; h < plans_.size(); ++h) {
      const int64_t slot = plans_[h].SlotOfRow(row);
      if (slot < 0) continue;
      heads.Add(side_.cache + slot * side_.head_bytes,
                work_.Rows(share_, static_cast<int64_t>(h)) + row * side_.token_stride);
    }
    heads.Flush();
  }

  const PairWork& work_;
  const Share& share_;
  const SideView& side_;
  std::vector<PairPlan> plans_;  // by head
};

}  // namespace

void WritePairs(const MsspCall& call) {
  const PairWork work(call);
  const bool present[2] = {work.sides[0].IsPresent(), work.sides[1].IsPresent()};
  int64_t row_bytes = 0;
  for (int i = 0; i < 2; ++i) row_bytes += present[i] ? work.sides[i].token_bytes : 0;
  if (row_bytes == 0) return;
  const Team team = ChooseTeam(call.num_threads, NumRows(call) * row_bytes);
  Shares shares(call, work.arrays, present, MeanHeads(call, team.num_threads));
  RunOnThreads(team, [&] {
    const IeeeScope ieee;
    for (Share share; shares.Take(&share);) {
      if (share.is_mean) {
        WriteMeans(work, share);
      } else {
        RowWriter(work, share).Write();
      }
    }
    if (work.stream) work.kernels.fence();
  });
}

}  // namespace mssp
