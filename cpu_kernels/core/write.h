// Writes a call whose values have been checked.
#ifndef MS_SCATTER_PA_CORE_WRITE_H_
#define MS_SCATTER_PA_CORE_WRITE_H_

#include "scatter_pa.h"

namespace mssp {

void WriteCall(const MsspCall& call);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_WRITE_H_
