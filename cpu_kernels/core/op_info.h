// The table on the CPU: arguments and options of every operator. Generated from op_info by
// `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_CORE_OP_INFO_H_
#define MS_SCATTER_PA_CORE_OP_INFO_H_

#include "../../aicore_kernels/op_kernel/ms_scatter_pa_op_info.h"

#ifdef __cplusplus
// Of numbers that a caller gives as int64.
inline int64_t MsspItemSize(int64_t type) {
  return type == static_cast<int32_t>(type) ? MsspItemSize(static_cast<int32_t>(type)) : 0;
}
inline int64_t MsspIndexSize(int64_t type) {
  return type == static_cast<int32_t>(type) ? MsspIndexSize(static_cast<int32_t>(type)) : 0;
}
#endif  // __cplusplus

// Whether rows of this type can be quantised; whether a quantised cache can hold it.
MSSP_FN int MsspIsScaledType(int64_t type) {
  switch (type) {
    case MSSP_FLOAT16:
    case MSSP_FLOAT32:
    case MSSP_BFLOAT16:
      return 1;
    default:
      return 0;
  }
}

MSSP_FN int MsspIsCodeType(int64_t type) {
  switch (type) {
    case MSSP_INT8:
    case MSSP_FLOAT8_E5M2:
    case MSSP_FLOAT8_E4M3FN:
      return 1;
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
// A bit for the place of each argument that is written; of each that is a cache.
inline constexpr uint32_t kWritten = 1u << kKey | 1u << kValue;
inline constexpr uint32_t kCaches = 1u << kKeyCache | 1u << kValueCache | 1u << kKeyScaleCache | 1u << kValueScaleCache;

// Bytes of an element of an argument.
inline int64_t ArgumentItemSize(const MsspGatherOptions& options, int argument) {
  switch (argument) {
    case kKeyCache:
      return MsspItemSize(options.key_cache_type);
    case kValueCache:
      return MsspItemSize(options.value_cache_type);
    case kBlockTables:
    case kSeqLens:
    case kSeqOffset:
      return MsspIndexSize(options.index_type);
    case kKey:
      return MsspItemSize(options.key_type);
    case kValue:
      return MsspItemSize(options.value_type);
    case kKeyScale:
    case kValueScale:
    case kKeyOffset:
    case kValueOffset:
    case kKeyScaleCache:
    case kValueScaleCache:
      return sizeof(float);
    default:
      return 0;
  }
}

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
// A bit for the place of each argument that is written; of each that is a cache.
inline constexpr uint32_t kWritten = 1u << kKeyCache | 1u << kValueCache;
inline constexpr uint32_t kCaches = 1u << kKeyCache | 1u << kValueCache;

// Bytes of an element of an argument.
inline int64_t ArgumentItemSize(const MsspOptions& options, int argument) {
  switch (argument) {
    case kKey:
    case kKeyCache:
      return MsspItemSize(options.key_type);
    case kValue:
    case kValueCache:
      return MsspItemSize(options.value_type);
    case kSlotMapping:
    case kCompressLens:
    case kCompressSeqOffsets:
    case kSeqLens:
      return MsspIndexSize(options.index_type);
    default:
      return 0;
  }
}

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
// A bit for the place of each argument that is written; of each that is a cache.
inline constexpr uint32_t kWritten =
    1u << kKeyCache | 1u << kValueCache | 1u << kKeyScaleCache | 1u << kValueScaleCache;
inline constexpr uint32_t kCaches = 1u << kKeyCache | 1u << kValueCache | 1u << kKeyScaleCache | 1u << kValueScaleCache;

// Bytes of an element of an argument.
inline int64_t ArgumentItemSize(const MsspQuantOptions& options, int argument) {
  switch (argument) {
    case kKey:
      return MsspItemSize(options.key_type);
    case kValue:
      return MsspItemSize(options.value_type);
    case kKeyCache:
      return MsspItemSize(options.key_cache_type);
    case kValueCache:
      return MsspItemSize(options.value_cache_type);
    case kSlotMapping:
      return MsspIndexSize(options.index_type);
    case kKeyScale:
    case kValueScale:
    case kKeyOffset:
    case kValueOffset:
    case kKeyScaleCache:
    case kValueScaleCache:
      return sizeof(float);
    default:
      return 0;
  }
}

}  // namespace quant
}  // namespace mssp
#endif  // __cplusplus

#endif  // MS_SCATTER_PA_CORE_OP_INFO_H_
