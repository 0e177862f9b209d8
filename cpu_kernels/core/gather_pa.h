// Pages -> rows: checked, then copied or dequantised.
#ifndef MS_SCATTER_PA_CORE_GATHER_PA_H_
#define MS_SCATTER_PA_CORE_GATHER_PA_H_

#include <cstdint>
#include <vector>

#include "paged_call.h"

namespace mssp {

// Entries of seq_lens.
inline int64_t LengthCount(const MsspGatherCall& call) {
  return call.batch + (call.is_seq_lens_cumsum != 0 && call.batch < INT64_MAX ? 1 : 0);
}

// As CheckDescription of the write.
MsspStatus CheckGatherDescription(const MsspGatherCall& call);

// What follows takes a call whose description is good.

MsspStatus CheckGatherOverlap(const MsspGatherCall& call);

// Lengths, offsets, blocks and scales. Fills `starts` with the first row of every sequence, and T behind them.
MsspStatus CheckGatherValues(const MsspGatherCall& call, std::vector<int64_t>* starts);
void Gather(const MsspGatherCall& call, const std::vector<int64_t>& starts);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_GATHER_PA_H_
