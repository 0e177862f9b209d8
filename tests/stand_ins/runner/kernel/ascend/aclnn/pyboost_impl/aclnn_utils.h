// Stands in for the header of MindSpore's wheel with this name, which needs CANN's: a launch goes to the operator on
// the host model instead of aclnn. The runner that uses it, aclnn_op_runner.h, is the wheel's own.
#ifndef MS_SCATTER_PA_STAND_IN_ACLNN_UTILS_H_
#define MS_SCATTER_PA_STAND_IN_ACLNN_UTILS_H_

#include "aclnn_on_model.h"

#define OPS_ASCEND_API __attribute__((visibility("default")))

#define LAUNCH_ACLNN(aclnn_api, device_context, stream_id, ...) \
  static_cast<void>(device_context);                            \
  static_cast<void>(stream_id);                                 \
  on_model::Launch(#aclnn_api, on_model::Arguments(__VA_ARGS__))

#endif  // MS_SCATTER_PA_STAND_IN_ACLNN_UTILS_H_
