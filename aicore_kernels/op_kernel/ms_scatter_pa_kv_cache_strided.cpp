// The entry for tokens and cache blocks that lie apart: op_host has put the strides into the tiling data, and the rest
// is what the contiguous operator does.
#include "kernel_operator.h"
#include "ms_scatter_pa_write.h"

extern "C" __global__ __aicore__ void ms_scatter_pa_kv_cache_strided(
    GM_ADDR key, GM_ADDR value, GM_ADDR key_cache, GM_ADDR value_cache, GM_ADDR slot_mapping, GM_ADDR compress_lens,
    GM_ADDR compress_seq_offsets, GM_ADDR seq_lens, GM_ADDR mode, GM_ADDR last_status, GM_ADDR status,
    GM_ADDR key_cache_out, GM_ADDR value_cache_out, GM_ADDR last_status_out, GM_ADDR workspace, GM_ADDR tiling) {
  (void)key_cache;
  (void)value_cache;
  (void)mode;
  (void)last_status;
  (void)workspace;
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(MsScatterPaKvCacheTiling);
  GET_TILING_DATA(tiling_data, tiling);
  const mssp::IndexArrays index = {slot_mapping, compress_lens, compress_seq_offsets, seq_lens};
  mssp::WriteAll(key, value, key_cache_out, value_cache_out, index, status, last_status_out, tiling_data);
}
