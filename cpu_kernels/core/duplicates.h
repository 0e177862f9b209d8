// check_duplicates: slots, or runs of slots, that are written twice.
#ifndef MS_SCATTER_PA_CORE_DUPLICATES_H_
#define MS_SCATTER_PA_CORE_DUPLICATES_H_

#include "scatter_pa.h"

namespace mssp {

// The first token (or pair) that shares a slot with an earlier one; MSSP_WRITTEN when there is none.
// Slots and lengths must be legal. Throws std::bad_alloc when its table of O(T) bytes cannot be had.
MsspStatus FindDuplicate(const MsspCall& call);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_DUPLICATES_H_
