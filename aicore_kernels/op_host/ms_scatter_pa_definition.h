// What the op definitions have in common.
#ifndef MS_SCATTER_PA_DEFINITION_H_
#define MS_SCATTER_PA_DEFINITION_H_

#include <vector>

#include "register/op_def_registry.h"

namespace mssp_host {

using Types = std::vector<ge::DataType>;

inline void Describe(ops::OpParamDef& tensor, const Types& types) {
  const std::vector<ge::Format> formats(types.size(), ge::FORMAT_ND);
  tensor.ParamType(ops::REQUIRED).DataType(types).Format(formats).UnknownShapeFormat(formats);
}

template <size_t COUNT>
void AddParts(ops::OpDef& definition, const char* const (&socs)[COUNT]) {
  for (const char* soc : socs) {
    definition.AICore().AddConfig(soc);
  }
}

// Parts whose tensors `config` describes, and not the definition.
template <size_t COUNT>
void AddParts(ops::OpDef& definition, const char* const (&socs)[COUNT], ops::OpAICoreConfig& config) {
  config.DynamicCompileStaticFlag(true)
      .DynamicFormatFlag(true)
      .DynamicRankSupportFlag(true)
      .DynamicShapeSupportFlag(true)
      .NeedCheckSupportFlag(false)
      .PrecisionReduceFlag(true);
  for (const char* soc : socs) {
    definition.AICore().AddConfig(soc, config);
  }
}

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_DEFINITION_H_
