// The Ascend operator's shape inference for MindSpore's host side: ops.Custom calls it in PyNative and in dynamic
// graphs.
#include <cstdint>
#include <vector>

namespace {

constexpr int64_t kStatusLines = 64;  // op_info/reg_info.py and op_kernel/ms_scatter_pa_tiling_data.h have them too
constexpr int64_t kStatusFields = 4;

}  // namespace

#ifdef __clang__
#pragma clang diagnostic ignored "-Wreturn-type-c-linkage"  // MindSpore's interface, of C++ by a C name
#endif

extern "C"
    __attribute__((visibility("default"))) std::vector<int64_t> MsScatterPaKvCacheInferShape(int* /*ndims*/,
                                                                                             int64_t** /*shapes*/,
                                                                                             void* /*extra*/) {
  return {kStatusLines, kStatusFields};
}
