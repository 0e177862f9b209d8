// What op_host tells the kernel, and the arithmetic that both sides must agree on. No CANN types.
#ifndef MS_SCATTER_PA_TILING_DATA_H_
#define MS_SCATTER_PA_TILING_DATA_H_

#include <stdint.h>

#include "ms_scatter_pa_op_info.h"

constexpr int64_t MSSP_STATUS_BYTES = MSSP_STATUS_SIZE * static_cast<int64_t>(sizeof(int64_t));

constexpr int64_t MSSP_DATA_BLOCK = MSSP_UNIT_BYTES;  // the unit of DMA and of PA_NZ
constexpr int64_t MSSP_MAX_BLOCK_COUNT = 4095;        // bursts in one DMA instruction
constexpr int64_t MSSP_MAX_BLOCK_LEN = 2097120;       // bytes in one burst, a multiple of 32
constexpr int64_t MSSP_GOOD_BURST = 512;              // shorter bursts waste memory bandwidth

// Buffers of the queue from loads to stores: enough small ones that the latency of both is hidden.
constexpr int32_t MSSP_COPY_BUFFERS = 4;

// One of K and V. A cache block is [groups][block_size][group_bytes]: Norm has one group, NHSD one per head, PA_NZ one
// per 32 bytes; a source row is [groups][group_bytes].
struct MsspSideTiling {
  int64_t row_bytes;     // one token, all heads; 0: the side is absent
  int64_t head_bytes;    // one token, one head
  int64_t group_bytes;   // what stays together in the cache
  int64_t column_unit;   // rows are cut between cores at multiples of it
  int64_t row_stride;    // from one token's row to the next one's; row_bytes where rows are contiguous
  int64_t block_stride;  // from one cache block to the next
  int64_t row_groups;    // groups of a row
  int64_t copy_groups;   // groups that fit into a copy buffer
  int64_t tile_groups;   // groups that fit into a tile buffer
  int32_t group_shift;   // group_bytes is 1 << group_shift; -1: no power of two
  int32_t element_type;
};

struct MsScatterPaKvCacheTiling {
  int64_t num_tokens;  // T; packed: rows of key; 4-D key: B * S
  int64_t batch;       // B, compressed modes
  int64_t seq_len;     // S, 4-D key
  int64_t num_head;
  int64_t num_blocks;
  int64_t block_size;
  int64_t tokens_per_tile;  // tokens whose columns are shared out together, so that runs stay whole; 1 << tile_shift
  int64_t first_share;      // bytes of core 0, which looks at every slot besides; key before value
  int64_t share;            // bytes of each core after it
  int64_t share_rest;       // so many of them, from core 1 on, take a byte more
  MsspSideTiling side[2];   // key, value
  int32_t layout;
  int32_t scatter_mode;
  int32_t packed;
  int32_t index_type;
  int32_t used_cores;
  int32_t block_shift;  // block_size is 1 << block_shift; -1: no power of two
  int32_t tile_shift;
  int32_t keep_last;          // last_status is there to be written when the call is bad
  int32_t index_window;       // index entries held at a time
  int32_t copy_buffer_bytes;  // each of four: load, then store
  int32_t tile_buffer_bytes;  // each of four: load, transpose, store; 0: not needed
  int32_t mean_buffer_bytes;  // each of two: rows of a mean; 0: not needed
  int32_t mean_elements;      // columns of a mean taken at once
  int32_t reserved;
};

MSSP_FN int64_t MsspMin(int64_t a, int64_t b) { return a < b ? a : b; }
MSSP_FN int64_t MsspMax(int64_t a, int64_t b) { return a > b ? a : b; }
MSSP_FN int64_t MsspAlignUp(int64_t bytes) { return (bytes + MSSP_DATA_BLOCK - 1) & -MSSP_DATA_BLOCK; }
MSSP_FN bool MsspIsAligned(int64_t bytes) { return (bytes & (MSSP_DATA_BLOCK - 1)) == 0; }
MSSP_FN bool MsspIsPowerOfTwo(int64_t x) { return (x & (x - 1)) == 0; }

// x / divisor, where `shift` says which power of two the divisor is, or is -1.
MSSP_FN int64_t MsspDivide(int64_t x, int64_t divisor, int32_t shift) { return shift >= 0 ? x >> shift : x / divisor; }

#endif  // MS_SCATTER_PA_TILING_DATA_H_
