#ifndef MS_SCATTER_PA_STAND_IN_TILING_CONTEXT_H_
#define MS_SCATTER_PA_STAND_IN_TILING_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "exe_graph/runtime/shape.h"
#include "graph/types.h"

namespace fe {

// What CANN's platform configuration says of a part.
struct PlatFormInfos {
  uint32_t vector_cores;
  uint32_t cube_cores;
  uint64_t unified_buffer_bytes;
};

}  // namespace fe

namespace gert {

class CompileTimeTensorDesc {
 public:
  explicit CompileTimeTensorDesc(ge::DataType type) : type_(type) {}
  ge::DataType GetDataType() const { return type_; }

 private:
  ge::DataType type_;
};

class RuntimeAttrs {
 public:
  const int64_t* GetInt(size_t index) const { return index < numbers.size() ? &numbers[index] : nullptr; }

  std::vector<int64_t> numbers;
};

class TilingContext {
 public:
  const RuntimeAttrs* GetAttrs() const { return &attributes; }
  const char* GetNodeName() const { return node_name.c_str(); }
  const StorageShape* GetInputShape(size_t index) const { return index < inputs.size() ? &inputs[index] : nullptr; }
  const CompileTimeTensorDesc* GetInputDesc(size_t index) const {
    return index < types.size() ? &types[index] : nullptr;
  }
  fe::PlatFormInfos* GetPlatformInfo() const { return platform; }
  ge::graphStatus SetBlockDim(uint32_t cores) {
    block_dim = cores;
    return ge::GRAPH_SUCCESS;
  }
  // Memory of the runtime's, which is not cleared between launches.
  template <typename T>
  T* GetTilingData() {
    if (tiling_data.size() < sizeof(T)) {
      return nullptr;
    }
    tiling_bytes = sizeof(T);
    return reinterpret_cast<T*>(tiling_data.data());
  }
  size_t* GetWorkspaceSizes(size_t count) { return count <= workspaces.size() ? workspaces.data() : nullptr; }

  // The stand-in's own.
  std::string node_name;
  RuntimeAttrs attributes;
  std::vector<StorageShape> inputs;
  std::vector<CompileTimeTensorDesc> types;
  fe::PlatFormInfos* platform = nullptr;
  uint32_t block_dim = 0;
  std::vector<uint8_t> tiling_data;
  size_t tiling_bytes = 0;
  std::vector<size_t> workspaces;
};

}  // namespace gert

#endif  // MS_SCATTER_PA_STAND_IN_TILING_CONTEXT_H_
