// Inference of all operators: status is int64 [4], every other output is the memory of an input.
#include "ms_scatter_pa_host.h"
#include "ms_scatter_pa_paged_op_def.h"

namespace mssp_host {
namespace {

template <size_t COUNT>
ge::graphStatus InferShapes(gert::InferShapeContext* context, const Reference (&references)[COUNT]) {
  gert::Shape* status = context->GetOutputShape(kStatusOutput);
  if (status == nullptr) {
    return ge::GRAPH_FAILED;
  }
  status->SetDimNum(1);
  status->SetDim(0, MSSP_STATUS_SIZE);
  for (const Reference& reference : references) {
    const gert::Shape* input = context->GetInputShape(reference.input);
    gert::Shape* output = context->GetOutputShape(reference.output);
    if (input == nullptr || output == nullptr) {
      return ge::GRAPH_FAILED;
    }
    *output = *input;
  }
  return ge::GRAPH_SUCCESS;
}

template <size_t COUNT>
ge::graphStatus InferTypes(gert::InferDataTypeContext* context, const Reference (&references)[COUNT]) {
  context->SetOutputDataType(kStatusOutput, ge::DT_INT64);
  for (const Reference& reference : references) {
    context->SetOutputDataType(reference.output, context->GetInputDataType(reference.input));
  }
  return ge::GRAPH_SUCCESS;
}

}  // namespace

ge::graphStatus InferShape(gert::InferShapeContext* context) { return InferShapes(context, kReferences); }
ge::graphStatus InferDataType(gert::InferDataTypeContext* context) { return InferTypes(context, kReferences); }

ge::graphStatus GatherInferShape(gert::InferShapeContext* context) { return InferShapes(context, gather::kReferences); }
ge::graphStatus GatherInferDataType(gert::InferDataTypeContext* context) {
  return InferTypes(context, gather::kReferences);
}

ge::graphStatus QuantInferShape(gert::InferShapeContext* context) { return InferShapes(context, quant::kReferences); }
ge::graphStatus QuantInferDataType(gert::InferDataTypeContext* context) {
  return InferTypes(context, quant::kReferences);
}

}  // namespace mssp_host
