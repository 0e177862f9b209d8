// The table: enumerators, item sizes, the status, and the positions of the Ascend operators' inputs and outputs.
// Generated from op_info by `python -m op_info`: do not edit.
#ifndef MS_SCATTER_PA_OP_INFO_H_
#define MS_SCATTER_PA_OP_INFO_H_

#include <stdint.h>

#ifndef MSSP_FN
#if defined(__CCE_AICORE__)
#include "kernel_operator.h"
#define MSSP_FN __aicore__ inline
#elif defined(__cplusplus)
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

// How one side (K or V) of a quantised cache is scaled: not at all, by arrays that the caller gives, by scales computed
// per token and head, or by those that the caller computed (given); the last two are kept in a scale cache.
enum MsspScalingKind { MSSP_COPIED = 0, MSSP_STATIC = 1, MSSP_DYNAMIC = 2, MSSP_GIVEN = 3 };
enum { MSSP_NUM_SCALING_KINDS = 4 };

// The size of a static scale: [1], [N] or [N, D].
enum MsspGranularity { MSSP_PER_TENSOR = 0, MSSP_PER_HEAD = 1, MSSP_PER_CHANNEL = 2 };
enum { MSSP_NUM_GRANULARITIES = 3 };

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
  // no memory for the call's own copies of its arguments; the others are 0
  MSSP_NO_MEMORY = 7,
};
// A status is int64 [code, position, value, limit].
enum { MSSP_STATUS_SIZE = 4 };

enum { MSSP_UNIT_BYTES = 32, MSSP_MAX_RANK = 8 };

// Bytes of one element; 0 for what is no element type.
MSSP_FN int64_t MsspItemSize(int32_t type) {
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
MSSP_FN int64_t MsspIndexSize(int32_t type) {
  switch (type) {
    case MSSP_INDEX_INT32:
      return 4;
    case MSSP_INDEX_INT64:
      return 8;
    default:
      return 0;
  }
}

// npu_gather_pa_kv_cache: the function's arguments, which a status names; the inputs and outputs of the op definition.
enum {
  MSSP_GATHER_ARGUMENT_KEY_CACHE = 0,
  MSSP_GATHER_ARGUMENT_VALUE_CACHE = 1,
  MSSP_GATHER_ARGUMENT_BLOCK_TABLES = 2,
  MSSP_GATHER_ARGUMENT_SEQ_LENS = 3,
  MSSP_GATHER_ARGUMENT_KEY = 4,
  MSSP_GATHER_ARGUMENT_VALUE = 5,
  MSSP_GATHER_ARGUMENT_SEQ_OFFSET = 6,
  MSSP_GATHER_ARGUMENT_KEY_SCALE = 7,
  MSSP_GATHER_ARGUMENT_VALUE_SCALE = 8,
  MSSP_GATHER_ARGUMENT_KEY_OFFSET = 9,
  MSSP_GATHER_ARGUMENT_VALUE_OFFSET = 10,
  MSSP_GATHER_ARGUMENT_KEY_SCALE_CACHE = 11,
  MSSP_GATHER_ARGUMENT_VALUE_SCALE_CACHE = 12
};
#if defined(__cplusplus) && !defined(__CCE_AICORE__)
namespace mssp_host {
namespace gather {

enum Input {
  kKeyCache,
  kValueCache,
  kBlockTables,
  kSeqLens,
  kKey,
  kValue,
  kSeqOffset,
  kKeyScale,
  kValueScale,
  kMode,
  kLastStatus,
  kInputs
};
enum Output { kStatusOutput, kKeyOutput, kValueOutput, kLastStatusOutput, kOutputs };

}  // namespace gather
}  // namespace mssp_host
#endif

// npu_scatter_pa_kv_cache: the function's arguments, which a status names; the inputs and outputs of the op definition.
enum {
  MSSP_ARGUMENT_KEY = 0,
  MSSP_ARGUMENT_VALUE = 1,
  MSSP_ARGUMENT_KEY_CACHE = 2,
  MSSP_ARGUMENT_VALUE_CACHE = 3,
  MSSP_ARGUMENT_SLOT_MAPPING = 4,
  MSSP_ARGUMENT_COMPRESS_LENS = 5,
  MSSP_ARGUMENT_COMPRESS_SEQ_OFFSETS = 6,
  MSSP_ARGUMENT_SEQ_LENS = 7
};
#if defined(__cplusplus) && !defined(__CCE_AICORE__)
namespace mssp_host {

enum Input {
  kKey,
  kValue,
  kKeyCache,
  kValueCache,
  kSlotMapping,
  kCompressLens,
  kCompressSeqOffsets,
  kSeqLens,
  kMode,
  kLastStatus,
  kInputs
};
enum Output { kStatusOutput, kKeyCacheOutput, kValueCacheOutput, kLastStatusOutput, kOutputs };

}  // namespace mssp_host
#endif

// quant_scatter_pa_kv_cache: the function's arguments, which a status names; the inputs and outputs of the op
// definition.
enum {
  MSSP_QUANT_ARGUMENT_KEY = 0,
  MSSP_QUANT_ARGUMENT_VALUE = 1,
  MSSP_QUANT_ARGUMENT_KEY_CACHE = 2,
  MSSP_QUANT_ARGUMENT_VALUE_CACHE = 3,
  MSSP_QUANT_ARGUMENT_SLOT_MAPPING = 4,
  MSSP_QUANT_ARGUMENT_KEY_SCALE = 5,
  MSSP_QUANT_ARGUMENT_VALUE_SCALE = 6,
  MSSP_QUANT_ARGUMENT_KEY_OFFSET = 7,
  MSSP_QUANT_ARGUMENT_VALUE_OFFSET = 8,
  MSSP_QUANT_ARGUMENT_KEY_SCALE_CACHE = 9,
  MSSP_QUANT_ARGUMENT_VALUE_SCALE_CACHE = 10
};
#if defined(__cplusplus) && !defined(__CCE_AICORE__)
namespace mssp_host {
namespace quant {

enum Input {
  kKey,
  kValue,
  kKeyCache,
  kValueCache,
  kSlotMapping,
  kKeyScale,
  kValueScale,
  kKeyScaleCache,
  kValueScaleCache,
  kMode,
  kLastStatus,
  kInputs
};
enum Output {
  kStatusOutput,
  kKeyCacheOutput,
  kValueCacheOutput,
  kKeyScaleCacheOutput,
  kValueScaleCacheOutput,
  kLastStatusOutput,
  kOutputs
};

}  // namespace quant
}  // namespace mssp_host
#endif

#endif  // MS_SCATTER_PA_OP_INFO_H_
