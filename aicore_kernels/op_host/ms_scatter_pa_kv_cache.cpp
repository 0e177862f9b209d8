// The op definitions: every tensor required. MsScatterPaKvCache has no attributes, so that both of MindSpore's modes
// can call it; `mode` carries the modes in its shape. MsScatterPaKvCacheStrided, which only the PyNative extension
// calls, is told by four attributes how far apart tokens and cache blocks lie. status comes before the references,
// which have the names of inputs.
#include "ms_scatter_pa_definition.h"
#include "ms_scatter_pa_host.h"
#include "ms_scatter_pa_op_def.h"

namespace ops {
namespace {

using mssp_host::Types;

// The kernel never asks for a dtype at compile time: the binary of the first column serves all. Toolkits that do not
// know this compile one for each column.
template <typename Param>
auto ShareBinary(Param& tensor, const Types& types, int) -> decltype(tensor.DataTypeForBinQuery(types), void()) {
  tensor.DataTypeForBinQuery(Types(types.size(), types[0]));
}
template <typename Param>
void ShareBinary(Param&, const Types&, long) {}

void Describe(OpParamDef& tensor, const Types& types) {
  mssp_host::Describe(tensor, types);
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
    mssp_host::DescribeA2MsScatterPaKvCache(*this, Describe);
    if (strided) {
      IgnoreStrides(*this);
    }
    this->SetInferShape(mssp_host::InferShape).SetInferDataType(mssp_host::InferDataType);
    this->AICore().SetTiling(tiling);
    mssp_host::AddParts(*this, mssp_host::kA2Socs);
#ifdef MS_SCATTER_PA_WITH_ASCEND950
    OpAICoreConfig config;
    mssp_host::Describe950MsScatterPaKvCache(config, Describe);
    if (strided) {
      IgnoreStrides(config);
    }
    mssp_host::AddParts(*this, mssp_host::k950Socs, config);
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
