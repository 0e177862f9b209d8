// Tiling without CANN types: shapes in, MsScatterPaKvCacheTiling out. Tests run it for every shape, core count and
// buffer.
#ifndef MS_SCATTER_PA_KV_CACHE_TILING_H_
#define MS_SCATTER_PA_KV_CACHE_TILING_H_

#include <cstdint>

#include "../op_kernel/ms_scatter_pa_tiling_data.h"

namespace mssp_host {

constexpr int32_t kMaxRank = MSSP_MAX_RANK;

struct TensorShape {
  int64_t rank;
  int64_t dims[kMaxRank];
};

// What may lie apart in memory: tokens of key and value, blocks of the caches.
constexpr int32_t kStrided = 4;

struct Call {
  TensorShape shapes[kInputs];  // op_info's arguments, then the extra inputs
  int64_t strides[kStrided];    // in elements, in the order of the inputs; 0: contiguous
  int32_t key_type;             // MsspElementType
  int32_t value_type;           // MsspElementType
  int32_t index_type;           // MsspIndexType
  int32_t cores;                // vector cores of the part
  int64_t unified_buffer_bytes;
};

// Fills `tiling` and returns nullptr, or returns what is wrong with the call.
const char* ComputeTiling(const Call& call, MsScatterPaKvCacheTiling* tiling);

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_KV_CACHE_TILING_H_
