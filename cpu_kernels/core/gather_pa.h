// Pages -> rows: checked, then copied or dequantised.
#ifndef MS_SCATTER_PA_CORE_GATHER_PA_H_
#define MS_SCATTER_PA_CORE_GATHER_PA_H_

#include <cstdint>
#include <vector>

#include "paged_call.h"

namespace mssp {

// Fills `starts` with the first row of every sequence, and T behind them.
MsspStatus CheckGather(const MsspGatherCall& call, std::vector<int64_t>* starts);
void Gather(const MsspGatherCall& call, const std::vector<int64_t>& starts);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_GATHER_PA_H_
