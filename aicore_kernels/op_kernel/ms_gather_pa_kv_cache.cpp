// The gather's entry on the vector cores. `key_scale` and `value_scale` are static scales, with the offsets behind
// them, or scale caches. `mode` carries the modes in its shape, which op_host has read. key, value and last_status are
// written through their outputs, which are the same memory.
#include "kernel_operator.h"
#include "ms_scatter_pa_dequantise.h"
#include "ms_scatter_pa_shares.h"

namespace mssp {

struct GatherTensors {
  GM_ADDR caches[2];
  GM_ADDR rows[2];
  GM_ADDR scales[2];
};

struct GatherIndex {
  GM_ADDR block_tables;
  GM_ADDR seq_lens;
  GM_ADDR seq_offset;
};

// Where a scale and an offset stand among the function's arguments, which a status names.
constexpr int64_t kFirstScale = MSSP_GATHER_ARGUMENT_KEY_SCALE;
constexpr int64_t kFirstOffset = MSSP_GATHER_ARGUMENT_KEY_OFFSET;

__aicore__ inline bool LoadScales(const MsspPagedTiling& tiling, const GatherTensors& tensors, int32_t side,
                                  StaticScales* statics, Status* status) {
  return tiling.side[side].scaling != MSSP_STATIC ||
         statics->Load(tiling.side[side], tensors.scales[side], kFirstScale + side, kFirstOffset + side, status);
}

template <typename IndexT>
__aicore__ inline void Gather(AscendC::TPipe* pipe, const GatherTensors& tensors, const GatherIndex& index,
                              const MsspPagedTiling& tiling, Status* status) {
  Sequences<IndexT> sequences;
  sequences.Init(pipe, index.block_tables, index.seq_lens, index.seq_offset, tiling, status);
  StaticScales statics;
  statics.Init(pipe, tiling);
  if (!sequences.Check()) {
    return;
  }
  for (int32_t i = 0; i < 2; ++i) {
    if (!LoadScales(tiling, tensors, i, &statics, status)) {
      return;
    }
  }
  RowGatherer copier;
  copier.Init(pipe, tiling);
  Dequantiser dequantiser;
  dequantiser.Init(pipe, tiling, &statics);
  ZeroRows zeros;
  zeros.Init(pipe);
  const int64_t core = AscendC::GetBlockIdx();
  const int64_t begin = MsspShareBegin(tiling.share, tiling.share_rest, core);
  const int64_t end = MsspShareBegin(tiling.share, tiling.share_rest, core + 1);
  int64_t base = 0;
  for (int32_t i = 0; i < 2; ++i) {
    GatherSide side;
    side.tiling = tiling.side[i];
    const int64_t size = tiling.num_rows * side.tiling.row_bytes;
    const MsspRange range = MsspClip(begin, end, base, size);
    base += size;
    if (range.begin == range.end) {
      continue;
    }
    const int64_t last = range.end / side.tiling.row_bytes;
    const int64_t first = range.begin / side.tiling.row_bytes;
    if (first == last) {
      continue;
    }
    side.rows.SetGlobalBuffer((__gm__ uint8_t*)tensors.rows[i]);
    side.cache.SetGlobalBuffer((__gm__ uint8_t*)tensors.caches[i]);
    side.scale_cache.SetGlobalBuffer((__gm__ uint8_t*)tensors.scales[i]);
    LoadScales(tiling, tensors, i, &statics, status);
    BlockRun run;
    for (sequences.Seek(first); sequences.Next(last, &run);) {
      if (run.block < 0) {
        zeros.Store(side, run);
      } else if (side.tiling.scaling == MSSP_COPIED) {
        copier.Copy(side, run);
      } else {
        dequantiser.Read(side, run);
      }
    }
  }
  if (core == kStatusCore && tiling.num_rows > 0) {
    sequences.CheckBlocks();
  }
}

}  // namespace mssp

extern "C" __global__ __aicore__ void ms_gather_pa_kv_cache(
    GM_ADDR key_cache, GM_ADDR value_cache, GM_ADDR block_tables, GM_ADDR seq_lens, GM_ADDR key, GM_ADDR value,
    GM_ADDR seq_offset, GM_ADDR key_scale, GM_ADDR value_scale, GM_ADDR mode, GM_ADDR last_status, GM_ADDR status,
    GM_ADDR key_out, GM_ADDR value_out, GM_ADDR last_status_out, GM_ADDR workspace, GM_ADDR tiling) {
  (void)key;
  (void)value;
  (void)mode;
  (void)last_status;
  (void)workspace;
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(MsGatherPaKvCacheTiling);
  GET_TILING_DATA(tiling_data, tiling);
  const mssp::GatherTensors tensors = {{key_cache, value_cache}, {key_out, value_out}, {key_scale, value_scale}};
  const mssp::GatherIndex index = {block_tables, seq_lens, seq_offset};
  AscendC::TPipe pipe;
  mssp::Status first_bad;
  first_bad.Init(&pipe, status, last_status_out, tiling_data.keep_last != 0);
  if (tiling_data.index_type == MSSP_INDEX_INT32) {
    mssp::Gather<int32_t>(&pipe, tensors, index, tiling_data, &first_bad);
  } else {
    mssp::Gather<int64_t>(&pipe, tensors, index, tiling_data, &first_bad);
  }
  if (AscendC::GetBlockIdx() == mssp::kStatusCore) {
    first_bad.Finish();
  }
}
