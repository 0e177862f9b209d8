// Alibi, Rope and Omni, 4-D or packed: what each (batch, head) pair reads and where it writes.
#ifndef MS_SCATTER_PA_PAIRS_H_
#define MS_SCATTER_PA_PAIRS_H_

#include "ms_scatter_pa_index_window.h"
#include "ms_scatter_pa_status.h"

namespace mssp {

// A pair reads `rows` source rows of one head from row `first` on. They are copied to consecutive slots from `slot` on,
// but for rows [mean_begin, mean_end), which become one mean row, or, where `skip` is set, none.
struct Pair {
  int64_t head;
  int64_t first;
  int64_t rows;
  int64_t slot;
  int64_t mean_begin;
  int64_t mean_end;
  bool skip;
};

template <typename IndexT>
class PairReader {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR slot_mapping, GM_ADDR compress_lens,
                              GM_ADDR compress_seq_offsets, GM_ADDR seq_lens, const MsScatterPaKvCacheTiling& tiling,
                              Status* status) {
    slots_.Init(pipe, slot_mapping, tiling.index_window);
    counts_.Init(pipe, compress_lens, tiling.index_window);
    has_offsets_ = tiling.scatter_mode != MSSP_ALIBI;
    if (has_offsets_) {
      offsets_.Init(pipe, compress_seq_offsets, tiling.index_window);
    }
    lengths_.Init(pipe, seq_lens, tiling.index_window);
    mode_ = tiling.scatter_mode;
    packed_ = tiling.packed != 0;
    batch_ = tiling.batch;
    heads_ = tiling.num_head;
    seq_len_ = tiling.seq_len;
    bound_ = packed_ ? tiling.num_tokens : tiling.seq_len;
    capacity_ = tiling.num_blocks * tiling.block_size;
    status_ = status;
  }

  // Whether pairs may be written at all. Packed rows of a batch start at the sum of the lengths before it, so with a
  // length that is wrong, or a sum that is, nobody knows where.
  __aicore__ inline bool CheckLengths() {
    if (!packed_) {
      return true;
    }
    int64_t sum = 0;
    for (int64_t i = 0; i < batch_; ++i) {
      lengths_.Cover(i, batch_);
      const int64_t length = lengths_.Get(i);
      if (length < 0 || length > bound_) {
        Restart();
        Pair pair;
        while (Next(&pair)) {
        }
        return false;
      }
      sum += length;
    }
    if (sum != bound_) {
      status_->Record(MSSP_BAD_SHAPES, 0, bound_, sum);
      return false;
    }
    return true;
  }

  __aicore__ inline void Restart() {
    position_ = 0;
    batch_index_ = 0;
    head_ = 0;
    start_ = 0;
    length_ = 0;
  }

  // The next pair that is written; false after the last. Bad pairs are recorded and skipped.
  __aicore__ inline bool Next(Pair* pair) {
    const int64_t pairs = batch_ * heads_;
    while (position_ < pairs) {
      if (head_ == 0) {
        lengths_.Cover(batch_index_, batch_);
        length_ = lengths_.Get(batch_index_);
      }
      slots_.Cover(position_, pairs);
      pair->head = head_;
      pair->first = packed_ ? start_ : batch_index_ * seq_len_;
      pair->slot = slots_.Get(position_);
      const bool write = Fill(pair);
      ++position_;
      if (++head_ == heads_) {
        head_ = 0;
        ++batch_index_;
        start_ += length_;
      }
      if (write) {
        return true;
      }
    }
    return false;
  }

 private:
  __aicore__ inline bool Fill(Pair* pair) {
    if ((packed_ || pair->slot >= 0) && (length_ < 0 || length_ > bound_)) {
      status_->Record(MSSP_BAD_LENGTHS, position_, length_, bound_);
      return false;
    }
    if (pair->slot < 0) {
      return false;
    }
    int64_t bad = 0;
    const bool good = mode_ == MSSP_ALIBI ? FillAlibi(pair, &bad) : FillCompressed(pair, &bad);
    if (!good) {
      status_->Record(MSSP_BAD_LENGTHS, position_, bad, length_);
      return false;
    }
    const int64_t left_out = pair->mean_end - pair->mean_begin;
    const int64_t written = left_out == 0 ? pair->rows : pair->rows - left_out + (pair->skip ? 0 : 1);
    if (pair->slot > capacity_ - MsspMax(written, 1)) {
      status_->Record(MSSP_BAD_SLOT, position_, pair->slot, capacity_);
      return false;
    }
    return written > 0;
  }

  __aicore__ inline bool FillAlibi(Pair* pair, int64_t* bad) {
    counts_.Cover(position_, batch_ * heads_);
    const int64_t count = counts_.Get(position_);
    *bad = count;
    if (count < 0 || count > length_) {
      return false;
    }
    pair->first += length_ - count;
    pair->rows = count;
    pair->mean_begin = 0;
    pair->mean_end = 0;
    pair->skip = false;
    return true;
  }

  __aicore__ inline bool FillCompressed(Pair* pair, int64_t* bad) {
    counts_.Cover(position_, batch_ * heads_);
    offsets_.Cover(position_, batch_ * heads_);
    int64_t count = counts_.Get(position_);
    int64_t offset = offsets_.Get(position_);
    if (offset == -1 || offset == length_) {
      count = 0;
      offset = 0;
    }
    *bad = offset;
    if (offset < 0 || offset > length_) {
      return false;
    }
    *bad = count;
    if (count < 0 || count > length_ - offset) {
      return false;
    }
    pair->rows = length_;
    pair->mean_begin = offset;
    pair->mean_end = offset + count;
    pair->skip = mode_ == MSSP_OMNI;
    return true;
  }

  IndexWindow<IndexT> slots_;
  IndexWindow<IndexT> counts_;
  IndexWindow<IndexT> offsets_;
  IndexWindow<IndexT> lengths_;
  Status* status_;
  int64_t batch_;
  int64_t heads_;
  int64_t seq_len_;
  int64_t bound_;
  int64_t capacity_;
  int64_t position_;
  int64_t batch_index_;
  int64_t head_;
  int64_t start_;
  int64_t length_;
  int32_t mode_;
  bool packed_;
  bool has_offsets_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_PAIRS_H_
