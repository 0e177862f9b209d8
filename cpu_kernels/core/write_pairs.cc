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
constexpr int64_t kMeanRows = 8;
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

  // Has rows [begin, end) of neighbouring heads on their way, in the order in which they lie in memory.
  static void FetchRows(const char* rows, int64_t stride, int64_t bytes, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(rows + r * stride + i, 0, 2);
    }
  }

  // Rows a few at a time, all heads of the share, then the next rows: that is the order in which they lie in memory.
  void WriteMeans(const Share& share) const {
    const SideView& side = sides_[share.side];
    const MeanKernel& kernel = kernels_.means[side.element_type];
    alignas(64) char sums[kSumBytes];
    const int64_t heads = share.end - share.begin;
    const int64_t width = kSumBytes / kernel.sum_bytes / heads;  // columns of each head at a time
    const int64_t itemsize = ItemSize(side.element_type);
    const int64_t fetched = side.HeadsAreContiguous() ? heads * side.head_bytes : 0;
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
      for (int64_t row = first; row < last; row += kMeanRows) {
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t ahead = row + kMeanRows;
          FetchRows(Rows(side, share, share.begin), side.token_stride, fetched,
                    std::min(ahead + kMeanRows * h / heads, last), std::min(ahead + kMeanRows * (h + 1) / heads, last));
          const int64_t begin = std::max(row, plans[h].mean_begin);
          const int64_t end = std::min(row + kMeanRows, plans[h].mean_end);
          if (begin >= end) continue;
          kernel.add(Rows(side, share, share.begin + h) + begin * side.token_stride + column * itemsize,
                     side.token_stride, end - begin, columns, sums + h * width * kernel.sum_bytes);
        }
      }
      for (int64_t h = 0; h < heads; ++h) {
        if (!plans[h].HasMean()) continue;
        kernel.finish(sums + h * width * kernel.sum_bytes, plans[h].mean_end - plans[h].mean_begin, columns,
                      side.cache + plans[h].MeanSlot() * side.head_bytes + column * itemsize);
      }
    }
  }

  // Tile by tile, so that all heads read a stretch of the source while it is near.
  void WriteRows(const Share& share) const {
    const SideView& side = sides_[share.side];
    const int64_t tile = std::max<int64_t>(kTileBytes / side.token_bytes, 8);
    for (int64_t begin = share.begin; begin < share.end; begin += tile) {
      const int64_t end = std::min(begin + tile, share.end);
      for (int64_t h = 0; h < call_.num_head; ++h) {
        const PairPlan plan = Plan(share, h);
        const char* const rows = Rows(side, share, h);
        CopyPart(side, rows, plan.head_begin, plan.head_end, plan.slot, begin, end);
        CopyPart(side, rows, plan.tail_begin, plan.tail_end, plan.TailSlot(), begin, end);
      }
    }
  }

  // The part of source rows [first, last), stored from `slot` on, that lies in [begin, end).
  void CopyPart(const SideView& side, const char* rows, int64_t first, int64_t last, int64_t slot, int64_t begin,
                int64_t end) const {
    begin = std::max(begin, first);
    end = std::min(end, last);
    if (begin >= end) return;
    char* const to = side.cache + (slot + begin - first) * side.head_bytes;
    const char* const from = rows + begin * side.token_stride;
    if (stream_) {
      kernels_.stream_rows(to, from, side.head_bytes, side.token_stride, end - begin);
      return;
    }
    for (int64_t r = 0; r < end - begin; ++r) {
      std::memcpy(to + r * side.head_bytes, from + r * side.token_stride, static_cast<size_t>(side.head_bytes));
    }
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
