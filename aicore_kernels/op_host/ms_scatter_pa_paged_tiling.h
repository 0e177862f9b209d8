// Tiling of the gather and of the quantising write without CANN types: shapes in, MsspPagedTiling out.
#ifndef MS_SCATTER_PA_PAGED_TILING_H_
#define MS_SCATTER_PA_PAGED_TILING_H_

#include "../op_kernel/ms_scatter_pa_paged_tiling_data.h"
#include "ms_scatter_pa_kv_cache_tiling.h"

namespace mssp_host {

constexpr int32_t kPagedInputs = gather::kInputs;  // of either operator
constexpr int64_t kLongestScaledHead = 1024;
constexpr int64_t kMostScaledHeads = 1024;

struct PagedCall {
  TensorShape shapes[kPagedInputs];
  int32_t key_type;  // MsspElementType
  int32_t value_type;
  int32_t key_cache_type;
  int32_t value_cache_type;
  int32_t index_type;  // MsspIndexType
  int32_t cores;       // vector cores of the part
  int64_t unified_buffer_bytes;
};

// Both fill `tiling` and return nullptr, or return what is wrong with the call.
const char* ComputeGatherTiling(const PagedCall& call, MsspPagedTiling* tiling);
const char* ComputeQuantTiling(const PagedCall& call, MsspPagedTiling* tiling);

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_PAGED_TILING_H_
