// Puts the Ascend operator itself behind ops.Custom's CPU interface: op_host's tiling and the kernel, on the host
// model. So everything between Python and the device runs here, MindSpore's own part on Ascend excepted.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "element_types.h"
#include "model_call.h"

namespace {

using on_model::ElementTypeOf;
using on_model::Expect;
using on_model::kStatus;
using on_model::kTensors;

}  // namespace

extern "C" int MsScatterPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes, const char** dtypes,
                                  void* /*stream*/, void* /*extra*/) {
  Expect(nparam == kTensors, "expected ten inputs and one output");
  Expect(std::string(dtypes[mssp_host::kMode]) == "uint8", "mode: expected uint8");
  Expect(ndims[kStatus] == 1 && shapes[kStatus][0] == MSSP_STATUS_SIZE, "status: expected [4]");
  mssp_host::Call call = {};
  std::array<HostModelTensor, kTensors> tensors;
  for (int i = 0; i < kTensors; ++i) {
    tensors[i] = {params[i], on_model::ItemSizeOf(dtypes[i])};
    for (int axis = 0; axis < ndims[i]; ++axis) {
      tensors[i].bytes *= shapes[i][axis];
      if (i != kStatus) {
        call.shapes[i].dims[axis] = shapes[i][axis];
      }
    }
    if (i != kStatus) {
      call.shapes[i].rank = ndims[i];
    }
  }
  call.key_type = ElementTypeOf(dtypes[mssp_host::kKey]);
  call.value_type = ElementTypeOf(dtypes[mssp_host::kValue]);
  const bool wide = std::string(dtypes[mssp_host::kSlotMapping]) == "int64";
  call.index_type = wide ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;
  const bool given = std::find(params, params + kStatus, params[kStatus]) != params + kStatus;
  on_model::allocations += given ? 0 : 1;
  on_model::RunCall(&call, tensors);
  return 0;
}
