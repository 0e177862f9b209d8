// The Ascend operators' shape inference for MindSpore's host side: ops.Custom calls it in PyNative and in dynamic
// graphs.
#include <cstdint>
#include <vector>

#include "op_kernel/ms_scatter_pa_op_info.h"

#ifdef __clang__
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"  // MindSpore's interface, of C++ by a C name
#endif

#define MSSP_INFERS_STATUS(name)                                                                        \
  extern "C" __attribute__((visibility("default"))) std::vector<int64_t> name(int*, int64_t**, void*) { \
    return {MSSP_STATUS_SIZE};                                                                          \
  }

MSSP_INFERS_STATUS(MsScatterPaKvCacheInferShape)
MSSP_INFERS_STATUS(MsGatherPaKvCacheInferShape)
MSSP_INFERS_STATUS(MsQuantScatterPaKvCacheInferShape)
