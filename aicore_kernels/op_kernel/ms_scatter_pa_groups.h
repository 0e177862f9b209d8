// PA_NZ and NHSD: which groups of a row are copied together.
#ifndef MS_SCATTER_PA_GROUPS_H_
#define MS_SCATTER_PA_GROUPS_H_

#include "ms_scatter_pa_side.h"

namespace mssp {

// Some groups of a row: `groups` whole ones, or a piece of one, `bytes` each; `column` is where they start.
struct Groups {
  int64_t column;
  int64_t groups;
  int64_t bytes;
  int64_t cache_offset;  // of slot 0 of a block, from the block's start
};

// Goes through columns [column, column_end) of a row. It divides twice at most, however often it is started again.
class GroupWalk {
 public:
  __aicore__ inline void Init(const MsspSideTiling& side, int64_t column, int64_t column_end, int64_t block_size,
                              int64_t copy_bytes) {
    size_ = side.group_bytes;
    most_ = side.copy_groups;
    column_ = column;
    column_end_ = column_end;
    block_size_ = block_size;
    copy_bytes_ = copy_bytes;
    first_ = GroupOf(side, column);
    whole_end_ = column_end == side.row_bytes ? side.row_groups : GroupOf(side, column_end);
    Restart();
  }

  __aicore__ inline void Restart() {
    next_ = column_;
    group_ = first_;
    begin_ = first_ * size_;
  }

  // The next part; false after the last.
  __aicore__ inline bool Next(Groups* part) {
    if (next_ >= column_end_) {
      return false;
    }
    const int64_t within = next_ - begin_;
    part->column = next_;
    part->cache_offset = begin_ * block_size_ + within;
    part->bytes = size_;
    part->groups = MsspMin(whole_end_ - group_, most_);
    if (within > 0 || part->groups <= 0) {
      part->bytes = MsspMin(MsspMin(size_ - within, column_end_ - next_), copy_bytes_);
      part->groups = 1;
    }
    next_ += part->groups * part->bytes;
    if (next_ - begin_ >= size_) {
      group_ += part->groups;
      begin_ = next_;
    }
    return true;
  }

 private:
  __aicore__ inline static int64_t GroupOf(const MsspSideTiling& side, int64_t column) {
    return column < side.group_bytes ? 0 : MsspDivide(column, side.group_bytes, side.group_shift);
  }

  int64_t size_;  // of a group, in bytes
  int64_t most_;  // groups that fit into a copy buffer
  int64_t column_;
  int64_t column_end_;
  int64_t block_size_;
  int64_t copy_bytes_;
  int64_t first_;      // the group of the first column
  int64_t whole_end_;  // the first group that does not end before column_end_
  int64_t group_;      // the one of the next column, and where it begins
  int64_t begin_;
  int64_t next_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_GROUPS_H_
