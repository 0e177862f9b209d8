// The operator over raw pointers: what to write, where, and what came of it. No MindSpore, no Python.
// The structs are plain C, so that ctypes, fuzzers and the two MindSpore entries describe a call in the same words.
#ifndef MS_SCATTER_PA_CORE_SCATTER_PA_H_
#define MS_SCATTER_PA_CORE_SCATTER_PA_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Values of op_info's DTYPES[].code.
enum MsspElementType {
  MSSP_FLOAT16 = 0,
  MSSP_FLOAT32 = 1,
  MSSP_BFLOAT16 = 2,
  MSSP_INT8 = 3,
  MSSP_UINT8 = 4,
  MSSP_INT16 = 5,
  MSSP_UINT16 = 6,
  MSSP_INT32 = 7,
  MSSP_UINT32 = 8,
  MSSP_HIFLOAT8 = 9,
  MSSP_FLOAT8_E5M2 = 10,
  MSSP_FLOAT8_E4M3FN = 11,
};

// Values of op_info's INDEX_DTYPES[].code.
enum MsspIndexType { MSSP_INDEX_INT32 = 0, MSSP_INDEX_INT64 = 1 };

// Positions in op_info's CACHE_MODES and SCATTER_MODES.
enum MsspLayout { MSSP_NORM = 0, MSSP_PA_NZ = 1, MSSP_NHSD = 2 };
enum MsspScatterMode { MSSP_NONE = 0, MSSP_ALIBI = 1, MSSP_ROPE = 2, MSSP_OMNI = 3 };

enum MsspStatusCode {
  MSSP_WRITTEN = 0,      // skipped negative slots included
  MSSP_BAD_SLOT = 1,     // position: flat index in slot_mapping; limit: capacity
  MSSP_DUPLICATE = 2,    // position: flat index of the later one; value: the shared slot; limit: the earlier position
  MSSP_BAD_LENGTHS = 3,  // position: flat index of the (batch, head) pair in compress_lens; limit: the bound broken
  MSSP_BAD_SHAPES = 4,   // position: index of the argument in op_info's ARGUMENTS; value: given; limit: expected
};

// K or V: rows to read and the cache to write. Strides count elements; the innermost dimension is contiguous.
typedef struct {
  const void* rows;      // [T, N, D], or [B, S, N, D] when scatter_mode is not NONE and packed is 0; NULL: side absent
  void* cache;           // contiguous
  int64_t head_size;     // D
  int64_t batch_stride;  // 4-D rows only
  int64_t token_stride;
  int64_t head_stride;
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

// Checks every value, then writes. When code is not MSSP_WRITTEN nothing was written.
// Shapes are taken as checked: the caller has compared the dimensions that its arguments share.
MsspStatus MsspScatterPaKvCache(const MsspCall* call);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_SCATTER_PA_H_
