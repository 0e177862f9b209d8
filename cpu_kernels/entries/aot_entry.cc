// ops.Custom's C interface (func_type="aot"): the way in from a graph.
// Inputs: op_info's ARGUMENTS, without the last three when nothing is compressed, absent ones as one-element
// placeholders; then last_status where the call keeps one; then options. Output: status.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "call_from_tensors.h"
#include "core/export.h"
#include "core/op_info.h"
#include "core/scaling.h"
#include "paged_run.h"

namespace {

constexpr int kAlways = 2;  // options and status
constexpr int kMessageSize = 1024;
constexpr int kWrongParameterCount = 1;
constexpr const char* kAdvice =
    ". MindSpore refuses every later step of a graph that raised: compile it again, or build it with "
    "on_error=\"record\", "
    "which never raises";

// The last status among the inputs, which is written as four int64 whatever was given; throws where it is none.
int64_t* LastStatusOf(int input, void** params, const int* ndims, int64_t** shapes, const char** dtypes) {
  if (ndims[input] != 1 || shapes[input][0] != MSSP_STATUS_SIZE || std::string_view(dtypes[input]) != "int64") {
    throw std::runtime_error("ValueError: last_status: given " + std::string(dtypes[input]) + " of " +
                             std::to_string(ndims[input]) + " dimensions, expected int64 [4], contiguous");
  }
  return static_cast<int64_t*>(params[input]);
}

// Runs an operator. The inputs are the first `arguments` of the operator's `kCount` ones.
template <int kCount, typename Options, typename Run>
int RunOperator(int nparam, void** params, int* ndims, int64_t** shapes, const char** dtypes, int arguments, Run run) {
  auto* status_output = static_cast<int64_t*>(params[nparam - 1]);
  const auto* options = static_cast<const Options*>(params[nparam - 2]);
  if (nparam != arguments + (options->keeps_last_status != 0 ? 1 : 0) + kAlways) {
    return kWrongParameterCount;
  }
  MsspTensor tensors[kCount] = {};
  for (int i = 0; i < arguments; ++i) {
    tensors[i] = {params[i], shapes[i], nullptr, ndims[i]};
  }
  auto* last_status =
      options->keeps_last_status != 0 ? LastStatusOf(arguments, params, ndims, shapes, dtypes) : nullptr;
  char message[kMessageSize];
  const MsspStatus status = run(tensors, options, status_output, last_status, message, kMessageSize);
  if (status.code != MSSP_WRITTEN && options->record == 0) {
    throw std::runtime_error(std::string(message) + kAdvice);  // the only way in which ops.Custom keeps a text
  }
  return 0;
}

}  // namespace

extern "C" MSSP_EXPORT int MsGatherPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes,
                                             const char** dtypes, void* /*stream*/, void* /*extra*/) {
  if (nparam < kAlways) {
    return kWrongParameterCount;
  }
  return RunOperator<MSSP_GATHER_NUM_ARGUMENTS, MsspGatherOptions>(nparam, params, ndims, shapes, dtypes,
                                                                   MSSP_GATHER_NUM_ARGUMENTS, MsspRunGather);
}

// Inputs: all arguments where a side keeps its scales in a scale cache, else those before the scale caches.
extern "C" MSSP_EXPORT int MsQuantScatterPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes,
                                                   const char** dtypes, void* /*stream*/, void* /*extra*/) {
  if (nparam < kAlways) {
    return kWrongParameterCount;
  }
  const auto* options = static_cast<const MsspQuantOptions*>(params[nparam - 2]);
  const bool keeps_scales = mssp::HasScaleCache(options->key_scaling) ||
                            (options->key_only == 0 && mssp::HasScaleCache(options->value_scaling));
  const int count = keeps_scales ? int{MSSP_QUANT_NUM_ARGUMENTS} : int{mssp::quant::kKeyScaleCache};
  return RunOperator<MSSP_QUANT_NUM_ARGUMENTS, MsspQuantOptions>(nparam, params, ndims, shapes, dtypes, count,
                                                                 MsspRunQuant);
}

extern "C" MSSP_EXPORT int MsScatterPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes,
                                              const char** dtypes, void* /*stream*/, void* /*extra*/) {
  if (nparam < mssp::kCompressLens + kAlways) {
    return kWrongParameterCount;
  }
  const auto* options = static_cast<const MsspOptions*>(params[nparam - 2]);
  const int arguments = options->scatter_mode == MSSP_NONE ? int{mssp::kCompressLens} : int{MSSP_NUM_ARGUMENTS};
  return RunOperator<MSSP_NUM_ARGUMENTS, MsspOptions>(nparam, params, ndims, shapes, dtypes, arguments, MsspRun);
}

#ifdef __clang__
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"  // MindSpore's interface, of C++ by a C name
#endif

extern "C" MSSP_EXPORT std::vector<int64_t> MsScatterPaKvCacheInferShape(int* /*ndims*/, int64_t** /*shapes*/,
                                                                         void* /*extra*/) {
  return {MSSP_STATUS_SIZE};
}

extern "C" MSSP_EXPORT std::vector<int64_t> MsGatherPaKvCacheInferShape(int* /*ndims*/, int64_t** /*shapes*/,
                                                                        void* /*extra*/) {
  return {MSSP_STATUS_SIZE};
}

extern "C" MSSP_EXPORT std::vector<int64_t> MsQuantScatterPaKvCacheInferShape(int* /*ndims*/, int64_t** /*shapes*/,
                                                                              void* /*extra*/) {
  return {MSSP_STATUS_SIZE};
}
