// Runs the kernels of the gather and of the quantising write on N cores of the host model. Plain C, for ctypes.
#include <cstring>
#include <string>

#include "machine.h"
#include "ms_scatter_pa_paged_tiling_data.h"

using Address = uint8_t*;

extern "C" void ms_gather_pa_kv_cache(Address key_cache, Address value_cache, Address block_tables, Address seq_lens,
                                      Address key, Address value, Address seq_offset, Address key_scale,
                                      Address value_scale, Address mode, Address last_status, Address status,
                                      Address key_out, Address value_out, Address last_status_out, Address workspace,
                                      Address tiling);
extern "C" void ms_quant_scatter_pa_kv_cache(Address key, Address value, Address key_cache, Address value_cache,
                                             Address slot_mapping, Address key_scale, Address value_scale,
                                             Address key_scale_cache, Address value_scale_cache, Address mode,
                                             Address last_status, Address status, Address key_cache_out,
                                             Address value_cache_out, Address key_scale_cache_out,
                                             Address value_scale_cache_out, Address last_status_out, Address workspace,
                                             Address tiling);

extern "C" {

// A tensor's place in memory, in the order of the op definition's inputs; then the status.
struct PagedTensor {
  void* data;
  int64_t bytes;
  int64_t written;
};

int64_t PagedTilingBytes() { return sizeof(MsspPagedTiling); }

// 0 and `counts`, one per core of `block_dim`; or 1 and what rule the kernel broke.
int PagedRun(int quantises, const MsspPagedTiling* tiling, int64_t block_dim, int64_t unified_buffer_bytes,
             const PagedTensor* tensors, const char* const* names, const host_model::Rates* rates,
             host_model::Counts* counts, char* message, int64_t message_bytes) {
  constexpr int kTensors = 12;
  try {
    host_model::Machine machine(unified_buffer_bytes, *rates);
    for (int i = 0; i < kTensors; ++i) {
      machine.AddRegion(names[i], tensors[i].data, tensors[i].bytes, tensors[i].written != 0);
    }
    host_model::SetCurrent(&machine);
    const auto at = [&](int i) { return static_cast<uint8_t*>(tensors[i].data); };
    MsspPagedTiling copy = *tiling;
    Address data = reinterpret_cast<Address>(&copy);
    for (int core = 0; core < static_cast<int>(block_dim); ++core) {
      machine.StartCore(core);
      if (quantises != 0) {
        ms_quant_scatter_pa_kv_cache(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10),
                                     at(11), at(2), at(3), at(7), at(8), at(10), nullptr, data);
      } else {
        ms_gather_pa_kv_cache(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10), at(11),
                              at(4), at(5), at(10), nullptr, data);
      }
      machine.CheckDeclared();
      counts[core] = machine.FinishCore();
    }
    host_model::SetCurrent(nullptr);
    return 0;
  } catch (const host_model::Fault& fault) {
    host_model::SetCurrent(nullptr);
    std::strncpy(message, fault.what(), static_cast<size_t>(message_bytes) - 1);
    message[message_bytes - 1] = '\0';
    return 1;
  }
}

}  // extern "C"
