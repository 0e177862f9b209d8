// From tensors as a framework hands them over to a call of the core: both MindSpore entries and ctypes go through here.
#ifndef MS_SCATTER_PA_CALL_FROM_TENSORS_H_
#define MS_SCATTER_PA_CALL_FROM_TENSORS_H_

#include <stdint.h>

#include "core/op_info.h"
#include "core/scatter_pa.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  void* data;
  const int64_t* shape;
  const int64_t* strides;  // in elements; NULL: contiguous
  int64_t ndim;
} MsspTensor;

// Fills `call` from the tensors. Dimensions are compared again here, since a dynamic graph knows them only now. Any
// other code than MSSP_WRITTEN means that the call must not run.
MsspStatus MsspPrepareCall(const MsspTensor* tensors, const MsspOptions* options, MsspCall* call);

// MsspPrepareCall and MsspScatterPaKvCache in one, the way every entry runs a call: the status goes to `status` and,
// when it is bad, to `last_status` (NULL: nowhere); a status that overlaps a cache is not written. Overlap is looked
// for among the tensors as they are given and the two statuses. A bad status leaves a sentence in `message` (size
// bytes).
MsspStatus MsspRun(const MsspTensor* tensors, const MsspOptions* options, int64_t* status, int64_t* last_status,
                   char* message, int64_t size);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CALL_FROM_TENSORS_H_
