// What the op definition registers.
#ifndef MS_SCATTER_PA_KV_CACHE_HOST_H_
#define MS_SCATTER_PA_KV_CACHE_HOST_H_

#include "exe_graph/runtime/infer_datatype_context.h"
#include "exe_graph/runtime/infer_shape_context.h"
#include "exe_graph/runtime/tiling_context.h"

namespace mssp_host {

ge::graphStatus InferShape(gert::InferShapeContext* context);
ge::graphStatus InferDataType(gert::InferDataTypeContext* context);
ge::graphStatus Tiling(gert::TilingContext* context);
ge::graphStatus TilingStrided(gert::TilingContext* context);

}  // namespace mssp_host

#endif  // MS_SCATTER_PA_KV_CACHE_HOST_H_
