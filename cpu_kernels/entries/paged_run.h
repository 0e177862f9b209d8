// From tensors to a call of the gather or of the quantising write, run and reported: what MsspRun is for the write.
#ifndef MS_SCATTER_PA_PAGED_RUN_H_
#define MS_SCATTER_PA_PAGED_RUN_H_

#include <stdint.h>

#include "call_from_tensors.h"
#include "core/op_info.h"

#ifdef __cplusplus
extern "C" {
#endif

// Tensors in the order of the operator's arguments in op_info; absent ones are all zeros. Dimensions are compared, and
// no argument may share a byte with one that is written. The status goes to `status` and, when it is bad, to
// `last_status` (NULL: nowhere); a bad status leaves a sentence in `message` (size bytes).
MsspStatus MsspRunGather(const MsspTensor* tensors, const MsspGatherOptions* options, int64_t* status,
                         int64_t* last_status, char* message, int64_t size);
MsspStatus MsspRunQuant(const MsspTensor* tensors, const MsspQuantOptions* options, int64_t* status,
                        int64_t* last_status, char* message, int64_t size);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_PAGED_RUN_H_
