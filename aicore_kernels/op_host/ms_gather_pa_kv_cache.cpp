// The op definition of the gather: every tensor required, no attributes, so that both of MindSpore's modes can call it.
// `mode` carries the modes in its shape. status comes before the references, which have the names of inputs.
#include "ms_scatter_pa_paged_host.h"
#include "ms_scatter_pa_paged_op_def.h"
#include "register/op_def_registry.h"

namespace ops {
namespace {

using Types = std::vector<ge::DataType>;

void Describe(OpParamDef& tensor, const Types& types) {
  const std::vector<ge::Format> formats(types.size(), ge::FORMAT_ND);
  tensor.ParamType(REQUIRED).DataType(types).Format(formats).UnknownShapeFormat(formats);
}

}  // namespace

class MsGatherPaKvCache : public OpDef {
 public:
  explicit MsGatherPaKvCache(const char* name) : OpDef(name) {
    using namespace mssp_host::gather;
    DescribeAllMsGatherPaKvCache(*this, Describe, kA2KeyTypes, kA2ValueTypes, kA2KeyCacheTypes, kA2ValueCacheTypes,
                                 kA2IndexTypes);
    this->SetInferShape(mssp_host::GatherInferShape).SetInferDataType(mssp_host::GatherInferDataType);
    this->AICore().SetTiling(mssp_host::GatherTiling);
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
    DescribeAllMsGatherPaKvCache(config, Describe, k950KeyTypes, k950ValueTypes, k950KeyCacheTypes, k950ValueCacheTypes,
                                 k950IndexTypes);
    for (const char* soc : mssp_host::k950Socs) {
      this->AICore().AddConfig(soc, config);
    }
#endif
  }
};

OP_ADD(MsGatherPaKvCache);

}  // namespace ops
