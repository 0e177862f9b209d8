// Generated from op_info by `python -m op_info`: do not edit. One column per compiled combination of dtypes.
#ifndef MS_SCATTER_PA_OP_DEF_H_
#define MS_SCATTER_PA_OP_DEF_H_

#include <stddef.h>

#include <vector>

#include "graph/types.h"
#include "ms_scatter_pa_kv_cache_tiling.h"

// CANN with the 8-bit floats of the 950 parts has this header; CANN 8.1 has not, and knows neither.
#if __has_include(<graph/c_types.h>)
#define MS_SCATTER_PA_WITH_ASCEND950 1
#endif

namespace mssp_host {

// An output that is the memory of an input.
struct Reference {
  size_t output;
  size_t input;
};

// MsspElementType of a dtype, or -1 where the operators do not know it.
inline int32_t ElementType(ge::DataType type) {
  switch (type) {
    case ge::DT_FLOAT16:
      return MSSP_FLOAT16;
    case ge::DT_FLOAT:
      return MSSP_FLOAT32;
    case ge::DT_BF16:
      return MSSP_BFLOAT16;
    case ge::DT_INT8:
      return MSSP_INT8;
    case ge::DT_UINT8:
      return MSSP_UINT8;
    case ge::DT_INT16:
      return MSSP_INT16;
    case ge::DT_UINT16:
      return MSSP_UINT16;
    case ge::DT_INT32:
      return MSSP_INT32;
    case ge::DT_UINT32:
      return MSSP_UINT32;
    case ge::DT_HIFLOAT8:
      return MSSP_HIFLOAT8;
    case ge::DT_FLOAT8_E5M2:
      return MSSP_FLOAT8_E5M2;
    case ge::DT_FLOAT8_E4M3FN:
      return MSSP_FLOAT8_E4M3FN;
    default:
      return -1;
  }
}

// clang-format off
static const std::vector<ge::DataType> kA2KeyTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_INT8,
    ge::DT_INT8, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8,
    ge::DT_UINT8, ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32,
    ge::DT_INT8, ge::DT_INT8,
};
static const std::vector<ge::DataType> kA2ValueTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8,
    ge::DT_UINT8, ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32,
    ge::DT_FLOAT16, ge::DT_BF16,
};
static const std::vector<ge::DataType> kA2IndexTypes = {
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64,
};
// clang-format on
#ifdef MS_SCATTER_PA_WITH_ASCEND950
// clang-format off
static const std::vector<ge::DataType> k950KeyTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8, ge::DT_HIFLOAT8,
    ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8, ge::DT_HIFLOAT8,
    ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
};
static const std::vector<ge::DataType> k950ValueTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16,
};
static const std::vector<ge::DataType> k950IndexTypes = {
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
};
// clang-format on
#endif
static const char* const kA2Socs[] = {"ascend910b", "ascend910_93"};
#ifdef MS_SCATTER_PA_WITH_ASCEND950
static const char* const k950Socs[] = {"ascend950"};
#endif

constexpr Reference kReferences[] = {
    {kKeyCacheOutput, kKeyCache}, {kValueCacheOutput, kValueCache}, {kLastStatusOutput, kLastStatus}};

// npu_scatter_pa_kv_cache: every input and output, in order. Works on OpDef and on OpAICoreConfig.
template <typename Definition, typename Describe>
void DescribeAllMsScatterPaKvCache(Definition& definition, Describe describe, const std::vector<ge::DataType>& key,
                                   const std::vector<ge::DataType>& value, const std::vector<ge::DataType>& index) {
  describe(definition.Input("key"), key);
  describe(definition.Input("value"), value);
  describe(definition.Input("key_cache"), key);
  describe(definition.Input("value_cache"), value);
  describe(definition.Input("slot_mapping"), index);
  describe(definition.Input("compress_lens"), index);
  describe(definition.Input("compress_seq_offsets"), index);
  describe(definition.Input("seq_lens"), index);
  describe(definition.Input("mode"), std::vector<ge::DataType>(key.size(), ge::DT_UINT8));
  describe(definition.Input("last_status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
  describe(definition.Output("status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
  describe(definition.Output("key_cache"), key);
  describe(definition.Output("value_cache"), value);
  describe(definition.Output("last_status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
}

template <typename Definition, typename Describe>
void DescribeA2MsScatterPaKvCache(Definition& definition, Describe describe) {
  DescribeAllMsScatterPaKvCache(definition, describe, kA2KeyTypes, kA2ValueTypes, kA2IndexTypes);
}
#ifdef MS_SCATTER_PA_WITH_ASCEND950
template <typename Definition, typename Describe>
void Describe950MsScatterPaKvCache(Definition& definition, Describe describe) {
  DescribeAllMsScatterPaKvCache(definition, describe, k950KeyTypes, k950ValueTypes, k950IndexTypes);
}
#endif

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_OP_DEF_H_
