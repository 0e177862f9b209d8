// The quantising write: checked, then written.
#ifndef MS_SCATTER_PA_CORE_QUANT_SCATTER_PA_H_
#define MS_SCATTER_PA_CORE_QUANT_SCATTER_PA_H_

#include "paged_call.h"

namespace mssp {

MsspStatus CheckQuant(const MsspQuantCall& call);
void WriteQuantised(const MsspQuantCall& call);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_QUANT_SCATTER_PA_H_
