// The op definitions: every tensor required. MsScatterPaKvCache has no attributes, so that both of MindSpore's modes
// can call it; `mode` carries the modes in its shape. MsScatterPaKvCacheStrided, which only the PyNative extension
// calls, is told by four attributes how far apart tokens and cache blocks lie. status comes before the references,
// which have the names of inputs.
#include "ms_scatter_pa_kv_cache_host.h"
#include "ms_scatter_pa_op_def.h"
#include "register/op_def_registry.h"

namespace ops {
namespace {

using Types = std::vector<ge::DataType>;

// The kernel never asks for a dtype at compile time: the binary of the first column serves all. Toolkits that do not
// know this compile one for each column.
template <typename Param>
auto ShareBinary(Param& tensor, const Types& types, int) -> decltype(tensor.DataTypeForBinQuery(types), void()) {
  tensor.DataTypeForBinQuery(Types(types.size(), types[0]));
}
template <typename Param>
void ShareBinary(Param&, const Types&, long) {}

void Describe(OpParamDef& tensor, const Types& types) {
  const std::vector<ge::Format> formats(types.size(), ge::FORMAT_ND);
  tensor.ParamType(REQUIRED).DataType(types).Format(formats).UnknownShapeFormat(formats);
  ShareBinary(tensor, types, 0);
}

using TilingFunction = ge::graphStatus (*)(gert::TilingContext*);

// Tensors that may lie apart go to the kernel as they are; of others the framework would make a copy.
template <typename Definition>
void IgnoreStrides(Definition& definition) {
  for (const char* tensor : {"key", "value", "key_cache", "value_cache"}) {
    definition.Input(tensor).IgnoreContiguous();
  }
  for (const char* tensor : {"key_cache", "value_cache"}) {
    definition.Output(tensor).IgnoreContiguous();
  }
}

class ScatterPaDef : public OpDef {
 public:
  ScatterPaDef(const char* name, TilingFunction tiling, bool strided) : OpDef(name) {
    mssp_host::DescribeAllMsScatterPaKvCache(*this, Describe, mssp_host::kA2KeyTypes, mssp_host::kA2ValueTypes,
                                             mssp_host::kA2IndexTypes);
    if (strided) {
      IgnoreStrides(*this);
    }
    this->SetInferShape(mssp_host::InferShape).SetInferDataType(mssp_host::InferDataType);
    this->AICore().SetTiling(tiling);
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
    if (strided) {
      IgnoreStrides(config);
    }
    for (const char* soc : mssp_host::k950Socs) {
      this->AICore().AddConfig(soc, config);
    }
#endif
  }
};

}  // namespace

class MsScatterPaKvCache : public ScatterPaDef {
 public:
  explicit MsScatterPaKvCache(const char* name) : ScatterPaDef(name, mssp_host::Tiling, false) {}
};

class MsScatterPaKvCacheStrided : public ScatterPaDef {
 public:
  explicit MsScatterPaKvCacheStrided(const char* name) : ScatterPaDef(name, mssp_host::TilingStrided, true) {
    for (const char* stride : {"key_stride", "value_stride", "key_cache_stride", "value_cache_stride"}) {
      this->Attr(stride).AttrType(REQUIRED).Int();
    }
  }
};

OP_ADD(MsScatterPaKvCache);
OP_ADD(MsScatterPaKvCacheStrided);

}  // namespace ops
