// One (batch, head) pair of Alibi, Rope or Omni: which source rows land where (docs/contract.md, section 3).
#ifndef MS_SCATTER_PA_CORE_PAIR_H_
#define MS_SCATTER_PA_CORE_PAIR_H_

#include <cstdint>
#include <initializer_list>

#include "indices.h"
#include "scatter_pa.h"

namespace mssp {

// The index arguments of a compressed call.
struct PairArrays {
  explicit PairArrays(const MsspCall& call)
      : slots(call.slot_mapping, call.index_type),
        counts(call.compress_lens, call.index_type),
        offsets(call.compress_seq_offsets, call.index_type),
        lengths(call.seq_lens, call.index_type) {}

  IndexArray slots;
  IndexArray counts;
  IndexArray offsets;
  IndexArray lengths;
};

struct Pair {
  int64_t slot;    // s0
  int64_t length;  // L
  int64_t count;   // n
  int64_t offset;  // o; -1 in Alibi
};

inline Pair LoadPair(const PairArrays& arrays, int32_t mode, int64_t position, int64_t length) {
  return {arrays.slots[position], length, arrays.counts[position], mode == MSSP_ALIBI ? -1 : arrays.offsets[position]};
}

// Whether the count or the offset is illegal, and which.
inline bool HasBadLength(const Pair& pair, int32_t mode, int64_t* bad) {
  if (mode != MSSP_ALIBI) {
    if (pair.offset == -1 || pair.offset == pair.length) return false;
    if (pair.offset < 0 || pair.offset > pair.length) {
      *bad = pair.offset;
      return true;
    }
  }
  const int64_t room = mode == MSSP_ALIBI ? pair.length : pair.length - pair.offset;
  *bad = pair.count;
  return pair.count < 0 || pair.count > room;
}

// Rows of the source in the order they are stored: [head_begin, head_end), the mean of [mean_begin, mean_end) if that
// is not empty, then [tail_begin, tail_end).
struct PairPlan {
  int64_t slot;
  int64_t head_begin, head_end;
  int64_t mean_begin, mean_end;
  int64_t tail_begin, tail_end;

  bool HasMean() const { return mean_begin < mean_end; }
  bool Averages(int64_t row) const { return mean_begin <= row && row < mean_end; }
  int64_t MeanSlot() const { return slot + (head_end - head_begin); }
  int64_t TailSlot() const { return MeanSlot() + (HasMean() ? 1 : 0); }
  // Where a source row that is copied as it is goes; -1 if it is not.
  int64_t SlotOfRow(int64_t row) const {
    if (head_begin <= row && row < head_end) return slot + row - head_begin;
    if (tail_begin <= row && row < tail_end) return TailSlot() + row - tail_begin;
    return -1;
  }
  // The first of the borders of what is copied after `row`, if it is before `bound`.
  int64_t NextChange(int64_t row, int64_t bound) const {
    for (const int64_t border : {head_begin, head_end, tail_begin, tail_end}) {
      if (row < border && border < bound) bound = border;
    }
    return bound;
  }
  int64_t NumRows() const { return (head_end - head_begin) + (HasMean() ? 1 : 0) + (tail_end - tail_begin); }
};

// The pair's lengths must be legal. A skipped pair (negative slot) plans no rows.
inline PairPlan PlanPair(const Pair& pair, int32_t mode) {
  if (pair.slot < 0) return {pair.slot, 0, 0, 0, 0, 0, 0};
  if (mode == MSSP_ALIBI) return {pair.slot, pair.length - pair.count, pair.length, 0, 0, 0, 0};
  if (pair.offset == -1 || pair.offset == pair.length || pair.count == 0) {
    return {pair.slot, 0, pair.length, 0, 0, 0, 0};
  }
  const int64_t tail = pair.offset + pair.count;
  const int64_t mean_end = mode == MSSP_ROPE ? tail : pair.offset;
  return {pair.slot, 0, pair.offset, pair.offset, mean_end, tail, pair.length};
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_PAIR_H_
