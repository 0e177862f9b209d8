// Writes a call whose description and values have been checked.
#ifndef MS_SCATTER_PA_CORE_WRITE_H_
#define MS_SCATTER_PA_CORE_WRITE_H_

#include "scatter_pa.h"

namespace mssp {

// Norm, PA_NZ and NHSD.
void WriteTokens(const MsspCall& call);

// Alibi, Rope and Omni.
void WritePairs(const MsspCall& call);

// One of the two.
void Write(const MsspCall& call);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_WRITE_H_
