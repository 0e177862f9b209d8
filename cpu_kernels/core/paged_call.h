// The two operators beside the write over raw pointers: pages -> rows, and rows -> pages of 8 bits with scales.
// A code is an int8 or float8 number as a quantised cache holds it; a status code is an MsspStatusCode. Pages are the
// blocks of a cache.
#ifndef MS_SCATTER_PA_CORE_PAGED_CALL_H_
#define MS_SCATTER_PA_CORE_PAGED_CALL_H_

#include <stdint.h>

#include "op_info.h"
#include "scatter_pa.h"

#ifdef __cplusplus
extern "C" {
#endif

// How one side is scaled. Every array is contiguous float32 but for the blocks of a scale cache.
typedef struct {
  int32_t kind;                // MsspScalingKind
  int32_t granularity;         // MsspGranularity, of a static scale and its offset
  const void* scale;           // static: [1], [N] or [N, D]; given: [T, N], as the write is told; else NULL
  const void* offset;          // static, int8: of the scale's shape, or NULL
  void* scale_cache;           // dynamic and given: [NB, BS, N], or [NB, N, BS, 1] in NHSD; else NULL
  int64_t scale_block_stride;  // of the scale cache, in elements
} MsspScaling;

// K or V. Strides count elements; heads and the innermost dimension of a cache are contiguous.
typedef struct {
  void* rows;   // [T, N, D], read by the write and written by the gather; NULL: side absent
  void* cache;  // read by the gather, written by the write
  int64_t head_size;
  int64_t token_stride;  // of rows
  int64_t head_stride;
  int64_t block_stride;  // of the cache
  int32_t rows_type;     // MsspElementType
  int32_t cache_type;    // the same type where nothing is scaled
  MsspScaling scaling;
} MsspPagedSide;

typedef struct {
  MsspPagedSide key;
  MsspPagedSide value;
  int32_t layout;
  int32_t index_type;
  int32_t is_seq_lens_cumsum;  // seq_lens is [B + 1], begins with 0 and does not fall
  int32_t num_threads;         // 0: chosen by the core
  int64_t num_tokens;          // T, the sum of the lengths
  int64_t batch;               // B
  int64_t table_width;         // W
  int64_t num_head;            // N
  int64_t num_blocks;          // NB
  int64_t block_size;          // BS
  const void* block_tables;    // [B, W]
  const void* seq_lens;        // [B] or [B + 1]
  const void* seq_offset;      // [B] or NULL
} MsspGatherCall;

typedef struct {
  MsspPagedSide key;
  MsspPagedSide value;
  int32_t layout;
  int32_t index_type;
  int32_t check_duplicates;
  int32_t num_threads;
  int64_t num_tokens;
  int64_t num_head;
  int64_t num_blocks;
  int64_t block_size;
  const void* slot_mapping;  // [T]
} MsspQuantCall;

// Each checks first, as MsspScatterPaKvCache does: when code is not MSSP_WRITTEN nothing was written. Nothing that a
// call is given shares a byte with what it writes; index arrays and static scales are copied before they are checked.
MsspStatus MsspGatherPaKvCache(const MsspGatherCall* call);
MsspStatus MsspQuantScatterPaKvCache(const MsspQuantCall* call);

// The sentence for a bad status, as MsspFormatStatus.
int64_t MsspFormatGatherStatus(const MsspGatherCall* call, const MsspStatus* status, char* buffer, int64_t size);
int64_t MsspFormatQuantStatus(const MsspQuantCall* call, const MsspStatus* status, char* buffer, int64_t size);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_PAGED_CALL_H_
