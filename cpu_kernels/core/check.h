// What is judged before the first byte is written.
#ifndef MS_SCATTER_PA_CORE_CHECK_H_
#define MS_SCATTER_PA_CORE_CHECK_H_

#include <cstdint>

#include "overlap.h"
#include "scatter_pa.h"

namespace mssp {

// Dimensions, enumerators, strides and pointers: after this check no product or sum of them overflows, no table is left
// and no null pointer is read. That memory is as large as the call says, the caller promises.
MsspStatus CheckDescription(const MsspCall& call);

// What follows takes a call whose description is good.

MsspStatus CheckOverlap(const MsspCall& call);

// Slots, lengths and duplicates.
MsspStatus CheckValues(const MsspCall& call);

// How many indices an argument has; 0 for one that the mode does not take.
int64_t IndexCount(const MsspCall& call, int argument);
int64_t IndexBytes(const MsspCall& call);  // of all of them

bool RowsRegion(const MsspCall& call, const MsspSide& side, Region* region);
bool CacheRegion(const MsspCall& call, const MsspSide& side, Region* region);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_CHECK_H_
