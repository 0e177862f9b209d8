// The operator on the vector cores: picks the strategy that the layout and the scatter mode ask for.
#ifndef MS_SCATTER_PA_WRITE_H_
#define MS_SCATTER_PA_WRITE_H_

#include "ms_scatter_pa_copy_groups.h"
#include "ms_scatter_pa_copy_pairs.h"
#include "ms_scatter_pa_copy_rows.h"
#include "ms_scatter_pa_shares.h"
#include "ms_scatter_pa_tiling_data.h"

namespace mssp {

struct IndexArrays {
  GM_ADDR slot_mapping;
  GM_ADDR compress_lens;
  GM_ADDR compress_seq_offsets;
  GM_ADDR seq_lens;
};

template <typename CopierT>
__aicore__ inline void WriteSide(const Side& side, const MsScatterPaKvCacheTiling& tiling, int32_t index, int64_t limit,
                                 CopierT* copier) {
  const MsspRange range = MsspCoreRange(tiling, index, AscendC::GetBlockIdx());
  if (range.begin < range.end) {
    copier->Copy(side, MsspCutRange(tiling, side.tiling, range), limit);
  }
}

template <typename IndexT, typename CopierT>
__aicore__ inline void WriteTokens(AscendC::TPipe* pipe, const Side& key, const Side& value, const IndexArrays& index,
                                   const MsScatterPaKvCacheTiling& tiling, Status* status) {
  SlotMapping<IndexT> slots;
  slots.Init(pipe, index.slot_mapping, tiling, status);
  CopierT copier;
  copier.Init(pipe, tiling, &slots);
  // Where one window holds every slot, the core that looks at them all brings them in at once.
  const bool checks = AscendC::GetBlockIdx() == kStatusCore;
  const int64_t limit = checks && tiling.num_tokens <= tiling.index_window ? tiling.num_tokens : 0;
  WriteSide(key, tiling, 0, limit, &copier);
  WriteSide(value, tiling, 1, limit, &copier);
  if (checks) {
    slots.Check(tiling.num_tokens);
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

// Writes K and V, then the status, on every core that tiling asks for.
__aicore__ inline void WriteAll(GM_ADDR key, GM_ADDR value, GM_ADDR key_cache, GM_ADDR value_cache,
                                const IndexArrays& index, GM_ADDR status, GM_ADDR last_status,
                                const MsScatterPaKvCacheTiling& tiling) {
  AscendC::TPipe pipe;
  Status first_bad;
  first_bad.Init(&pipe, status, last_status, tiling.keep_last != 0);
  Side key_side;
  Side value_side;
  InitSide(&key_side, key, key_cache, tiling.side[0]);
  InitSide(&value_side, value, value_cache, tiling.side[1]);
  if (tiling.index_type == MSSP_INDEX_INT32) {
    Write<int32_t>(&pipe, key_side, value_side, index, tiling, &first_bad);
  } else {
    Write<int64_t>(&pipe, key_side, value_side, index, tiling, &first_bad);
  }
  if (AscendC::GetBlockIdx() == kStatusCore) {
    first_bad.Finish();
  }
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_WRITE_H_
