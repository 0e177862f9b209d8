// What CANN's runtime and compiler do with op_host: read its definition, infer, tile. Plain C, for ctypes.
#include <cstring>
#include <sstream>
#include <string>

#include "register/op_def_registry.h"

namespace ops {

std::vector<OpDef>& Registered() {
  static std::vector<OpDef> definitions;
  return definitions;
}

}  // namespace ops

namespace {

const ops::OpDef* Find(const char* type) {
  for (const ops::OpDef& definition : ops::Registered()) {
    if (definition.type == type) {
      return &definition;
    }
  }
  return nullptr;
}

template <typename T>
void Numbers(std::ostringstream& out, const char* name, const std::vector<T>& values) {
  out << ",\"" << name << "\":[";
  for (size_t i = 0; i < values.size(); ++i) {
    out << (i > 0 ? "," : "") << static_cast<int>(values[i]);
  }
  out << "]";
}

// A soc's parameters: those of the definition, each replaced by the soc's own of the same name, then the others.
void Merged(std::ostringstream& out, const char* name, const ops::Params& common, const ops::Params& own) {
  ops::Params merged = common;
  for (const ops::OpParamDef& param : own.list) {
    merged.Named(param.name.c_str()) = param;
  }
  out << ",\"" << name << "\":[";
  for (size_t i = 0; i < merged.list.size(); ++i) {
    const ops::OpParamDef& param = merged.list[i];
    out << (i > 0 ? ",{" : "{") << "\"name\":\"" << param.name << "\",\"param_type\":" << param.param_type;
    Numbers(out, "dtypes", param.types);
    Numbers(out, "formats", param.formats);
    Numbers(out, "unknown_shape_formats", param.unknown_shape_formats);
    Numbers(out, "types_of_binary", param.types_of_binary);
    out << ",\"ignores_contiguous\":" << param.ignores_contiguous << "}";
  }
  out << "]";
}

void Describe(std::ostringstream& out, const ops::OpDef& definition) {
  out << "{\"type\":\"" << definition.type << "\",\"tiling\":" << (definition.aicore.tiling != nullptr)
      << ",\"infer_shape\":" << (definition.infer_shape != nullptr)
      << ",\"infer_data_type\":" << (definition.infer_data_type != nullptr) << ",\"attributes\":[";
  for (size_t i = 0; i < definition.attributes.size(); ++i) {
    const ops::OpAttrDef& attribute = definition.attributes[i];
    out << (i > 0 ? "," : "") << "[\"" << attribute.name << "\"," << attribute.attr_type << "]";
  }
  out << "],\"socs\":{";
  bool first = true;
  for (const std::pair<const std::string, ops::OpAICoreConfig>& entry : definition.aicore.configs) {
    out << (first ? "\"" : ",\"") << entry.first << "\":{\"values\":{";
    first = true;
    for (const std::pair<const std::string, std::string>& value : entry.second.values) {
      out << (first ? "\"" : ",\"") << value.first << "\":\"" << value.second << "\"";
      first = false;
    }
    out << "}";
    Merged(out, "inputs", definition.inputs, entry.second.inputs);
    Merged(out, "outputs", definition.outputs, entry.second.outputs);
    out << "}";
    first = false;
  }
  out << "}}";
}

}  // namespace

extern "C" {

struct OpHostTensor {
  int64_t rank;
  int64_t dims[gert::Shape::kMaxDimNum];
  int32_t type;
};

struct OpHostTiling {
  int64_t bytes;
  int64_t block_dim;
  int64_t workspace;
};

constexpr int64_t kUnset = -77;  // what memory that nobody has filled holds

// JSON: a list of all operators that the library registers.
const char* OpHostDefinitions() {
  static std::string text;
  std::ostringstream out;
  out << "[";
  for (size_t i = 0; i < ops::Registered().size(); ++i) {
    out << (i > 0 ? "," : "");
    Describe(out, ops::Registered()[i]);
  }
  out << "]";
  text = out.str();
  return text.c_str();
}

}  // extern "C"

namespace {

gert::Shape ShapeOf(const OpHostTensor& tensor) {
  gert::Shape shape;
  shape.SetDimNum(static_cast<size_t>(tensor.rank));
  for (size_t i = 0; i < gert::Shape::kMaxDimNum; ++i) {
    shape.SetDim(i, i < static_cast<size_t>(tensor.rank) ? tensor.dims[i] : kUnset);
    shape.SetDimNum(static_cast<size_t>(tensor.rank));
  }
  return shape;
}

}  // namespace

extern "C" {

// 0 and the tiling; 1 when op_host refuses; 2 when the operator registers no tiling.
int OpHostTile(const char* type, const OpHostTensor* tensors, int64_t count, const int64_t* attributes,
               int64_t attribute_count, const fe::PlatFormInfos* part, uint8_t* data, int64_t capacity,
               OpHostTiling* result) {
  const ops::OpDef* definition = Find(type);
  if (definition == nullptr || definition->aicore.tiling == nullptr) {
    return 2;
  }
  fe::PlatFormInfos platform = *part;
  gert::TilingContext context;
  context.node_name = type;
  context.platform = &platform;
  context.attributes.numbers.assign(attributes, attributes + attribute_count);
  context.tiling_data.assign(static_cast<size_t>(capacity), 0xA5);
  context.workspaces.assign(1, static_cast<size_t>(1) << 40);
  for (int64_t i = 0; i < count; ++i) {
    gert::StorageShape shape;
    shape.MutableOriginShape() = ShapeOf(tensors[i]);
    shape.MutableStorageShape() = ShapeOf(tensors[i]);
    context.inputs.push_back(shape);
    context.types.push_back(gert::CompileTimeTensorDesc(static_cast<ge::DataType>(tensors[i].type)));
  }
  if (definition->aicore.tiling(&context) != ge::GRAPH_SUCCESS) {
    return 1;
  }
  result->bytes = static_cast<int64_t>(context.tiling_bytes);
  result->block_dim = context.block_dim;
  result->workspace = static_cast<int64_t>(context.workspaces[0]);
  std::memcpy(data, context.tiling_data.data(), context.tiling_bytes);
  return 0;
}

// 0 and the outputs' shapes and dtypes; 1 when op_host refuses; 2 when it registers no inference.
int OpHostInfer(const char* type, const OpHostTensor* tensors, int64_t count, OpHostTensor* outputs,
                int64_t output_count) {
  const ops::OpDef* definition = Find(type);
  if (definition == nullptr || definition->infer_shape == nullptr || definition->infer_data_type == nullptr) {
    return 2;
  }
  OpHostTensor unset = {2, {}, ge::DT_UNDEFINED};
  unset.dims[0] = unset.dims[1] = kUnset;
  gert::InferShapeContext shapes;
  gert::InferDataTypeContext types;
  for (int64_t i = 0; i < count; ++i) {
    shapes.inputs.push_back(ShapeOf(tensors[i]));
    types.inputs.push_back(static_cast<ge::DataType>(tensors[i].type));
  }
  shapes.outputs.assign(static_cast<size_t>(output_count), ShapeOf(unset));
  types.outputs.assign(static_cast<size_t>(output_count), ge::DT_UNDEFINED);
  if (definition->infer_shape(&shapes) != ge::GRAPH_SUCCESS ||
      definition->infer_data_type(&types) != ge::GRAPH_SUCCESS) {
    return 1;
  }
  for (size_t i = 0; i < static_cast<size_t>(output_count); ++i) {
    outputs[i].rank = static_cast<int64_t>(shapes.outputs[i].GetDimNum());
    for (size_t j = 0; j < gert::Shape::kMaxDimNum; ++j) {
      outputs[i].dims[j] = shapes.outputs[i].GetDim(j);
    }
    outputs[i].type = types.outputs[i];
  }
  return 0;
}

}  // extern "C"
