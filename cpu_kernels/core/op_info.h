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

enum MsspScalingKind { MSSP_COPIED = 0, MSSP_STATIC = 1, MSSP_DYNAMIC = 2, MSSP_GIVEN = 3 };
enum { MSSP_NUM_SCALING_KINDS = 4 };

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
  // position: flat index in the scale; value: its float32 bits; limit: the argument's position
  MSSP_BAD_SCALE = 5,
  // position: flat index in the offset; value: its float32 bits, or a seq_offset; limit: the argument's position
  MSSP_BAD_OFFSET = 6,
  // none for the call's own copies of its arguments; the others are 0
  MSSP_NO_MEMORY = 7,
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

// npu_gather_pa_kv_cache
typedef struct {
  int64_t layout;              // MsspLayout
  int64_t key_only;            // no value and no value_cache
  int64_t flattened;           // rows are [T, N*D]
  int64_t record;              // on_error="record": report through status, never raise
  int64_t keeps_last_status;   // a Cell's last bad status follows the arguments
  int64_t is_seq_lens_cumsum;  // seq_lens is [B + 1] and begins with 0
  int64_t has_seq_offset;      // seq_offset is given
  int64_t key_type;            // MsspElementType of key, then of the other three
  int64_t value_type;
  int64_t key_cache_type;
  int64_t value_cache_type;
  int64_t index_type;   // MsspIndexType
  int64_t key_scaling;  // MsspScalingKind, whether there is an offset, and the scale's size: 0 [1], 1 [N], 2 [N, D]
  int64_t key_has_offset;
  int64_t key_granularity;
  int64_t value_scaling;  // the same of the value
  int64_t value_has_offset;
  int64_t value_granularity;
} MsspGatherOptions;
enum { MSSP_GATHER_NUM_ARGUMENTS = 13, MSSP_GATHER_NUM_MODES = 3, MSSP_GATHER_NUM_OPTIONS = 18 };

#ifdef __cplusplus
namespace mssp {
namespace gather {

enum Argument {
  kKeyCache = 0,
  kValueCache = 1,
  kBlockTables = 2,
  kSeqLens = 3,
  kKey = 4,
  kValue = 5,
  kSeqOffset = 6,
  kKeyScale = 7,
  kValueScale = 8,
  kKeyOffset = 9,
  kValueOffset = 10,
  kKeyScaleCache = 11,
  kValueScaleCache = 12,
};

inline constexpr const char* kArgumentNames[] = {
    "key_cache",    "value_cache",     "block_tables",     "seq_lens",    "key",
    "value",        "seq_offset",      "key_scale",        "value_scale", "key_offset",
    "value_offset", "key_scale_cache", "value_scale_cache"};
inline constexpr int kArgumentMinRank[] = {3, 3, 2, 1, 2, 2, 1, 1, 1, 1, 1, 3, 3};
inline constexpr int kArgumentMaxRank[] = {5, 5, 2, 1, 3, 3, 1, 2, 2, 2, 2, 4, 4};

}  // namespace gather
}  // namespace mssp
#endif  // __cplusplus

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

// quant_scatter_pa_kv_cache
typedef struct {
  int64_t layout;             // MsspLayout
  int64_t key_only;           // no value and no value_cache
  int64_t flattened;          // rows are [T, N*D], [1, T, N*D] or [B, S, N*D]
  int64_t record;             // on_error="record": report through status, never raise
  int64_t check_duplicates;   // refuse slots that are written twice
  int64_t keeps_last_status;  // a Cell's last bad status follows the arguments
  int64_t key_type;           // MsspElementType of key, then of the other three
  int64_t value_type;
  int64_t key_cache_type;
  int64_t value_cache_type;
  int64_t index_type;   // MsspIndexType
  int64_t key_scaling;  // MsspScalingKind, whether there is an offset, and the scale's size: 0 [1], 1 [N], 2 [N, D]
  int64_t key_has_offset;
  int64_t key_granularity;
  int64_t value_scaling;  // the same of the value
  int64_t value_has_offset;
  int64_t value_granularity;
} MsspQuantOptions;
enum { MSSP_QUANT_NUM_ARGUMENTS = 11, MSSP_QUANT_NUM_MODES = 3, MSSP_QUANT_NUM_OPTIONS = 17 };

#ifdef __cplusplus
namespace mssp {
namespace quant {

enum Argument {
  kKey = 0,
  kValue = 1,
  kKeyCache = 2,
  kValueCache = 3,
  kSlotMapping = 4,
  kKeyScale = 5,
  kValueScale = 6,
  kKeyOffset = 7,
  kValueOffset = 8,
  kKeyScaleCache = 9,
  kValueScaleCache = 10,
};

inline constexpr const char* kArgumentNames[] = {"key",          "value",           "key_cache",        "value_cache",
                                                 "slot_mapping", "key_scale",       "value_scale",      "key_offset",
                                                 "value_offset", "key_scale_cache", "value_scale_cache"};
inline constexpr int kArgumentMinRank[] = {2, 2, 3, 3, 1, 1, 1, 1, 1, 3, 3};
inline constexpr int kArgumentMaxRank[] = {3, 3, 5, 5, 1, 2, 2, 2, 2, 4, 4};

}  // namespace quant
}  // namespace mssp
#endif  // __cplusplus

#endif  // MS_SCATTER_PA_CORE_OP_INFO_H_
