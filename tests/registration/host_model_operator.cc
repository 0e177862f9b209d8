// Puts the Ascend operator itself behind ops.Custom's CPU interface: op_host's tiling and the kernel, on the host
// model. So everything between Python and the device runs here, MindSpore's own part on Ascend excepted.
#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "../op_host/ms_scatter_pa_kv_cache_tiling.h"
#include "machine.h"

struct HostModelTensor {
  void* data;
  int64_t bytes;
};

extern "C" int HostModelTiling(const mssp_host::Call* call, MsScatterPaKvCacheTiling* tiling, char* message,
                               int64_t size);
extern "C" int HostModelRun(const MsScatterPaKvCacheTiling* tiling, int64_t block_dim, int64_t unified_buffer_bytes,
                            const HostModelTensor* tensors, const host_model::Rates* rates, int check_rewrites,
                            host_model::Counts* counts, char* message, int64_t size);

namespace {

constexpr int kParameters = mssp_host::kInputs + 1;
constexpr int kStatus = mssp_host::kInputs;
constexpr int kCores = 40;  // 910B3
constexpr int64_t kUnifiedBufferBytes = 192 * 1024;

struct ElementType {
  const char* name;
  int64_t bytes;
};

constexpr ElementType kTypes[] = {{"float16", 2}, {"float32", 4}, {"bfloat16", 2}, {"int8", 1},  {"uint8", 1},
                                  {"int16", 2},   {"uint16", 2},  {"int32", 4},    {"uint32", 4}};

void Expect(bool condition, const std::string& text) {
  if (!condition) {
    throw std::runtime_error("host model operator: " + text);
  }
}

int32_t TypeOf(const std::string& name) {
  for (int32_t code = 0; code < static_cast<int32_t>(std::size(kTypes)); ++code) {
    if (name == kTypes[code].name) {
      return code;
    }
  }
  throw std::runtime_error("host model operator: dtype " + name);
}

int64_t BytesOf(const std::string& name) { return name == "int64" ? 8 : kTypes[TypeOf(name)].bytes; }

}  // namespace

extern "C" int MsScatterPaKvCache(int nparam, void** params, int* ndims, int64_t** shapes, const char** dtypes,
                                  void* /*stream*/, void* /*extra*/) {
  Expect(nparam == kParameters, "expected ten inputs and one output");
  Expect(std::string(dtypes[mssp_host::kMode]) == "uint8", "mode: expected uint8");
  Expect(ndims[kStatus] == 1 && shapes[kStatus][0] == MSSP_STATUS_SIZE, "status: expected [4]");
  mssp_host::Call call = {};
  std::array<HostModelTensor, kParameters> tensors;
  for (int i = 0; i < kParameters; ++i) {
    tensors[i] = {params[i], BytesOf(dtypes[i])};
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
  call.key_type = TypeOf(dtypes[mssp_host::kKey]);
  call.value_type = TypeOf(dtypes[mssp_host::kValue]);
  const bool wide = std::string(dtypes[mssp_host::kSlotMapping]) == "int64";
  call.index_type = wide ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;
  call.cores = kCores;
  call.unified_buffer_bytes = kUnifiedBufferBytes;

  char message[512];
  MsScatterPaKvCacheTiling tiling = {};
  Expect(HostModelTiling(&call, &tiling, message, sizeof(message)) == 0, message);
  const host_model::Rates rates = {64, 64, 100, 10, 10, 32};  // times are of no interest here
  std::array<host_model::Counts, kCores> counts;
  Expect(HostModelRun(&tiling, tiling.used_cores, kUnifiedBufferBytes, tensors.data(), &rates, 1, counts.data(),
                      message, sizeof(message)) == 0,
         message);
  return 0;
}
