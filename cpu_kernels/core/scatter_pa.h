// The operator over raw pointers: what to write, where, and what came of it. No MindSpore, no Python.
// The structs are plain C, so that ctypes, fuzzers and the two MindSpore entries describe a call in the same words.
#ifndef MS_SCATTER_PA_CORE_SCATTER_PA_H_
#define MS_SCATTER_PA_CORE_SCATTER_PA_H_

#include <stdint.h>

#include "op_info.h"

#ifdef __cplusplus
extern "C" {
#endif

// K or V: rows to read and the cache to write. Strides count elements; the innermost dimension is contiguous.
typedef struct {
  const void* rows;      // [T, N, D], or [B, S, N, D] when scatter_mode is not NONE and packed is 0; NULL: side absent
  void* cache;           // contiguous but for the distance between blocks
  int64_t head_size;     // D
  int64_t batch_stride;  // 4-D rows only
  int64_t token_stride;
  int64_t head_stride;
  int64_t block_stride;  // of the cache, from a block to the next; 0: blocks follow one another
  int32_t element_type;  // MsspElementType
  int32_t reserved;
} MsspSide;

typedef struct {
  MsspSide key;
  MsspSide value;  // value.rows == NULL: key-only write
  int32_t layout;
  int32_t scatter_mode;
  int32_t packed;      // rows are [sum(seq_lens), N, D] in a compressed mode
  int32_t index_type;  // MsspIndexType, of all four index arrays; they are contiguous
  int32_t check_duplicates;
  int32_t num_threads;               // 0: chosen by the core
  int64_t num_tokens;                // T; packed: rows of key; 4-D rows: unused
  int64_t batch;                     // B; compressed modes
  int64_t seq_len;                   // S; 4-D rows
  int64_t num_head;                  // N
  int64_t num_blocks;                // NB
  int64_t block_size;                // BS
  const void* slot_mapping;          // [T], or [B, N] in a compressed mode
  const void* compress_lens;         // [B, N]
  const void* compress_seq_offsets;  // [B * N]; Rope and Omni
  const void* seq_lens;              // [B]
} MsspCall;

typedef struct {
  int64_t code;  // MsspStatusCode
  int64_t position;
  int64_t value;
  int64_t limit;
} MsspStatus;

// Checks every value, then writes. When code is not MSSP_WRITTEN nothing was written, and no function of the plain C
// interface throws. Enumerators, dimensions, strides
// and pointers are checked too, and that no argument shares a byte with a cache (position: the cache; value: -1 - the
// other one; limit: -1); that memory is as large as the call says, the caller promises. Index arrays are copied first:
// the values that are checked are the values that are used, whatever other threads do to them meanwhile.
MsspStatus MsspScatterPaKvCache(const MsspCall* call);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_SCATTER_PA_H_
