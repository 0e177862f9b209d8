// The op definition of the gather: every tensor required, no attributes, so that both of MindSpore's modes can call it.
// `mode` carries the modes in its shape. status comes before the references, which have the names of inputs.
#include "ms_scatter_pa_definition.h"
#include "ms_scatter_pa_host.h"
#include "ms_scatter_pa_paged_op_def.h"

namespace ops {

class MsGatherPaKvCache : public OpDef {
 public:
  explicit MsGatherPaKvCache(const char* name) : OpDef(name) {
    using namespace mssp_host::gather;
    DescribeA2MsGatherPaKvCache(*this, mssp_host::Describe);
    this->SetInferShape(mssp_host::GatherInferShape).SetInferDataType(mssp_host::GatherInferDataType);
    this->AICore().SetTiling(mssp_host::GatherTiling);
    mssp_host::AddParts(*this, mssp_host::kA2Socs);
#ifdef MS_SCATTER_PA_WITH_ASCEND950
    OpAICoreConfig config;
    Describe950MsGatherPaKvCache(config, mssp_host::Describe);
    mssp_host::AddParts(*this, mssp_host::k950Socs, config);
#endif
  }
};

OP_ADD(MsGatherPaKvCache);

}  // namespace ops
