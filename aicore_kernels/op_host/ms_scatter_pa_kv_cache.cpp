// The op definition: every tensor required, no attributes, so that both of MindSpore's modes can call it. `mode`
// carries the modes in its shape. status comes before the references, which have the names of inputs.
#include "ms_scatter_pa_kv_cache_host.h"
#include "ms_scatter_pa_op_def.h"
#include "register/op_def_registry.h"

namespace ops {
namespace {

using Types = std::vector<ge::DataType>;

void Describe(OpParamDef& tensor, const Types& types) {
  const std::vector<ge::Format> formats(types.size(), ge::FORMAT_ND);
  tensor.ParamType(REQUIRED).DataType(types).Format(formats).UnknownShapeFormat(formats);
}

}  // namespace

class MsScatterPaKvCache : public OpDef {
 public:
  explicit MsScatterPaKvCache(const char* name) : OpDef(name) {
    mssp_host::DescribeAllMsScatterPaKvCache(*this, Describe, mssp_host::kA2KeyTypes, mssp_host::kA2ValueTypes,
                                             mssp_host::kA2IndexTypes);
    this->SetInferShape(mssp_host::InferShape).SetInferDataType(mssp_host::InferDataType);
    this->AICore().SetTiling(mssp_host::Tiling);
    for (const char* soc : mssp_host::kA2Socs) {
      this->AICore().AddConfig(soc);
    }
#ifdef MS_SCATTER_PA_WITH_ASCEND950
    OpAICoreConfig config;
    config.DynamicCompileStaticFlag(true)
        .DynamicFormatFlag(true)
        .DynamicRankSupportFlag(true)
        .DynamicShapeSupportFlag(true)
        .NeedCheckSupportFlag(false)
        .PrecisionReduceFlag(true);
    mssp_host::DescribeAllMsScatterPaKvCache(config, Describe, mssp_host::k950KeyTypes, mssp_host::k950ValueTypes,
                                             mssp_host::k950IndexTypes);
    for (const char* soc : mssp_host::k950Socs) {
      this->AICore().AddConfig(soc, config);
    }
#endif
  }
};

OP_ADD(MsScatterPaKvCache);

}  // namespace ops
