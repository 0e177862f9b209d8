// The op definition's classes. They keep what they are told; op_host.cpp reads it back.
#ifndef MS_SCATTER_PA_STAND_IN_OP_DEF_REGISTRY_H_
#define MS_SCATTER_PA_STAND_IN_OP_DEF_REGISTRY_H_

#include <map>
#include <string>
#include <vector>

#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"
#include "graph/types.h"

namespace ops {

enum Option { IGNORE = 0, OPTIONAL = 1, REQUIRED = 2, DYNAMIC = 3 };

class OpParamDef {
 public:
  explicit OpParamDef(const char* param_name) : name(param_name) {}
  OpParamDef& ParamType(Option option) {
    param_type = option;
    return *this;
  }
  OpParamDef& DataType(std::vector<ge::DataType> list) {
    types = list;
    return *this;
  }
  OpParamDef& Format(std::vector<ge::Format> list) {
    formats = list;
    return *this;
  }
  OpParamDef& UnknownShapeFormat(std::vector<ge::Format> list) {
    unknown_shape_formats = list;
    return *this;
  }

  OpParamDef& DataTypeForBinQuery(std::vector<ge::DataType> list) {
    types_of_binary = list;
    return *this;
  }
  OpParamDef& IgnoreContiguous() {
    ignores_contiguous = true;
    return *this;
  }

  // The stand-in's own, as in all classes here.
  std::string name;
  std::vector<ge::DataType> types_of_binary;
  bool ignores_contiguous = false;
  Option param_type = IGNORE;
  std::vector<ge::DataType> types;
  std::vector<ge::Format> formats;
  std::vector<ge::Format> unknown_shape_formats;
};

class OpAttrDef {
 public:
  explicit OpAttrDef(const char* attr_name) : name(attr_name) {}
  OpAttrDef& AttrType(Option option) {
    attr_type = option;
    return *this;
  }
  OpAttrDef& Int() { return *this; }

  std::string name;
  Option attr_type = IGNORE;
};

struct Params {
  std::vector<OpParamDef> list;

  OpParamDef& Named(const char* name) {
    for (OpParamDef& param : list) {
      if (param.name == name) {
        return param;
      }
    }
    list.push_back(OpParamDef(name));
    return list.back();
  }
};

class OpAICoreConfig {
 public:
  OpParamDef& Input(const char* name) { return inputs.Named(name); }
  OpParamDef& Output(const char* name) { return outputs.Named(name); }
  OpAICoreConfig& DynamicCompileStaticFlag(bool flag) { return Set("DynamicCompileStaticFlag", flag); }
  OpAICoreConfig& DynamicFormatFlag(bool flag) { return Set("DynamicFormatFlag", flag); }
  OpAICoreConfig& DynamicRankSupportFlag(bool flag) { return Set("DynamicRankSupportFlag", flag); }
  OpAICoreConfig& DynamicShapeSupportFlag(bool flag) { return Set("DynamicShapeSupportFlag", flag); }
  OpAICoreConfig& NeedCheckSupportFlag(bool flag) { return Set("NeedCheckSupportFlag", flag); }
  OpAICoreConfig& PrecisionReduceFlag(bool flag) { return Set("PrecisionReduceFlag", flag); }
  OpAICoreConfig& ExtendCfgInfo(const char* key, const char* value) {
    values[key] = value;
    return *this;
  }

  Params inputs;
  Params outputs;
  std::map<std::string, std::string> values;

 private:
  OpAICoreConfig& Set(const char* flag, bool value) { return ExtendCfgInfo(flag, value ? "true" : "false"); }
};

class OpAICoreDef {
 public:
  using Tiling = ge::graphStatus (*)(gert::TilingContext*);
  OpAICoreDef& SetTiling(Tiling function) {
    tiling = function;
    return *this;
  }
  // Without a configuration of its own a soc gets CANN's: every shape dynamic, everything from the definition.
  OpAICoreDef& AddConfig(const char* soc) {
    OpAICoreConfig config;
    config.DynamicCompileStaticFlag(true)
        .DynamicFormatFlag(true)
        .DynamicRankSupportFlag(true)
        .DynamicShapeSupportFlag(true)
        .NeedCheckSupportFlag(false)
        .PrecisionReduceFlag(true);
    return AddConfig(soc, config);
  }
  OpAICoreDef& AddConfig(const char* soc, OpAICoreConfig& config) {
    configs.insert({soc, config});
    return *this;
  }

  Tiling tiling = nullptr;
  std::map<std::string, OpAICoreConfig> configs;
};

class OpDef {
 public:
  using Shapes = ge::graphStatus (*)(gert::InferShapeContext*);
  using DataTypes = ge::graphStatus (*)(gert::InferDataTypeContext*);

  explicit OpDef(const char* op_type) : type(op_type) {}
  OpParamDef& Input(const char* name) { return inputs.Named(name); }
  OpParamDef& Output(const char* name) { return outputs.Named(name); }
  OpAttrDef& Attr(const char* name) {
    attributes.push_back(OpAttrDef(name));
    return attributes.back();
  }
  OpDef& SetInferShape(Shapes function) {
    infer_shape = function;
    return *this;
  }
  OpDef& SetInferDataType(DataTypes function) {
    infer_data_type = function;
    return *this;
  }
  OpAICoreDef& AICore() { return aicore; }

  std::string type;
  Params inputs;
  Params outputs;
  std::vector<OpAttrDef> attributes;
  Shapes infer_shape = nullptr;
  DataTypes infer_data_type = nullptr;
  OpAICoreDef aicore;
};

// All operators of the library that is loaded.
std::vector<OpDef>& Registered();

struct Registrar {
  explicit Registrar(const OpDef& definition) { Registered().push_back(definition); }
};

}  // namespace ops

#define OP_ADD(type) static const ops::Registrar stand_in_registers_##type((type(#type)))

#endif  // MS_SCATTER_PA_STAND_IN_OP_DEF_REGISTRY_H_
