// The table: enumerators, item sizes, argument positions, the status. Generated from op_info by
// `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_CORE_OP_INFO_H_
#define MS_SCATTER_PA_CORE_OP_INFO_H_

#include <stdint.h>

#ifndef MSSP_FN
#if defined(__cplusplus)
#define MSSP_FN inline
#else
#define MSSP_FN static inline
#endif
#endif

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
enum { MSSP_NUM_ELEMENT_TYPES = 12 };

enum MsspIndexType {
  MSSP_INDEX_INT32 = 0,
  MSSP_INDEX_INT64 = 1,
};
enum { MSSP_NUM_INDEX_TYPES = 2 };

enum MsspLayout { MSSP_NORM = 0, MSSP_PA_NZ = 1, MSSP_NHSD = 2 };
enum { MSSP_NUM_LAYOUTS = 3 };

enum MsspScatterMode { MSSP_NONE = 0, MSSP_ALIBI = 1, MSSP_ROPE = 2, MSSP_OMNI = 3 };
enum { MSSP_NUM_SCATTER_MODES = 4 };

enum MsspStatusCode {
  // skipped negative slots included
  MSSP_WRITTEN = 0,
  // position: flat index in slot_mapping; limit: num_blocks * block_size
  MSSP_BAD_SLOT = 1,
  // position: flat index of the later one; value: the shared slot; limit: the earlier position
  MSSP_DUPLICATE = 2,
  // position: flat index of the (batch, head) pair; limit: the bound broken
  MSSP_BAD_LENGTHS = 3,
  // position: of the argument; value: given; limit: expected, or -1: value is -1 - the argument that it overlaps
  MSSP_BAD_SHAPES = 4,
};
// A status is int64 [code, position, value, limit].
enum { MSSP_STATUS_SIZE = 4 };

enum { MSSP_UNIT_BYTES = 32, MSSP_MAX_RANK = 8 };

// Bytes of one element; 0 for what is no element type.
MSSP_FN int64_t MsspItemSize(int64_t type) {
  switch (type) {
    case MSSP_INT8:
    case MSSP_UINT8:
    case MSSP_HIFLOAT8:
    case MSSP_FLOAT8_E5M2:
    case MSSP_FLOAT8_E4M3FN:
      return 1;
    case MSSP_FLOAT16:
    case MSSP_BFLOAT16:
    case MSSP_INT16:
    case MSSP_UINT16:
      return 2;
    case MSSP_FLOAT32:
    case MSSP_INT32:
    case MSSP_UINT32:
      return 4;
    default:
      return 0;
  }
}

// Bytes of one index; 0 for what is no index type.
MSSP_FN int64_t MsspIndexSize(int64_t type) {
  switch (type) {
    case MSSP_INDEX_INT32:
      return 4;
    case MSSP_INDEX_INT64:
      return 8;
    default:
      return 0;
  }
}

// npu_scatter_pa_kv_cache
typedef struct {
  int64_t layout;             // MsspLayout
  int64_t scatter_mode;       // MsspScatterMode
  int64_t packed;             // rows are [sum(seq_lens), N, D] in a compressed mode
  int64_t key_only;           // no value and no value_cache
  int64_t flattened;          // rows are [T, N*D], [1, T, N*D] or [B, S, N*D]
  int64_t record;             // on_error="record": report through status, never raise
  int64_t check_duplicates;   // refuse slots that are written twice
  int64_t keeps_last_status;  // a Cell's last bad status follows the arguments
  int64_t key_type;           // MsspElementType
  int64_t value_type;         // MsspElementType
  int64_t index_type;         // MsspIndexType
} MsspOptions;
enum { MSSP_NUM_ARGUMENTS = 8, MSSP_NUM_MODES = 4, MSSP_NUM_OPTIONS = 11 };

#ifdef __cplusplus
namespace mssp {

enum Argument {
  kKey = 0,
  kValue = 1,
  kKeyCache = 2,
  kValueCache = 3,
  kSlotMapping = 4,
  kCompressLens = 5,
  kCompressSeqOffsets = 6,
  kSeqLens = 7,
};

inline constexpr const char* kArgumentNames[] = {
    "key", "value", "key_cache", "value_cache", "slot_mapping", "compress_lens", "compress_seq_offsets", "seq_lens"};
inline constexpr int kArgumentMinRank[] = {2, 2, 3, 3, 1, 1, 1, 1};
inline constexpr int kArgumentMaxRank[] = {4, 4, 5, 5, 2, 2, 2, 1};

}  // namespace mssp
#endif  // __cplusplus

#endif  // MS_SCATTER_PA_CORE_OP_INFO_H_
