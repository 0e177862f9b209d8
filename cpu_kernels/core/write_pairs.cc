// Alibi, Rope and Omni: rows of one head, num_head rows apart in the source, follow one another in the cache.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

#include "call_sizes.h"
#include "float_environment.h"
#include "interleaved_copy.h"
#include "no_memory.h"
#include "pair.h"
#include "policy.h"
#include "simd/cpu_features.h"
#include "threads.h"
#include "write.h"

namespace mssp {
namespace {

// A piece of the work: of one side of one batch element, the means of heads [begin, end), or source rows [begin, end)
// of all heads.
struct PairPiece {
  int side;
  bool is_mean;
  int64_t batch;
  int64_t first_row;  // packed: row of the batch element's token 0
  int64_t length;
  int64_t begin, end;
};

constexpr int64_t kChunkRows = 256;  // source rows, all heads, that a thread takes at a time

// Hands the pieces out in turn. Means first: they are the longest.
class PairPieces {
 public:
  PairPieces(const MsspCall& call, const PairArrays& arrays, const bool present[2], int64_t mean_heads)
      : call_(call),
        arrays_(arrays),
        present_{present[0], present[1]},
        mean_heads_(mean_heads),
        means_(call.scatter_mode == MSSP_ROPE) {
    EnterBatch();
  }

  bool Take(PairPiece* piece) {
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
      if (next_ >= bound_ && !means_ && !in_tails_) {
        in_tails_ = true;
        SetBounds();
      }
      if (next_ >= bound_ || !present_[side_]) {
        in_tails_ = false;
        SetBounds();
        ++side_;
        continue;
      }
      const int64_t begin = next_;
      next_ = begin + std::min(means_ ? mean_heads_ : kChunkRows, bound_ - begin);
      *piece = {side_, means_, batch_, first_row_, length_, begin, next_};
      return true;
    }
    return false;
  }

 private:
  struct Rows {
    int64_t begin = INT64_MAX;
    int64_t end = 0;

    void Cover(int64_t first, int64_t last) {
      if (first >= last) return;
      begin = std::min(begin, first);
      end = std::max(end, last);
    }
  };

  // The rows that some head copies: what all heads drop is no work, and where all pairs are skipped the length of rows
  // that are not packed may be anything. Heads of Rope and Omni begin with the first row, tails and those of Alibi end
  // with the last one, so that all of either have no hole.
  void EnterBatch() {
    if (batch_ >= call_.batch) return;
    length_ = arrays_.lengths[batch_];
    heads_ = tails_ = Rows{};
    for (int64_t h = 0; h < call_.num_head && !means_; ++h) {
      const int64_t position = batch_ * call_.num_head + h;
      const PairPlan plan = PlanPair(LoadPair(arrays_, call_.scatter_mode, position, length_), call_.scatter_mode);
      heads_.Cover(plan.head_begin, plan.head_end);
      tails_.Cover(plan.tail_begin, plan.tail_end);
    }
    tails_.begin = std::max(tails_.begin, heads_.end);
    in_tails_ = false;
    SetBounds();
  }

  void SetBounds() {
    const Rows rows = in_tails_ ? tails_ : heads_;
    next_ = means_ ? 0 : rows.begin;
    bound_ = means_ ? call_.num_head : rows.end;
  }

  const MsspCall& call_;
  const PairArrays& arrays_;
  const bool present_[2];
  const int64_t mean_heads_;
  std::mutex mutex_;
  bool means_;
  int side_ = 0;
  bool in_tails_ = false;
  int64_t batch_ = 0, next_ = 0, bound_ = 0, first_row_ = 0;
  int64_t length_ = 0;
  Rows heads_, tails_;
};

struct PairWork {
  explicit PairWork(const MsspCall& compressed_call)
      : call(compressed_call),
        arrays(call),
        kernels(ActiveKernels()),
        stream(ShouldStream(call)),
        sides{ViewSide(call, call.key), ViewSide(call, call.value)} {}

  const char* Rows(const PairPiece& piece, int64_t head) const {
    const SideView& side = sides[piece.side];
    const int64_t first = call.packed ? piece.first_row * side.token_stride : piece.batch * side.batch_stride;
    return side.rows + first + head * side.head_stride;
  }

  PairPlan Plan(const PairPiece& piece, int64_t head) const {
    const int64_t position = piece.batch * call.num_head + head;
    return PlanPair(LoadPair(arrays, call.scatter_mode, position, piece.length), call.scatter_mode);
  }

  const MsspCall& call;
  const PairArrays arrays;
  const Kernels& kernels;
  const bool stream;
  const SideView sides[2];
};

constexpr int64_t kMaxMeanHeads = 16;

constexpr int64_t kMeanPrefetchBytes = 6144;
constexpr int64_t kSumBytes = 16 << 10;  // half of a first-level cache

// Rope's mean rows: row by row, all heads of a piece, which is the order in which they lie in memory. The caller holds
// an IeeeScope.
class MeanWriter {
 public:
  MeanWriter(const PairWork& work, const PairPiece& piece)
      : work_(work),
        piece_(piece),
        side_(work.sides[piece.side]),
        kernel_(work.kernels.means[side_.element_type]),
        heads_(piece.end - piece.begin),
        width_(std::min(kSumBytes / kernel_.sum_bytes / heads_, side_.head_size)),
        prefetch_(side_.PrefetchDistance(kMeanPrefetchBytes)) {
    for (int64_t h = 0; h < heads_; ++h) {
      plans_[h] = work.Plan(piece, piece.begin + h);
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
      const char* const from = work_.Rows(piece_, piece_.begin + h) + row * side_.token_stride;
      kernel_.add(from + Bytes(column), columns * together, prefetch_, SumsOf(h));
    }
  }

  void Finish(const PairPlan& plan, const void* sums, int64_t column, int64_t columns) const {
    char* const to = side_.Slot(plan.MeanSlot()) + Bytes(column);
    kernel_.finish(sums, plan.mean_end - plan.mean_begin, columns, to);
  }

  char* SumsOf(int64_t head) { return sums_ + head * width_ * kernel_.sum_bytes; }
  int64_t Bytes(int64_t columns) const { return columns * MsspItemSize(side_.element_type); }

  const PairWork& work_;
  const PairPiece& piece_;
  const SideView& side_;
  const MeanKernel& kernel_;
  const int64_t heads_;
  const int64_t width_;  // columns of each head at a time
  const int64_t prefetch_;
  PairPlan plans_[kMaxMeanHeads];
  int64_t first_ = INT64_MAX, last_ = 0;
  alignas(64) char sums_[kSumBytes];
};

constexpr int64_t kTileBytes = int64_t{32} << 10;  // of source rows, where not all heads are copied side by side

// Heads whose means one piece takes. All of them lie in one stretch of memory, which is read at full speed; but every
// thread should have something to do.
int64_t MeanHeads(const MsspCall& call, int num_threads) {
  const int64_t sides = call.value.rows == nullptr ? 1 : 2;
  return std::clamp<int64_t>(call.num_head * sides * call.batch / num_threads, 1, kMaxMeanHeads);
}

// Heads side by side, in the order in which their rows lie in memory.
class RowWriter {
 public:
  // `plans` is room for one of each head.
  RowWriter(const PairWork& work, const PairPiece& piece, std::vector<PairPlan>* plans)
      : work_(work), piece_(piece), side_(work.sides[piece.side]), plans_(*plans) {
    for (size_t h = 0; h < plans_.size(); ++h) plans_[h] = work.Plan(piece, static_cast<int64_t>(h));
  }

  void Write() const {
    const int64_t tile =
        plans_.size() <= kMaxInterleaved ? kChunkRows : std::max(kTileBytes / side_.token_bytes, int64_t{1});
    for (int64_t row = piece_.begin, next; row < piece_.end; row = next) {
      // The same heads are copied from here to there.
      next = std::min(row + tile, piece_.end);
      for (const PairPlan& plan : plans_) next = NextBorder(plan, row, plan.NextChange(row, next));
      WriteTile(row, next - row);
    }
  }

 private:
  // The first row after `row` that is in another block, if it is before `bound`; only where blocks lie apart.
  int64_t NextBorder(const PairPlan& plan, int64_t row, int64_t bound) const {
    const int64_t slot = plan.SlotOfRow(row);
    return slot < 0 ? bound : std::min(bound - row, side_.SlotsTogether(slot)) + row;
  }

  void WriteTile(int64_t row, int64_t rows) const {
    InterleavedCopier heads(work_.kernels, work_.stream, side_.head_bytes, side_.token_stride, rows,
                            side_.PrefetchDistance());
    for (size_t h = 0; h < plans_.size(); ++h) {
      const int64_t slot = plans_[h].SlotOfRow(row);
      if (slot < 0) continue;
      heads.Add(side_.Slot(slot), work_.Rows(piece_, static_cast<int64_t>(h)) + row * side_.token_stride);
    }
    heads.Flush();
  }

  const PairWork& work_;
  const PairPiece& piece_;
  const SideView& side_;
  std::vector<PairPlan>& plans_;  // by head
};

}  // namespace

void WritePairs(const MsspCall& call) {
  const PairWork work(call);
  const bool present[2] = {work.sides[0].IsPresent(), work.sides[1].IsPresent()};
  int64_t row_bytes = 0;
  for (int i = 0; i < 2; ++i) row_bytes += present[i] ? work.sides[i].token_bytes : 0;
  if (row_bytes == 0) return;
  const Team team = ChooseTeam(call.num_threads, NumRows(call) * row_bytes);
  PairPieces pieces(call, work.arrays, present, MeanHeads(call, team.num_threads));
  const auto prepare = [&] { return std::vector<PairPlan>(static_cast<size_t>(call.num_head)); };
  RunWithMemory(team, prepare, [&](std::vector<PairPlan>& plans) {
    const IeeeScope ieee;
    for (PairPiece piece; pieces.Take(&piece);) {
      if (piece.is_mean) {
        MeanWriter(work, piece).Write();
      } else {
        RowWriter(work, piece, &plans).Write();
      }
    }
    if (work.stream) work.kernels.fence();
  });
}

}  // namespace mssp
