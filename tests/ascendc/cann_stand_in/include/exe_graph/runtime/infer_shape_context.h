#ifndef MS_SCATTER_PA_STAND_IN_INFER_SHAPE_CONTEXT_H_
#define MS_SCATTER_PA_STAND_IN_INFER_SHAPE_CONTEXT_H_

#include <vector>

#include "exe_graph/runtime/shape.h"
#include "graph/types.h"

namespace gert {

class InferShapeContext {
 public:
  const Shape* GetInputShape(size_t index) const { return index < inputs.size() ? &inputs[index] : nullptr; }
  Shape* GetOutputShape(size_t index) { return index < outputs.size() ? &outputs[index] : nullptr; }

  // The stand-in's own.
  std::vector<Shape> inputs;
  std::vector<Shape> outputs;
};

}  // namespace gert

#endif  // MS_SCATTER_PA_STAND_IN_INFER_SHAPE_CONTEXT_H_
