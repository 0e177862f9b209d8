// What the op definitions register.
#ifndef MS_SCATTER_PA_HOST_H_
#define MS_SCATTER_PA_HOST_H_

#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"

namespace mssp_host {

ge::graphStatus InferShape(gert::InferShapeContext* context);
ge::graphStatus InferDataType(gert::InferDataTypeContext* context);
ge::graphStatus Tiling(gert::TilingContext* context);
ge::graphStatus TilingStrided(gert::TilingContext* context);

ge::graphStatus GatherInferShape(gert::InferShapeContext* context);
ge::graphStatus GatherInferDataType(gert::InferDataTypeContext* context);
ge::graphStatus GatherTiling(gert::TilingContext* context);

ge::graphStatus QuantInferShape(gert::InferShapeContext* context);
ge::graphStatus QuantInferDataType(gert::InferDataTypeContext* context);
ge::graphStatus QuantTiling(gert::TilingContext* context);

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_HOST_H_
