// The quantising write: checked, then written.
#ifndef MS_SCATTER_PA_CORE_QUANT_SCATTER_PA_H_
#define MS_SCATTER_PA_CORE_QUANT_SCATTER_PA_H_

#include <cstdint>

#include "paged_call.h"

namespace mssp {

// As CheckDescription of the write.
MsspStatus CheckQuantDescription(const MsspQuantCall& call);

// What follows takes a call whose description is good.

MsspStatus CheckQuantOverlap(const MsspQuantCall& call);

// Slots, duplicates and scales.
MsspStatus CheckQuantValues(const MsspQuantCall& call);
void WriteQuantised(const MsspQuantCall& call);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_QUANT_SCATTER_PA_H_
