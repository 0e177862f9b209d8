// What op_host tells the kernels of the gather and of the quantising write. No CANN types.
#ifndef MS_SCATTER_PA_PAGED_TILING_DATA_H_
#define MS_SCATTER_PA_PAGED_TILING_DATA_H_

#include "ms_scatter_pa_tiling_data.h"

constexpr int64_t MSSP_VECTOR_FLOATS = 64;  // float32 lanes of one repetition of a vector instruction
constexpr int64_t MSSP_BLOCK_FLOATS = 8;    // float32 lanes of 32 bytes

// K or V. A head row is one head of one token; rows are [tokens][heads][head_size]. A cache block is
// [groups][block_size][group_bytes], as for the write.
struct MsspPagedSideTiling {
  int64_t row_bytes;       // a row, all heads; 0: the side is absent
  int64_t head_bytes;      // a row, one head
  int64_t cache_bytes;     // the same row in the cache
  int64_t code_bytes;      // one head of it
  int64_t group_bytes;     // what stays together in the cache
  int64_t groups;          // of a row in the cache
  int64_t head_size;       // elements
  int64_t tile_head_rows;  // heads that are scaled at a time; whole tokens where one fits
  int32_t row_type;        // MsspElementType
  int32_t cache_type;
  int32_t scaling;      // MsspScalingKind
  int32_t granularity;  // MsspGranularity, of a static scale
  int32_t has_offset;   // a static scale is [2, ...]: the scales, then the offsets
  int32_t reserved;
};

// Both operators. The work is the bytes of rows, key before value, in equal shares.
struct MsspPagedTiling {
  int64_t num_rows;  // T
  int64_t num_head;
  int64_t num_blocks;
  int64_t block_size;
  int64_t batch;       // B; the gather
  int64_t width;       // W, columns of block_tables
  int64_t share;       // bytes of each core
  int64_t share_rest;  // so many cores take a byte more
  MsspPagedSideTiling side[2];
  int32_t layout;
  int32_t is_cumsum;       // seq_lens is [B + 1]
  int32_t has_seq_offset;  // seq_offset is given
  int32_t index_type;
  int32_t used_cores;
  int32_t block_shift;  // block_size is 1 << block_shift; -1: no power of two
  int32_t keep_last;    // last_status is there to be written when the call is bad
  int32_t index_window;
  int32_t copy_buffer_bytes;  // each of four: load, then store; 0: nothing is only copied
  int32_t tile_buffer_bytes;  // each of four: load, transpose, store
  int32_t tile_elements;      // elements that are scaled at a time; 0: nothing is scaled
  int32_t scale_floats;       // of static scales, and as many offsets, that one core keeps
};

typedef MsspPagedTiling MsGatherPaKvCacheTiling;
typedef MsspPagedTiling MsQuantScatterPaKvCacheTiling;

#endif  // MS_SCATTER_PA_PAGED_TILING_DATA_H_
