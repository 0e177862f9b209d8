// block_tables, seq_lens and seq_offset of the gather: which cache rows the rows [0, T) come from.
#ifndef MS_SCATTER_PA_SEQUENCES_H_
#define MS_SCATTER_PA_SEQUENCES_H_

#include "ms_scatter_pa_index_window.h"
#include "ms_scatter_pa_paged_tiling_data.h"
#include "ms_scatter_pa_status.h"

namespace mssp {

// Rows of one block that follow each other; `block` is -1 where block_tables names none, and the rows are zeros.
struct BlockRun {
  int64_t row;
  int64_t rows;
  int64_t block;
  int64_t offset;  // in the block
};

template <typename IndexT>
class Sequences {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR block_tables, GM_ADDR seq_lens, GM_ADDR seq_offset,
                              const MsspPagedTiling& tiling, Status* status) {
    tables_.Init(pipe, block_tables, tiling.index_window);
    lengths_.Init(pipe, seq_lens, tiling.index_window);
    has_offset_ = tiling.has_seq_offset != 0;
    if (has_offset_) {
      offsets_.Init(pipe, seq_offset, tiling.index_window);
    }
    cumsum_ = tiling.is_cumsum != 0;
    rows_ = tiling.num_rows;
    batch_ = tiling.batch;
    width_ = tiling.width;
    num_blocks_ = tiling.num_blocks;
    block_size_ = tiling.block_size;
    shift_ = tiling.block_shift;
    status_ = status;
  }

  // Whether lengths and offsets say what to read at all. With one that is wrong nobody knows where later rows begin.
  __aicore__ inline bool Check() {
    if (cumsum_) {
      const int64_t first = Length(0);
      if (first != 0) {
        status_->Record(MSSP_BAD_LENGTHS, 0, first, 0);
        return false;
      }
    }
    int64_t sum = 0;
    for (int64_t b = 0; b < batch_; ++b) {
      const int64_t entry = Length(b + First());
      const int64_t length = cumsum_ ? Gap(entry, sum) : entry;
      if (length < 0 || length > rows_ - sum) {
        status_->Record(MSSP_BAD_LENGTHS, b + First(), entry, cumsum_ ? rows_ : rows_ - sum);
        return false;
      }
      sum += length;
    }
    if (sum != rows_) {
      status_->Record(MSSP_BAD_LENGTHS, batch_ > 0 ? batch_ - 1 + First() : 0, sum, rows_);
      return false;
    }
    Restart();
    while (NextSequence()) {
      const int64_t offset = Offset();
      const int64_t column = offset < 0 ? 0 : MsspDivide(offset, block_size_, shift_);
      if (offset < 0 || column * block_size_ != offset) {
        status_->Record(MSSP_BAD_OFFSET, sequence_, offset, MSSP_GATHER_ARGUMENT_SEQ_OFFSET);
        return false;
      }
      const int64_t room = MsspMax(width_ - column, 0) * block_size_;
      if (length_ > room) {
        status_->Record(MSSP_BAD_LENGTHS, sequence_ + First(), Length(sequence_ + First()), room);
        return false;
      }
    }
    return true;
  }

  // Records the first block that is needed and is none.
  __aicore__ inline void CheckBlocks() {
    BlockRun run;
    for (Seek(0); Next(rows_, &run);) {
      if (run.block < 0) {
        status_->Record(MSSP_BAD_SLOT, sequence_ * width_ + column_ - 1, entry_, num_blocks_);
        return;
      }
    }
  }

  // Goes to a row, which is below T.
  __aicore__ inline void Seek(int64_t row) {
    Restart();
    while (NextSequence() && start_ + length_ <= row) {
    }
    within_ = row - start_;
    const int64_t blocks = MsspDivide(within_, block_size_, shift_);
    column_ = MsspDivide(Offset(), block_size_, shift_) + blocks;
    in_block_ = within_ - blocks * block_size_;
  }

  // The next rows of one block, before row `end`; false after the last.
  __aicore__ inline bool Next(int64_t end, BlockRun* run) {
    while (within_ == length_) {
      if (!NextSequence()) {
        return false;
      }
      within_ = 0;
      in_block_ = 0;
      column_ = MsspDivide(Offset(), block_size_, shift_);
    }
    run->row = start_ + within_;
    if (run->row >= end) {
      return false;
    }
    const int64_t at = sequence_ * width_ + column_;
    tables_.Cover(at, (sequence_ + 1) * width_);
    entry_ = tables_.Get(at);
    run->block = entry_ >= 0 && entry_ < num_blocks_ ? entry_ : -1;
    run->offset = in_block_;
    run->rows = MsspMin(MsspMin(block_size_ - in_block_, length_ - within_), end - run->row);
    within_ += run->rows;
    in_block_ += run->rows;
    if (in_block_ == block_size_) {
      in_block_ = 0;
    }
    ++column_;
    return true;
  }

 private:
  __aicore__ inline int64_t First() const { return cumsum_ ? 1 : 0; }

  // a - b, or -1 where it is negative; nothing overflows.
  __aicore__ inline static int64_t Gap(int64_t a, int64_t b) { return a < b ? -1 : a - b; }

  __aicore__ inline int64_t Length(int64_t index) {
    lengths_.Cover(index, batch_ + First());
    return lengths_.Get(index);
  }

  __aicore__ inline int64_t Offset() {
    if (!has_offset_) {
      return 0;
    }
    offsets_.Cover(sequence_, batch_);
    return offsets_.Get(sequence_);
  }

  __aicore__ inline void Restart() {
    sequence_ = -1;
    start_ = 0;
    length_ = 0;
    within_ = 0;
  }

  // Lengths are good here.
  __aicore__ inline bool NextSequence() {
    if (sequence_ + 1 >= batch_) {
      return false;
    }
    ++sequence_;
    start_ += length_;
    const int64_t entry = Length(sequence_ + First());
    length_ = cumsum_ ? entry - start_ : entry;
    return true;
  }

  IndexWindow<IndexT> tables_;
  IndexWindow<IndexT> lengths_;
  IndexWindow<IndexT> offsets_;
  Status* status_;
  int64_t rows_;
  int64_t batch_;
  int64_t width_;
  int64_t num_blocks_;
  int64_t block_size_;
  int64_t sequence_;
  int64_t start_;  // the sequence's first row
  int64_t length_;
  int64_t within_;  // rows of the sequence that are done
  int64_t column_;
  int64_t in_block_;
  int64_t entry_;
  int32_t shift_;
  bool has_offset_;
  bool cumsum_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_SEQUENCES_H_
