// The quantising write's entry on the vector cores. `key_scale` and `value_scale` are static scales, with the offsets
// behind them, or those of each token and head. `mode` carries the modes in its shape, which op_host has read. The
// caches and last_status are written through their outputs, which are the same memory.
#include "kernel_operator.h"
#include "ms_scatter_pa_quantise.h"
#include "ms_scatter_pa_shares.h"

namespace mssp {

struct QuantTensors {
  GM_ADDR rows[2];
  GM_ADDR caches[2];
  GM_ADDR scales[2];
  GM_ADDR scale_caches[2];
};

// Where a scale and an offset stand among the function's arguments, which a status names.
constexpr int64_t kFirstScale = MSSP_QUANT_ARGUMENT_KEY_SCALE;
constexpr int64_t kFirstOffset = MSSP_QUANT_ARGUMENT_KEY_OFFSET;

__aicore__ inline bool LoadScales(const MsspPagedTiling& tiling, const QuantTensors& tensors, int32_t side,
                                  StaticScales* statics, Status* status) {
  return tiling.side[side].scaling != MSSP_STATIC ||
         statics->Load(tiling.side[side], tensors.scales[side], kFirstScale + side, kFirstOffset + side, status);
}

template <typename IndexT>
__aicore__ inline void QuantWrite(AscendC::TPipe* pipe, const QuantTensors& tensors, GM_ADDR slot_mapping,
                                  const MsspPagedTiling& tiling, Status* status) {
  MsScatterPaKvCacheTiling of_slots;
  of_slots.num_blocks = tiling.num_blocks;
  of_slots.block_size = tiling.block_size;
  of_slots.index_window = tiling.index_window;
  SlotMapping<IndexT> slots;
  slots.Init(pipe, slot_mapping, of_slots, status);
  if (AscendC::GetBlockIdx() == kStatusCore) {
    slots.Check(tiling.num_rows);
  }
  // A bad scale would spoil every row: all cores look before anything is written.
  StaticScales statics;
  statics.Init(pipe, tiling);
  for (int32_t index = 0; index < 2; ++index) {
    if (!LoadScales(tiling, tensors, index, &statics, status)) {
      return;
    }
  }
  Quantiser<IndexT> quantiser;
  quantiser.Init(pipe, tiling, &slots, &statics);
  const int64_t core = AscendC::GetBlockIdx();
  const int64_t begin = MsspShareBegin(tiling.share, tiling.share_rest, core);
  const int64_t end = MsspShareBegin(tiling.share, tiling.share_rest, core + 1);
  int64_t base = 0;
  for (int32_t index = 0; index < 2; ++index) {
    QuantSide side;
    side.tiling = tiling.side[index];
    const int64_t size = tiling.num_rows * side.tiling.row_bytes;
    const MsspRange range = MsspClip(begin, end, base, size);
    base += size;
    if (range.begin == range.end) {
      continue;
    }
    side.rows.SetGlobalBuffer((__gm__ uint8_t*)tensors.rows[index]);
    side.cache.SetGlobalBuffer((__gm__ uint8_t*)tensors.caches[index]);
    side.scales.SetGlobalBuffer((__gm__ uint8_t*)tensors.scales[index]);
    side.scale_cache.SetGlobalBuffer((__gm__ uint8_t*)tensors.scale_caches[index]);
    LoadScales(tiling, tensors, index, &statics, status);
    quantiser.Write(side, range.begin / side.tiling.head_bytes, range.end / side.tiling.head_bytes);
  }
}

}  // namespace mssp

extern "C" __global__ __aicore__ void ms_quant_scatter_pa_kv_cache(
    GM_ADDR key, GM_ADDR value, GM_ADDR key_cache, GM_ADDR value_cache, GM_ADDR slot_mapping, GM_ADDR key_scale,
    GM_ADDR value_scale, GM_ADDR key_scale_cache, GM_ADDR value_scale_cache, GM_ADDR mode, GM_ADDR last_status,
    GM_ADDR status, GM_ADDR key_cache_out, GM_ADDR value_cache_out, GM_ADDR key_scale_cache_out,
    GM_ADDR value_scale_cache_out, GM_ADDR last_status_out, GM_ADDR workspace, GM_ADDR tiling) {
  (void)key_cache;
  (void)value_cache;
  (void)key_scale_cache;
  (void)value_scale_cache;
  (void)mode;
  (void)last_status;
  (void)workspace;
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(MsQuantScatterPaKvCacheTiling);
  GET_TILING_DATA(tiling_data, tiling);
  const mssp::QuantTensors tensors = {{key, value},
                                      {key_cache_out, value_cache_out},
                                      {key_scale, value_scale},
                                      {key_scale_cache_out, value_scale_cache_out}};
  AscendC::TPipe pipe;
  mssp::Status first_bad;
  first_bad.Init(&pipe, status, last_status_out, tiling_data.keep_last != 0);
  if (tiling_data.index_type == MSSP_INDEX_INT32) {
    mssp::QuantWrite<int32_t>(&pipe, tensors, slot_mapping, tiling_data, &first_bad);
  } else {
    mssp::QuantWrite<int64_t>(&pipe, tensors, slot_mapping, tiling_data, &first_bad);
  }
  if (AscendC::GetBlockIdx() == mssp::kStatusCore) {
    first_bad.Finish();
  }
}
