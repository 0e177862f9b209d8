// A call of the Ascend operator on the host model of a 910B3: op_host's tiling, then the kernel on every core.
#ifndef MS_SCATTER_PA_MODEL_CALL_H_
#define MS_SCATTER_PA_MODEL_CALL_H_

#include <array>
#include <cstdint>
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
extern "C" int HostModelRun(const MsScatterPaKvCacheTiling* tiling, int strided, int64_t block_dim,
                            int64_t unified_buffer_bytes, const HostModelTensor* tensors,
                            const host_model::Rates* rates, int check_rewrites, host_model::Counts* counts,
                            char* message, int64_t size);

namespace on_model {

constexpr int kTensors = mssp_host::kInputs + 1;  // inputs, then status
constexpr int kStatus = mssp_host::kInputs;

// Since the library was loaded: kernels that ran, those of them with strides, and outputs that were given memory. Where
// the tensors of the last one lay.
inline int64_t launches = 0;
inline int64_t strided_launches = 0;
inline int64_t allocations = 0;
inline std::array<int64_t, kTensors> addresses;

inline void Expect(bool condition, const std::string& text) {
  if (!condition) {
    throw std::runtime_error("host model: " + text);
  }
}

inline void RunCall(mssp_host::Call* call, const std::array<HostModelTensor, kTensors>& tensors, bool strided = false) {
  constexpr int kCores = 40;
  constexpr int64_t kUnifiedBufferBytes = 192 * 1024;
  call->cores = kCores;
  call->unified_buffer_bytes = kUnifiedBufferBytes;
  char message[512] = "";
  MsScatterPaKvCacheTiling tiling = {};
  const int refused = HostModelTiling(call, &tiling, message, sizeof(message));
  Expect(refused == 0, message);
  const host_model::Rates rates = {64, 64, 100, 10, 10, 32};  // times are of no interest here
  std::array<host_model::Counts, kCores> counts;
  const int broken = HostModelRun(&tiling, strided ? 1 : 0, tiling.used_cores, kUnifiedBufferBytes, tensors.data(),
                                  &rates, 1, counts.data(), message, sizeof(message));
  Expect(broken == 0, message);
  ++launches;
}

}  // namespace on_model

#endif  // MS_SCATTER_PA_MODEL_CALL_H_
