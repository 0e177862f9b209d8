#ifndef MS_SCATTER_PA_STAND_IN_INFER_DATATYPE_CONTEXT_H_
#define MS_SCATTER_PA_STAND_IN_INFER_DATATYPE_CONTEXT_H_

#include <vector>

#include "graph/types.h"

namespace gert {

class InferDataTypeContext {
 public:
  ge::DataType GetInputDataType(size_t index) const { return index < inputs.size() ? inputs[index] : ge::DT_UNDEFINED; }
  ge::graphStatus SetOutputDataType(size_t index, ge::DataType type) {
    if (index >= outputs.size()) {
      return ge::GRAPH_FAILED;
    }
    outputs[index] = type;
    return ge::GRAPH_SUCCESS;
  }

  // The stand-in's own.
  std::vector<ge::DataType> inputs;
  std::vector<ge::DataType> outputs;
};

}  // namespace gert

#endif  // MS_SCATTER_PA_STAND_IN_INFER_DATATYPE_CONTEXT_H_
