#include "duplicates.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "call_sizes.h"
#include "indices.h"
#include "pair.h"

namespace mssp {
namespace {

// Open addressing, slot -> position of its first owner; half empty at most.
MsspStatus FindDuplicateSlot(const MsspCall& call) {
  struct Entry {
    int64_t slot;
    int64_t position;
  };
  const IndexArray slots(call.slot_mapping, call.index_type);
  int bits = 4;
  while ((int64_t{1} << bits) < 2 * call.num_tokens) ++bits;
  std::vector<Entry> table(size_t{1} << bits, Entry{-1, 0});
  const uint64_t mask = table.size() - 1;
  for (int64_t position = 0; position < call.num_tokens; ++position) {
    const int64_t slot = slots[position];
    if (slot < 0) continue;
    uint64_t at = (static_cast<uint64_t>(slot) * 0x9E3779B97F4A7C15u) >> (64 - bits);
    while (table[at].slot >= 0 && table[at].slot != slot) at = (at + 1) & mask;
    if (table[at].slot == slot) return {MSSP_DUPLICATE, position, slot, table[at].position};
    table[at] = {slot, position};
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

MsspStatus FindOverlappingPair(const MsspCall& call) {
  struct Run {
    int64_t end;
    int64_t position;
  };
  const PairArrays arrays(call);
  std::map<int64_t, Run> runs;  // by first slot; disjoint until the first overlap is found
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t length = arrays.lengths[b];
    for (int64_t h = 0; h < call.num_head; ++h) {
      const int64_t position = b * call.num_head + h;
      const PairPlan plan = PlanPair(LoadPair(arrays, call.scatter_mode, position, length), call.scatter_mode);
      const int64_t begin = plan.slot;
      const int64_t end = begin + plan.NumRows();
      if (begin < 0 || begin == end) continue;
      auto it = runs.upper_bound(begin);
      if (it != runs.begin() && std::prev(it)->second.end > begin) --it;
      int64_t first = position;
      int64_t shared = 0;
      for (; it != runs.end() && it->first < end; ++it) {
        if (it->second.position < first) {
          first = it->second.position;
          shared = std::max(begin, it->first);
        }
      }
      if (first != position) return {MSSP_DUPLICATE, position, shared, first};
      runs.emplace(begin, Run{end, position});
    }
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

}  // namespace

MsspStatus FindDuplicate(const MsspCall& call) {
  return IsCompressed(call) ? FindOverlappingPair(call) : FindDuplicateSlot(call);
}

}  // namespace mssp
