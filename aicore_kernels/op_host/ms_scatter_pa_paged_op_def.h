// Generated from op_info by `python -m op_info`: do not edit. The gather and the quantising write: one column per
// compiled combination of dtypes.
#ifndef MS_SCATTER_PA_PAGED_OP_DEF_H_
#define MS_SCATTER_PA_PAGED_OP_DEF_H_

#include "ms_scatter_pa_op_def.h"

namespace mssp_host {
namespace gather {

// clang-format off
static const std::vector<ge::DataType> kA2KeyTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_INT8,
    ge::DT_INT8, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_INT8, ge::DT_INT8,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> kA2ValueTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> kA2KeyCacheTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_INT8,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_INT8, ge::DT_INT8,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8,
};
static const std::vector<ge::DataType> kA2ValueCacheTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8,
};
static const std::vector<ge::DataType> kA2IndexTypes = {
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
};
// clang-format on
#ifdef MS_SCATTER_PA_WITH_ASCEND950
// clang-format off
static const std::vector<ge::DataType> k950KeyTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8, ge::DT_HIFLOAT8,
    ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8, ge::DT_HIFLOAT8, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> k950ValueTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> k950KeyCacheTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8, ge::DT_HIFLOAT8,
    ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8, ge::DT_HIFLOAT8, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8,
    ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
};
static const std::vector<ge::DataType> k950ValueCacheTypes = {
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8,
    ge::DT_INT16, ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_UINT8, ge::DT_INT16,
    ge::DT_UINT16, ge::DT_INT32, ge::DT_UINT32, ge::DT_HIFLOAT8, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16,
    ge::DT_FLOAT16, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_BF16, ge::DT_INT8,
    ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
};
static const std::vector<ge::DataType> k950IndexTypes = {
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
};
// clang-format on
#endif

constexpr Reference kReferences[] = {{kKeyOutput, kKey}, {kValueOutput, kValue}, {kLastStatusOutput, kLastStatus}};

// npu_gather_pa_kv_cache: every input and output, in order. Works on OpDef and on OpAICoreConfig.
template <typename Definition, typename Describe>
void DescribeAllMsGatherPaKvCache(Definition& definition, Describe describe, const std::vector<ge::DataType>& key,
                                  const std::vector<ge::DataType>& value, const std::vector<ge::DataType>& key_cache,
                                  const std::vector<ge::DataType>& value_cache,
                                  const std::vector<ge::DataType>& index) {
  describe(definition.Input("key_cache"), key_cache);
  describe(definition.Input("value_cache"), value_cache);
  describe(definition.Input("block_tables"), index);
  describe(definition.Input("seq_lens"), index);
  describe(definition.Input("key"), key);
  describe(definition.Input("value"), value);
  describe(definition.Input("seq_offset"), index);
  describe(definition.Input("key_scale"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Input("value_scale"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Input("mode"), std::vector<ge::DataType>(key.size(), ge::DT_UINT8));
  describe(definition.Input("last_status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
  describe(definition.Output("status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
  describe(definition.Output("key"), key);
  describe(definition.Output("value"), value);
  describe(definition.Output("last_status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
}

template <typename Definition, typename Describe>
void DescribeA2MsGatherPaKvCache(Definition& definition, Describe describe) {
  DescribeAllMsGatherPaKvCache(definition, describe, kA2KeyTypes, kA2ValueTypes, kA2KeyCacheTypes, kA2ValueCacheTypes,
                               kA2IndexTypes);
}
#ifdef MS_SCATTER_PA_WITH_ASCEND950
template <typename Definition, typename Describe>
void Describe950MsGatherPaKvCache(Definition& definition, Describe describe) {
  DescribeAllMsGatherPaKvCache(definition, describe, k950KeyTypes, k950ValueTypes, k950KeyCacheTypes,
                               k950ValueCacheTypes, k950IndexTypes);
}
#endif

}  // namespace gather
}  // namespace mssp_host

namespace mssp_host {
namespace quant {

// clang-format off
static const std::vector<ge::DataType> kA2KeyTypes = {
    ge::DT_INT8, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> kA2ValueTypes = {
    ge::DT_INT8, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> kA2KeyCacheTypes = {
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_INT8,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8,
};
static const std::vector<ge::DataType> kA2ValueCacheTypes = {
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_INT8,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8,
};
static const std::vector<ge::DataType> kA2IndexTypes = {
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
};
// clang-format on
#ifdef MS_SCATTER_PA_WITH_ASCEND950
// clang-format off
static const std::vector<ge::DataType> k950KeyTypes = {
    ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_FLOAT,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> k950ValueTypes = {
    ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT16, ge::DT_FLOAT,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16,
    ge::DT_FLOAT, ge::DT_BF16, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN,
    ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT,
    ge::DT_BF16, ge::DT_FLOAT16, ge::DT_FLOAT, ge::DT_BF16,
};
static const std::vector<ge::DataType> k950KeyCacheTypes = {
    ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8,
    ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN,
    ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
};
static const std::vector<ge::DataType> k950ValueCacheTypes = {
    ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_INT8,
    ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN,
    ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN,
    ge::DT_INT8, ge::DT_INT8, ge::DT_INT8, ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E5M2,
    ge::DT_FLOAT8_E5M2, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN, ge::DT_FLOAT8_E4M3FN,
};
static const std::vector<ge::DataType> k950IndexTypes = {
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32, ge::DT_INT32,
    ge::DT_INT32, ge::DT_INT32, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
    ge::DT_INT64, ge::DT_INT64, ge::DT_INT64, ge::DT_INT64,
};
// clang-format on
#endif

constexpr Reference kReferences[] = {{kKeyCacheOutput, kKeyCache},
                                     {kValueCacheOutput, kValueCache},
                                     {kKeyScaleCacheOutput, kKeyScaleCache},
                                     {kValueScaleCacheOutput, kValueScaleCache},
                                     {kLastStatusOutput, kLastStatus}};

// quant_scatter_pa_kv_cache: every input and output, in order. Works on OpDef and on OpAICoreConfig.
template <typename Definition, typename Describe>
void DescribeAllMsQuantScatterPaKvCache(Definition& definition, Describe describe, const std::vector<ge::DataType>& key,
                                        const std::vector<ge::DataType>& value,
                                        const std::vector<ge::DataType>& key_cache,
                                        const std::vector<ge::DataType>& value_cache,
                                        const std::vector<ge::DataType>& index) {
  describe(definition.Input("key"), key);
  describe(definition.Input("value"), value);
  describe(definition.Input("key_cache"), key_cache);
  describe(definition.Input("value_cache"), value_cache);
  describe(definition.Input("slot_mapping"), index);
  describe(definition.Input("key_scale"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Input("value_scale"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Input("key_scale_cache"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Input("value_scale_cache"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Input("mode"), std::vector<ge::DataType>(key.size(), ge::DT_UINT8));
  describe(definition.Input("last_status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
  describe(definition.Output("status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
  describe(definition.Output("key_cache"), key_cache);
  describe(definition.Output("value_cache"), value_cache);
  describe(definition.Output("key_scale_cache"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Output("value_scale_cache"), std::vector<ge::DataType>(key.size(), ge::DT_FLOAT));
  describe(definition.Output("last_status"), std::vector<ge::DataType>(key.size(), ge::DT_INT64));
}

template <typename Definition, typename Describe>
void DescribeA2MsQuantScatterPaKvCache(Definition& definition, Describe describe) {
  DescribeAllMsQuantScatterPaKvCache(definition, describe, kA2KeyTypes, kA2ValueTypes, kA2KeyCacheTypes,
                                     kA2ValueCacheTypes, kA2IndexTypes);
}
#ifdef MS_SCATTER_PA_WITH_ASCEND950
template <typename Definition, typename Describe>
void Describe950MsQuantScatterPaKvCache(Definition& definition, Describe describe) {
  DescribeAllMsQuantScatterPaKvCache(definition, describe, k950KeyTypes, k950ValueTypes, k950KeyCacheTypes,
                                     k950ValueCacheTypes, k950IndexTypes);
}
#endif

}  // namespace quant
}  // namespace mssp_host

#endif  // MS_SCATTER_PA_PAGED_OP_DEF_H_
