#include "ms_scatter_pa_kv_cache_host.h"
#include "ms_scatter_pa_kv_cache_tiling.h"

namespace mssp_host {

ge::graphStatus InferShape(gert::InferShapeContext* context) {
  const gert::Shape* key_cache = context->GetInputShape(kKeyCache);
  const gert::Shape* value_cache = context->GetInputShape(kValueCache);
  gert::Shape* status = context->GetOutputShape(kStatusOutput);
  gert::Shape* key_cache_out = context->GetOutputShape(kKeyCacheOutput);
  gert::Shape* value_cache_out = context->GetOutputShape(kValueCacheOutput);
  const gert::Shape* last_status = context->GetInputShape(kLastStatus);
  gert::Shape* last_status_out = context->GetOutputShape(kLastStatusOutput);
  if (key_cache == nullptr || value_cache == nullptr || last_status == nullptr || status == nullptr ||
      key_cache_out == nullptr || value_cache_out == nullptr || last_status_out == nullptr) {
    return ge::GRAPH_FAILED;
  }
  status->SetDimNum(1);
  status->SetDim(0, MSSP_STATUS_SIZE);
  *key_cache_out = *key_cache;
  *value_cache_out = *value_cache;
  *last_status_out = *last_status;
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus InferDataType(gert::InferDataTypeContext* context) {
  context->SetOutputDataType(kStatusOutput, ge::DT_INT64);
  context->SetOutputDataType(kKeyCacheOutput, context->GetInputDataType(kKeyCache));
  context->SetOutputDataType(kValueCacheOutput, context->GetInputDataType(kValueCache));
  context->SetOutputDataType(kLastStatusOutput, ge::DT_INT64);
  return ge::GRAPH_SUCCESS;
}

}  // namespace mssp_host
