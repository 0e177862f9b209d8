// Alibi, Rope and Omni: rows of one head, num_head rows apart in the source, follow one another in the cache.
#include <algorithm>
#include <cstdint>

#include "float_environment.h"
#include "pair_work.h"
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
  RowWriter(const PairWork& work, const Share& share) : work_(work), share_(share), side_(work.sides[share.side]) {
    heads_.row_bytes = side_.head_bytes;
    heads_.stride = side_.token_stride;
    heads_.prefetch = side_.PrefetchDistance();
  }

  void Write() {
    const int64_t num_head = work_.call.num_head;
    const int64_t tile = num_head <= kMaxStrands ? kChunkRows : std::max(kTileBytes / side_.token_bytes, int64_t{1});
    for (int64_t row = share_.begin, next; row < share_.end; row = next) {
      // The same heads are copied from here to there.
      next = std::min(row + tile, share_.end);
      for (int64_t h = 0; h < num_head; ++h) next = work_.Plan(share_, h).NextChange(row, next);
      heads_.rows = next - row;
      for (int64_t h = 0; h < num_head; ++h) AddHead(h, row);
      Flush();
    }
  }

 private:
  void AddHead(int64_t head, int64_t row) {
    const int64_t slot = work_.Plan(share_, head).SlotOfRow(row);
    if (slot < 0) return;
    heads_.Add(side_.cache + slot * side_.head_bytes, work_.Rows(share_, head) + row * side_.token_stride);
    if (heads_.count == kMaxStrands) Flush();
  }

  void Flush() {
    if (work_.stream) {
      work_.kernels.stream_strands(heads_);
    } else {
      CopyWithMemcpy(heads_);
    }
    heads_.count = 0;
  }

  const PairWork& work_;
  const Share& share_;
  const SideView& side_;
  Strands heads_;
};

}  // namespace

void WritePairs(const MsspCall& call) {
  const PairWork work(call);
  const bool present[2] = {work.HasSide(0), work.HasSide(1)};
  int64_t row_bytes = 0;
  for (int i = 0; i < 2; ++i) row_bytes += present[i] ? work.sides[i].token_bytes : 0;
  if (row_bytes == 0) return;
  const int64_t rows = call.packed ? call.num_tokens : call.batch * call.seq_len;
  const Team team = ChooseTeam(call.num_threads, rows * row_bytes);
  Shares shares(call, work.arrays.lengths, present, MeanHeads(call, team.num_threads));
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
