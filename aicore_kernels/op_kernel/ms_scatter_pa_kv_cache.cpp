// The operator's entry on the vector cores: picks the strategy that the layout and the scatter mode ask for.
// `mode` carries the modes in its shape, which op_host has read; its content is never touched.
#include "kernel_operator.h"
#include "ms_scatter_pa_copy_groups.h"
#include "ms_scatter_pa_copy_pairs.h"
#include "ms_scatter_pa_copy_rows.h"
#include "ms_scatter_pa_tiling_data.h"

namespace mssp {

struct IndexArrays {
  GM_ADDR slot_mapping;
  GM_ADDR compress_lens;
  GM_ADDR compress_seq_offsets;
  GM_ADDR seq_lens;
};

template <typename IndexT, typename CopierT>
__aicore__ inline void WriteTokens(AscendC::TPipe* pipe, const Side& key, const Side& value, const IndexArrays& index,
                                   const MsScatterPaKvCacheTiling& tiling, Status* status) {
  SlotMapping<IndexT> slots;
  slots.Init(pipe, index.slot_mapping, tiling, status);
  CopierT copier;
  copier.Init(pipe, tiling, &slots);
  const int64_t core = AscendC::GetBlockIdx();
  copier.Copy(key, MsspCorePart(tiling, 0, core));
  if (value.tiling.row_bytes > 0) {
    copier.Copy(value, MsspCorePart(tiling, 1, core));
  }
}

template <typename IndexT>
__aicore__ inline void WritePairs(AscendC::TPipe* pipe, const Side& key, const Side& value, const IndexArrays& index,
                                  const MsScatterPaKvCacheTiling& tiling, Status* status) {
  PairReader<IndexT> pairs;
  pairs.Init(pipe, index.slot_mapping, index.compress_lens, index.compress_seq_offsets, index.seq_lens, tiling, status);
  PairCopier<IndexT> copier;
  copier.Init(pipe, tiling, &pairs);
  copier.Run(key, value, AscendC::GetBlockIdx(), tiling.used_cores);
}

template <typename IndexT>
__aicore__ inline void Write(AscendC::TPipe* pipe, const Side& key, const Side& value, const IndexArrays& index,
                             const MsScatterPaKvCacheTiling& tiling, Status* status) {
  if (tiling.scatter_mode != MSSP_NONE) {
    WritePairs<IndexT>(pipe, key, value, index, tiling, status);
  } else if (tiling.layout == MSSP_NORM) {
    WriteTokens<IndexT, RowCopier<IndexT>>(pipe, key, value, index, tiling, status);
  } else {
    WriteTokens<IndexT, GroupCopier<IndexT>>(pipe, key, value, index, tiling, status);
  }
}

}  // namespace mssp

extern "C" __global__ __aicore__ void ms_scatter_pa_kv_cache(GM_ADDR key, GM_ADDR value, GM_ADDR key_cache,
                                                             GM_ADDR value_cache, GM_ADDR slot_mapping,
                                                             GM_ADDR compress_lens, GM_ADDR compress_seq_offsets,
                                                             GM_ADDR seq_lens, GM_ADDR mode, GM_ADDR status,
                                                             GM_ADDR key_cache_out, GM_ADDR value_cache_out,
                                                             GM_ADDR workspace, GM_ADDR tiling) {
  (void)key_cache;  // the caches are written through their outputs, which are the same memory
  (void)value_cache;
  (void)mode;
  (void)workspace;
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  REGISTER_TILING_DEFAULT(MsScatterPaKvCacheTiling);
  GET_TILING_DATA(tiling_data, tiling);
  AscendC::TPipe pipe;
  mssp::Status lines;
  lines.Init(&pipe, status, AscendC::GetBlockIdx(), tiling_data.used_cores);
  mssp::Side key_side;
  mssp::Side value_side;
  mssp::InitSide(&key_side, key, key_cache_out, tiling_data.side[0]);
  mssp::InitSide(&value_side, value, value_cache_out, tiling_data.side[1]);
  const mssp::IndexArrays index = {slot_mapping, compress_lens, compress_seq_offsets, seq_lens};
  if (tiling_data.index_type == MSSP_INDEX_INT32) {
    mssp::Write<int32_t>(&pipe, key_side, value_side, index, tiling_data, &lines);
  } else {
    mssp::Write<int64_t>(&pipe, key_side, value_side, index, tiling_data, &lines);
  }
  lines.Finish();
}
