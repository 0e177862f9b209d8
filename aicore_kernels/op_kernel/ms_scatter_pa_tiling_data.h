// What op_host tells the kernel, and the arithmetic that both sides must agree on. No CANN types.
#ifndef MS_SCATTER_PA_TILING_DATA_H_
#define MS_SCATTER_PA_TILING_DATA_H_

#include <stdint.h>

#include "ms_scatter_pa_op_info.h"

constexpr int64_t MSSP_DATA_BLOCK = MSSP_UNIT_BYTES;  // the unit of DMA and of PA_NZ
constexpr int64_t MSSP_MAX_BLOCK_COUNT = 4095;        // bursts in one DMA instruction
constexpr int64_t MSSP_MAX_BLOCK_LEN = 2097120;       // bytes in one burst, a multiple of 32
constexpr int64_t MSSP_GOOD_BURST = 512;              // shorter bursts waste memory bandwidth

// Buffers of the queue from loads to stores: enough small ones that the latency of both is hidden.
constexpr int32_t MSSP_COPY_BUFFERS = 4;

// One of K and V. A cache block is [groups][block_size][group_bytes]: Norm has one group, NHSD one per head, PA_NZ one
// per 32 bytes; a source row is [groups][group_bytes].
struct MsspSideTiling {
  int64_t row_bytes;    // one token, all heads; 0: the side is absent
  int64_t head_bytes;   // one token, one head
  int64_t group_bytes;  // what stays together in the cache
  int64_t column_unit;  // rows are cut between cores at multiples of it
  int32_t element_type;
  int32_t reserved;
};

struct MsScatterPaKvCacheTiling {
  int64_t num_tokens;  // T; packed: rows of key; 4-D key: B * S
  int64_t batch;       // B, compressed modes
  int64_t seq_len;     // S, 4-D key
  int64_t num_head;
  int64_t num_blocks;
  int64_t block_size;
  int64_t tokens_per_tile;  // tokens whose columns are shared out together, so that runs stay whole
  MsspSideTiling side[2];   // key, value
  int32_t layout;
  int32_t scatter_mode;
  int32_t packed;
  int32_t index_type;
  int32_t used_cores;
  int32_t index_window;       // index entries held at a time
  int32_t copy_buffer_bytes;  // each of four: load, then store
  int32_t tile_buffer_bytes;  // each of four: load, transpose, store; 0: not needed
  int32_t mean_buffer_bytes;  // each of two: rows of a mean; 0: not needed
  int32_t mean_elements;      // columns of a mean taken at once
};

// A place in the work of one side: everything of earlier tiles, and the columns before `column` of tile `tile`.
struct MsspPoint {
  int64_t tile;
  int64_t column;
};

MSSP_FN int64_t MsspMin(int64_t a, int64_t b) { return a < b ? a : b; }
MSSP_FN int64_t MsspMax(int64_t a, int64_t b) { return a > b ? a : b; }
MSSP_FN int64_t MsspCeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
MSSP_FN int64_t MsspAlignUp(int64_t bytes) { return (bytes + MSSP_DATA_BLOCK - 1) / MSSP_DATA_BLOCK * MSSP_DATA_BLOCK; }

// floor(total * core / cores) without the product, which may not fit.
MSSP_FN int64_t MsspShare(int64_t total, int64_t core, int64_t cores) {
  return total / cores * core + total % cores * core / cores;
}

// Byte `x` of a side's tokens * row_bytes, rounded down to a place where the work may be cut.
MSSP_FN MsspPoint MsspCut(int64_t x, int64_t tokens, int64_t row_bytes, int64_t tokens_per_tile, int64_t column_unit) {
  MsspPoint point;
  if (x >= tokens * row_bytes) {
    point.tile = MsspCeilDiv(tokens, tokens_per_tile);
    point.column = 0;
    return point;
  }
  point.tile = x / (tokens_per_tile * row_bytes);
  const int64_t first = point.tile * tokens_per_tile;
  const int64_t in_tile = MsspMin(tokens_per_tile, tokens - first);
  point.column = (x - first * row_bytes) / in_tile / column_unit * column_unit;
  return point;
}

// The part of bytes [begin, end) of the work of both sides, key before value, that lies in [base, base + size).
struct MsspRange {
  int64_t begin;
  int64_t end;
};

MSSP_FN MsspRange MsspClip(int64_t begin, int64_t end, int64_t base, int64_t size) {
  MsspRange range;
  range.begin = MsspMin(MsspMax(begin - base, 0), size);
  range.end = MsspMin(MsspMax(end - base, 0), size);
  return range;
}

// One core's part of one side of Norm, PA_NZ and NHSD: from `from` up to, not including, `to`.
struct MsspPart {
  MsspPoint from;
  MsspPoint to;
};

MSSP_FN MsspPart MsspCorePart(const MsScatterPaKvCacheTiling& tiling, int32_t index, int64_t core) {
  const int64_t key_bytes = tiling.num_tokens * tiling.side[0].row_bytes;
  const int64_t value_bytes = tiling.num_tokens * tiling.side[1].row_bytes;
  const int64_t begin = MsspShare(key_bytes + value_bytes, core, tiling.used_cores);
  const int64_t end = MsspShare(key_bytes + value_bytes, core + 1, tiling.used_cores);
  const MsspRange range =
      index == 0 ? MsspClip(begin, end, 0, key_bytes) : MsspClip(begin, end, key_bytes, value_bytes);
  const MsspSideTiling& side = tiling.side[index];
  MsspPart part;
  part.from = MsspCut(range.begin, tiling.num_tokens, side.row_bytes, tiling.tokens_per_tile, side.column_unit);
  part.to = MsspCut(range.end, tiling.num_tokens, side.row_bytes, tiling.tokens_per_tile, side.column_unit);
  return part;
}

#endif  // MS_SCATTER_PA_TILING_DATA_H_
