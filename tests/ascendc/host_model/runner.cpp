// Runs the kernel on N cores of the host model. Plain C, for ctypes.
#include <cstring>
#include <memory>
#include <string>

#include "../op_host/ms_scatter_pa_kv_cache_tiling.h"
#include "machine.h"
#include "tensor_names.h"

using Address = uint8_t*;
using Kernel = void(Address key, Address value, Address key_cache, Address value_cache, Address slot_mapping,
                    Address compress_lens, Address compress_seq_offsets, Address seq_lens, Address mode,
                    Address last_status, Address status, Address key_cache_out, Address value_cache_out,
                    Address last_status_out, Address workspace, Address tiling);
extern "C" Kernel ms_scatter_pa_kv_cache;
extern "C" Kernel ms_scatter_pa_kv_cache_strided;

namespace {

constexpr int kTensors = mssp_host::kInputs + 1;
constexpr int kStatus = mssp_host::kInputs;

void Explain(const char* text, char* message, int64_t message_bytes) {
  std::strncpy(message, text, static_cast<size_t>(message_bytes) - 1);
  message[message_bytes - 1] = '\0';
}

}  // namespace

extern "C" {

// The tensor's place in memory, in the order of op_info's ARGUMENTS, then mode and last_status, then status.
struct HostModelTensor {
  void* data;
  int64_t bytes;
};

int64_t HostModelTilingBytes() { return sizeof(MsScatterPaKvCacheTiling); }
int64_t HostModelCountsBytes() { return sizeof(host_model::Counts); }

// 0 and the tiling, or 1 and a message.
int HostModelTiling(const mssp_host::Call* call, MsScatterPaKvCacheTiling* tiling, char* message,
                    int64_t message_bytes) {
  const char* wrong = mssp_host::ComputeTiling(*call, tiling);
  if (wrong != nullptr) {
    Explain(wrong, message, message_bytes);
    return 1;
  }
  return 0;
}

// 0 and `counts`, one per core of `block_dim`; or 1 and what rule the kernel broke.
int HostModelRun(const MsScatterPaKvCacheTiling* tiling, int strided, int64_t block_dim, int64_t unified_buffer_bytes,
                 const HostModelTensor* tensors, const host_model::Rates* rates, int check_rewrites,
                 host_model::Counts* counts, char* message, int64_t message_bytes) {
  try {
    host_model::Machine machine(unified_buffer_bytes, *rates);
    machine.SetCheckRewrites(check_rewrites != 0);
    for (int i = 0; i < kTensors; ++i) {
      const bool written =
          i == mssp_host::kKeyCache || i == mssp_host::kValueCache || i == mssp_host::kLastStatus || i == kStatus;
      machine.AddRegion(kTensorNames[i], tensors[i].data, tensors[i].bytes, written);
    }
    host_model::SetCurrent(&machine);
    const auto address = [&](int i) { return static_cast<uint8_t*>(tensors[i].data); };
    MsScatterPaKvCacheTiling copy = *tiling;
    Kernel* const kernel = strided != 0 ? &ms_scatter_pa_kv_cache_strided : &ms_scatter_pa_kv_cache;
    for (int core = 0; core < static_cast<int>(block_dim); ++core) {
      machine.StartCore(core);
      kernel(address(0), address(1), address(2), address(3), address(4), address(5), address(6), address(7), address(8),
             address(9), address(10), address(2), address(3), address(9), nullptr, reinterpret_cast<uint8_t*>(&copy));
      machine.CheckDeclared();
      counts[core] = machine.FinishCore();
    }
    host_model::SetCurrent(nullptr);
    return 0;
  } catch (const host_model::Fault& fault) {
    host_model::SetCurrent(nullptr);
    Explain(fault.what(), message, message_bytes);
    return 1;
  }
}

}  // extern "C"
