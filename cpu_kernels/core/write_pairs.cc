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

// A share of the work: one mean row, or source rows [begin, end) of one batch element, all heads.
struct Share {
  int side;
  bool is_mean;
  int64_t batch;
  int64_t first_row;  // packed: row of the batch element's token 0
  int64_t length;
  int64_t head;        // mean
  int64_t begin, end;  // rows
};

// Hands the shares out in turn, means first: one mean is one share whatever its length.
class Shares {
 public:
  Shares(const MsspCall& call, const PairArrays& arrays, const bool present[2])
      : call_(call), arrays_(arrays), present_{present[0], present[1]} {
    means_ = call.scatter_mode == MSSP_ROPE;
  }

  bool Take(Share* share) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return means_ ? TakeMean(share) || TakeRows(share) : TakeRows(share);
  }

 private:
  bool TakeMean(Share* share) {
    while (batch_ < call_.batch) {
      const int64_t length = arrays_.lengths[batch_];
      if (head_ == call_.num_head) {
        NextBatch(length);
        head_ = 0;
        continue;
      }
      if (side_ == 2) {
        side_ = 0;
        ++head_;
        continue;
      }
      const int side = side_++;
      if (!present_[side]) continue;
      const Pair pair = LoadPair(arrays_, call_.scatter_mode, batch_ * call_.num_head + head_, length);
      if (!PlanPair(pair, call_.scatter_mode).HasMean()) {
        side_ = 2;
        continue;
      }
      *share = {side, true, batch_, first_row_, length, head_, 0, 0};
      return true;
    }
    means_ = false;
    batch_ = first_row_ = 0;
    side_ = 0;
    return false;
  }

  bool TakeRows(Share* share) {
    while (batch_ < call_.batch) {
      const int64_t length = arrays_.lengths[batch_];
      const int64_t rows = call_.packed ? length : std::min(length, call_.seq_len);  // if all pairs are skipped: any
      if (row_ >= rows) {
        row_ = 0;
        if (++side_ >= 2) {
          side_ = 0;
          NextBatch(length);
        }
        continue;
      }
      if (!present_[side_]) {
        row_ = rows;
        continue;
      }
      const int64_t begin = row_;
      row_ = std::min(begin + kChunkRows, rows);
      *share = {side_, false, batch_, first_row_, length, 0, begin, row_};
      return true;
    }
    return false;
  }

  void NextBatch(int64_t length) {
    ++batch_;
    if (call_.packed) first_row_ += length;
  }

  const MsspCall& call_;
  const PairArrays& arrays_;
  const bool present_[2];
  std::mutex mutex_;
  bool means_;
  int side_ = 0;
  int64_t batch_ = 0, head_ = 0, row_ = 0, first_row_ = 0;
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
    Shares shares(call_, arrays_, present);
    const int64_t rows = call_.packed ? call_.num_tokens : call_.batch * call_.seq_len;
    RunOnThreads(ChooseNumThreads(call_, rows * row_bytes), [&] {
      const IeeeScope ieee;
      for (Share share; shares.Take(&share);) {
        if (share.is_mean) {
          WriteMean(share);
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

  void WriteMean(const Share& share) const {
    const SideView& side = sides_[share.side];
    const PairPlan plan = Plan(share, share.head);
    const char* const rows = Rows(side, share, share.head) + plan.mean_begin * side.token_stride;
    kernels_.means[side.element_type](rows, side.token_stride, plan.mean_end - plan.mean_begin, side.head_size,
                                      side.cache + plan.MeanSlot() * side.head_bytes);
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
