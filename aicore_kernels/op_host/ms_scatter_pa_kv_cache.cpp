// The op definition: every tensor required, no attributes, so that both of MindSpore's modes can call it. `mode`
// carries the modes in its shape. status comes before the caches, whose names make them references to the inputs.
#include "ms_scatter_pa_dtypes.h"
#include "ms_scatter_pa_kv_cache_host.h"
#include "register/op_def_registry.h"

namespace ops {
namespace {

using Types = std::vector<ge::DataType>;

struct Columns {
  const Types& key;
  const Types& value;
  const Types& index;
};

void Describe(OpParamDef& tensor, const Types& types) {
  const std::vector<ge::Format> formats(types.size(), ge::FORMAT_ND);
  tensor.ParamType(REQUIRED).DataType(types).Format(formats).UnknownShapeFormat(formats);
}

// Works on OpDef and on OpAICoreConfig, which replaces the definition for one soc.
template <typename Definition>
void DescribeAll(Definition& definition, const Columns& columns) {
  Describe(definition.Input("key"), columns.key);
  Describe(definition.Input("value"), columns.value);
  Describe(definition.Input("key_cache"), columns.key);
  Describe(definition.Input("value_cache"), columns.value);
  Describe(definition.Input("slot_mapping"), columns.index);
  Describe(definition.Input("compress_lens"), columns.index);
  Describe(definition.Input("compress_seq_offsets"), columns.index);
  Describe(definition.Input("seq_lens"), columns.index);
  Describe(definition.Input("mode"), Types(columns.key.size(), ge::DT_UINT8));
  Describe(definition.Output("status"), Types(columns.key.size(), ge::DT_INT64));
  Describe(definition.Output("key_cache"), columns.key);
  Describe(definition.Output("value_cache"), columns.value);
}

}  // namespace

class MsScatterPaKvCache : public OpDef {
 public:
  explicit MsScatterPaKvCache(const char* name) : OpDef(name) {
    DescribeAll(*this, {mssp_host::kA2KeyTypes, mssp_host::kA2ValueTypes, mssp_host::kA2IndexTypes});
    this->SetInferShape(mssp_host::InferShape).SetInferDataType(mssp_host::InferDataType);
    this->AICore().SetTiling(mssp_host::Tiling);
    this->AICore().AddConfig("ascend910b");
    this->AICore().AddConfig("ascend910_93");
#ifdef MS_SCATTER_PA_WITH_ASCEND950
    OpAICoreConfig config;
    config.DynamicCompileStaticFlag(true)
        .DynamicFormatFlag(true)
        .DynamicRankSupportFlag(true)
        .DynamicShapeSupportFlag(true)
        .NeedCheckSupportFlag(false)
        .PrecisionReduceFlag(true);
    DescribeAll(config, {mssp_host::k950KeyTypes, mssp_host::k950ValueTypes, mssp_host::k950IndexTypes});
    this->AICore().AddConfig("ascend950", config);
#endif
  }
};

OP_ADD(MsScatterPaKvCache);

}  // namespace ops
