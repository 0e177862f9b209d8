// Alibi, Rope and Omni: rows of one head, num_head rows apart in the source, follow one another in the cache.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "cpu_features.h"
#include "float_environment.h"
#include "layout.h"
#include "pair.h"
#include "policy.h"
#include "threads.h"
#include "write.h"

namespace mssp {
namespace {

constexpr int64_t kChunkRows = 256;                // source rows, all heads, that a thread takes at a time
constexpr int64_t kTileBytes = int64_t{32} << 10;  // of source rows that all heads are copied from before the next

constexpr int64_t kMaxMeanHeads = 16;
constexpr int64_t kMeanPrefetchBytes = 6144;
constexpr int64_t kSumBytes = 16 << 10;  // half of a first-level cache

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

class PairWriter {
 public:
  explicit PairWriter(const MsspCall& call)
      : call_(call),
        arrays_(call),
        kernels_(ActiveKernels()),
        stream_(ShouldStream(call)),
        sides_{ViewSide(call, call.key), ViewSide(call, call.value)} {}

  void Write() {
    bool present[2];
    int64_t row_bytes = 0;
    for (int i = 0; i < 2; ++i) {
      present[i] = sides_[i].rows != nullptr && sides_[i].token_bytes > 0;
      if (present[i]) row_bytes += sides_[i].token_bytes;
    }
    if (row_bytes == 0) return;
    const int64_t rows = call_.packed ? call_.num_tokens : call_.batch * call_.seq_len;
    const Team team = ChooseTeam(call_.num_threads, rows * row_bytes);
    Shares shares(call_, arrays_.lengths, present, MeanHeads(team.num_threads));
    RunOnThreads(team, [&] {
      const IeeeScope ieee;
      for (Share share; shares.Take(&share);) {
        if (share.is_mean) {
          WriteMeans(share);
        } else {
          WriteRows(share);
        }
      }
      if (stream_) kernels_.fence();
    });
  }

 private:
  const char* Rows(const SideView& side, const Share& share, int64_t head) const {
    const int64_t first = call_.packed ? share.first_row * side.token_stride : share.batch * side.batch_stride;
    return side.rows + first + head * side.head_stride;
  }

  PairPlan Plan(const Share& share, int64_t head) const {
    const int64_t position = share.batch * call_.num_head + head;
    return PlanPair(LoadPair(arrays_, call_.scatter_mode, position, share.length), call_.scatter_mode);
  }

  // Heads whose means one share takes. All of them lie in one stretch of memory, which is read at full speed; but every
  // thread should have something to do.
  int64_t MeanHeads(int num_threads) const {
    const int64_t sides = sides_[1].rows == nullptr ? 1 : 2;
    return std::clamp<int64_t>(call_.num_head * sides * call_.batch / num_threads, 1, kMaxMeanHeads);
  }

  // Rows a few at a time, all heads of the share, then the next rows: that is the order in which they lie in memory.
  void WriteMeans(const Share& share) const {
    const SideView& side = sides_[share.side];
    const MeanKernel& kernel = kernels_.means[side.element_type];
    alignas(64) char sums[kSumBytes];
    const int64_t heads = share.end - share.begin;
    const int64_t width = std::min(kSumBytes / kernel.sum_bytes / heads, side.head_size);  // columns of each head at a time
    const int64_t itemsize = ItemSize(side.element_type);
    const int64_t prefetch = side.PrefetchDistance(kMeanPrefetchBytes);
    PairPlan plans[kMaxMeanHeads];
    int64_t first = INT64_MAX, last = 0;
    for (int64_t h = 0; h < heads; ++h) {
      plans[h] = Plan(share, share.begin + h);
      if (!plans[h].HasMean()) continue;
      first = std::min(first, plans[h].mean_begin);
      last = std::max(last, plans[h].mean_end);
    }
    for (int64_t column = 0; column < side.head_size && first < last; column += width) {
      const int64_t columns = std::min(width, side.head_size - column);
      std::memset(sums, 0, sizeof(sums));
      const bool joined = width >= side.head_size && side.HeadsAreContiguous();
      for (int64_t row = first; row < last; ++row) {
        for (int64_t h = 0, together; h < heads; h += together) {
          const int64_t begin = std::max(row, plans[h].mean_begin);
          const int64_t end = std::min(row + 1, plans[h].mean_end);
          // Neighbours with the same rows are one wide head.
          together = 1;
          while (joined && h + together < heads && std::max(row, plans[h + together].mean_begin) == begin &&
                 std::min(row + 1, plans[h + together].mean_end) == end) {
            ++together;
          }
          if (begin >= end) continue;
          const char* const rows = Rows(side, share, share.begin + h) + begin * side.token_stride + column * itemsize;
          kernel.add({rows, side.token_stride, end - begin, columns * together, prefetch},
                     sums + h * width * kernel.sum_bytes);
        }
      }
      for (int64_t h = 0; h < heads; ++h) {
        if (!plans[h].HasMean()) continue;
        kernel.finish(sums + h * width * kernel.sum_bytes, plans[h].mean_end - plans[h].mean_begin, columns,
                      side.cache + plans[h].MeanSlot() * side.head_bytes + column * itemsize);
      }
    }
  }

  // All heads side by side, in the order in which their rows lie in memory.
  void WriteRows(const Share& share) const {
    const SideView& side = sides_[share.side];
    Strands strands;
    strands.row_bytes = side.head_bytes;
    strands.stride = side.token_stride;
    strands.prefetch = side.PrefetchDistance();
    // Where the heads that are copied change, and where the tile ends: the heads of a tile stay near.
    for (int64_t row = share.begin, stop; row < share.end; row = stop) {
      stop = share.end;
      for (int64_t h = 0; h < call_.num_head; ++h) stop = Plan(share, h).NextChange(row, stop);
      const int64_t tile = call_.num_head <= kMaxStrands ? stop - row : std::max<int64_t>(kTileBytes / side.token_bytes, 1);
      for (int64_t begin = row; begin < stop; begin += tile) {
        strands.rows = std::min(tile, stop - begin);
        for (int64_t h = 0; h < call_.num_head; ++h) {
          const int64_t slot = Plan(share, h).SlotOfRow(begin);
          if (slot >= 0) strands.Add(side.cache + slot * side.head_bytes, Rows(side, share, h) + begin * side.token_stride);
          if (strands.count < kMaxStrands && h + 1 < call_.num_head) continue;
          Copy(strands);
          strands.count = 0;
        }
      }
    }
  }

  void Copy(const Strands& strands) const {
    if (stream_) return kernels_.stream_strands(strands);
    CopyWithMemcpy(strands);
  }

  const MsspCall& call_;
  const PairArrays arrays_;
  const Kernels& kernels_;
  const bool stream_;
  const SideView sides_[2];
};

}  // namespace

void WritePairs(const MsspCall& call) { PairWriter(call).Write(); }

}  // namespace mssp
