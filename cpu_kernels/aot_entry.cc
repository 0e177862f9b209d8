// ops.Custom's C interface (func_type="aot"): the way in from a graph.
// Inputs: op_info's ARGUMENTS (one-element placeholders for absent ones), last_status, options; output: status.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "call.h"
#include "core/export.h"

namespace {

enum Parameter { kLastStatus = MSSP_NUM_ARGUMENTS, kOptions, kStatus, kNumParameters };

constexpr int kMessageSize = 1024;
constexpr int kWrongParameterCount = 1;
constexpr const char* kAdvice =
    ". MindSpore refuses every later step of a graph that raised: compile it anew, or build it with "
    "on_error=\"record\", "
    "which never raises";

}  // namespace

extern "C" MSSP_EXPORT int MsScatterPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes,
                                              const char** /*dtypes*/, void* /*stream*/, void* /*extra*/) {
  if (nparam != kNumParameters) {
    return kWrongParameterCount;
  }
  MsspTensor tensors[MSSP_NUM_ARGUMENTS];
  for (int i = 0; i < MSSP_NUM_ARGUMENTS; ++i) {
    tensors[i] = {params[i], shapes[i], nullptr, ndims[i]};
  }
  const auto* options = static_cast<const MsspOptions*>(params[kOptions]);
  auto* last_status = options->keeps_last_status != 0 ? static_cast<int64_t*>(params[kLastStatus]) : nullptr;
  char message[kMessageSize];
  const MsspStatus status =
      MsspRun(tensors, options, static_cast<int64_t*>(params[kStatus]), last_status, message, kMessageSize);
  if (status.code != MSSP_WRITTEN && options->record == 0) {
    throw std::runtime_error(std::string(message) + kAdvice);  // the only way in which ops.Custom keeps a text
  }
  return 0;
}

extern "C" MSSP_EXPORT std::vector<int64_t> MsScatterPaKvCacheInferShape(int* /*ndims*/, int64_t** /*shapes*/,
                                                                         void* /*extra*/) {
  return {MSSP_STATUS_SIZE};
}
