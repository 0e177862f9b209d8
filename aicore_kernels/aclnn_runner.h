// MindSpore's aclnn runner, whose header moved between releases.
#ifndef MS_SCATTER_PA_ACLNN_RUNNER_H_
#define MS_SCATTER_PA_ACLNN_RUNNER_H_

#if __has_include("mindspore/ops/include/kernel/ascend/custom/pyboost_impl/aclnn_op_runner.h")
#include "mindspore/ops/include/kernel/ascend/custom/pyboost_impl/aclnn_op_runner.h"
#else  // 2.7
#include "mindspore/ops/kernel/ascend/custom/pyboost_impl/aclnn/aclnn_op_runner.h"
#endif

#endif  // MS_SCATTER_PA_ACLNN_RUNNER_H_
