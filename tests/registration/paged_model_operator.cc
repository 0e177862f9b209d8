// Puts the Ascend operators of the gather and of the quantising write behind ops.Custom's CPU interface: op_host's
// tiling and the kernels, on the host model.
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "../op_host/ms_scatter_pa_paged_tiling.h"
#include "element_types.h"
#include "machine.h"

struct PagedTensor {
  void* data;
  int64_t bytes;
  int64_t written;
};

extern "C" int PagedRun(int quantises, const MsspPagedTiling* tiling, int64_t block_dim, int64_t unified_buffer_bytes,
                        const PagedTensor* tensors, const char* const* names, const host_model::Rates* rates,
                        host_model::Counts* counts, char* message, int64_t message_bytes);

namespace {

constexpr int kStatus = mssp_host::kPagedInputs;
constexpr int kParameters = kStatus + 1;
constexpr int kCores = 40;  // 910B3
constexpr int64_t kUnifiedBufferBytes = 192 * 1024;

using on_model::ElementTypeOf;

void Expect(bool condition, const std::string& text) {
  if (!condition) {
    throw std::runtime_error("host model operator: " + text);
  }
}

struct Typed {
  int key;
  int value;
  int key_cache;
  int value_cache;
  int index;
};

template <size_t WRITTEN>
int Run(bool quantises, const Typed& typed, const int (&written)[WRITTEN], int nparam, void** params, int* ndims,
        int64_t** shapes, const char** dtypes) {
  Expect(nparam == kParameters, "expected eleven inputs and one output");
  Expect(ndims[kStatus] == 1 && shapes[kStatus][0] == MSSP_STATUS_SIZE, "status: expected [4]");
  mssp_host::PagedCall call = {};
  std::array<PagedTensor, kParameters> tensors;
  std::array<const char*, kParameters> names;
  names.fill("an input");
  for (int i = 0; i < kParameters; ++i) {
    tensors[i] = {params[i], on_model::ItemSizeOf(dtypes[i]), i == kStatus ? 1 : 0};
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
  for (const int i : written) {
    tensors[i].written = 1;
  }
  call.key_type = ElementTypeOf(dtypes[typed.key]);
  call.value_type = ElementTypeOf(dtypes[typed.value]);
  call.key_cache_type = ElementTypeOf(dtypes[typed.key_cache]);
  call.value_cache_type = ElementTypeOf(dtypes[typed.value_cache]);
  call.index_type = std::string(dtypes[typed.index]) == "int64" ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;
  call.cores = kCores;
  call.unified_buffer_bytes = kUnifiedBufferBytes;

  MsspPagedTiling tiling = {};
  const char* wrong =
      quantises ? mssp_host::ComputeQuantTiling(call, &tiling) : mssp_host::ComputeGatherTiling(call, &tiling);
  Expect(wrong == nullptr, wrong == nullptr ? "" : wrong);
  const host_model::Rates rates = {64, 64, 100, 10, 10, 32};  // times are of no interest here
  std::array<host_model::Counts, kCores> counts;
  char message[512];
  Expect(PagedRun(quantises ? 1 : 0, &tiling, tiling.used_cores, kUnifiedBufferBytes, tensors.data(), names.data(),
                  &rates, counts.data(), message, sizeof(message)) == 0,
         message);
  return 0;
}

}  // namespace

extern "C" int MsGatherPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes, const char** dtypes,
                                 void* /*stream*/, void* /*extra*/) {
  using namespace mssp_host::gather;
  const int written[] = {kKey, kValue, kLastStatus};
  return Run(false, {kKey, kValue, kKeyCache, kValueCache, kBlockTables}, written, nparam, params, ndims, shapes,
             dtypes);
}

extern "C" int MsQuantScatterPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes, const char** dtypes,
                                       void* /*stream*/, void* /*extra*/) {
  using namespace mssp_host::quant;
  const int written[] = {kKeyCache, kValueCache, kKeyScaleCache, kValueScaleCache, kLastStatus};
  return Run(true, {kKey, kValue, kKeyCache, kValueCache, kSlotMapping}, written, nparam, params, ndims, shapes,
             dtypes);
}
