// Which kernels run on this machine.
#ifndef MS_SCATTER_PA_CORE_CPU_FEATURES_H_
#define MS_SCATTER_PA_CORE_CPU_FEATURES_H_

#include "kernels.h"

namespace mssp {

// The best set that the machine runs, or the one that MS_SCATTER_PA_CPU or SelectKernels named.
const Kernels& ActiveKernels();

// False, and nothing changes, when there is no such set or the machine cannot run it. NULL or "" asks for the best.
bool SelectKernels(const char* name);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_CPU_FEATURES_H_
