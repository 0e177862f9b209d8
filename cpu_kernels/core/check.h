// Every value of a call, judged before the first byte is written.
#ifndef MS_SCATTER_PA_CORE_CHECK_H_
#define MS_SCATTER_PA_CORE_CHECK_H_

#include "scatter_pa.h"

namespace mssp {

MsspStatus CheckCall(const MsspCall& call);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_CHECK_H_
