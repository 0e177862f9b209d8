// CANN's side of tiling: shapes, dtypes and the part's numbers in, the struct that the kernel reads out.
#include "ms_scatter_pa_kv_cache_tiling.h"

#include <cstdio>

#include "ms_scatter_pa_kv_cache_host.h"
#include "ms_scatter_pa_op_def.h"
#include "tiling/platform/platform_ascendc.h"

namespace mssp_host {
namespace {

ge::graphStatus Refuse(const gert::TilingContext* context, const char* reason) {
  std::fprintf(stderr, "[ERROR] %s: %s\n", context->GetNodeName(), reason);
  return ge::GRAPH_FAILED;
}

bool ReadShape(const gert::TilingContext* context, size_t index, TensorShape* shape) {
  const gert::StorageShape* given = context->GetInputShape(index);
  if (given == nullptr || given->GetStorageShape().GetDimNum() > static_cast<size_t>(kMaxRank)) {
    return false;
  }
  shape->rank = static_cast<int64_t>(given->GetStorageShape().GetDimNum());
  for (int64_t i = 0; i < shape->rank; ++i) {
    shape->dims[i] = given->GetStorageShape().GetDim(static_cast<size_t>(i));
  }
  return true;
}

bool ReadType(const gert::TilingContext* context, size_t index, ge::DataType* type) {
  const gert::CompileTimeTensorDesc* description = context->GetInputDesc(index);
  if (description == nullptr) {
    return false;
  }
  *type = description->GetDataType();
  return true;
}

// The four attributes of the strided operator, in the order of its first four inputs.
bool ReadStrides(const gert::TilingContext* context, Call* call) {
  const gert::RuntimeAttrs* attributes = context->GetAttrs();
  for (size_t i = 0; i < static_cast<size_t>(kStrided); ++i) {
    const int64_t* stride = attributes == nullptr ? nullptr : attributes->GetInt(i);
    if (stride == nullptr) {
      return false;
    }
    call->strides[i] = *stride;
  }
  return true;
}

ge::graphStatus Tile(gert::TilingContext* context, Call call) {
  for (size_t i = 0; i < kInputs; ++i) {
    if (!ReadShape(context, i, &call.shapes[i])) {
      return Refuse(context, "an input has no shape, or too many dimensions");
    }
  }
  ge::DataType key = ge::DT_UNDEFINED;
  ge::DataType value = ge::DT_UNDEFINED;
  ge::DataType index = ge::DT_UNDEFINED;
  if (!ReadType(context, kKey, &key) || !ReadType(context, kValue, &value) ||
      !ReadType(context, kSlotMapping, &index)) {
    return Refuse(context, "an input has no dtype");
  }
  call.key_type = ElementType(key);
  call.value_type = ElementType(value);
  if (call.key_type < 0 || call.value_type < 0) {
    return Refuse(context, "key, value: a dtype that the operator does not know");
  }
  call.index_type = index == ge::DT_INT64 ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;

  const auto platform = platform_ascendc::PlatformAscendC(context->GetPlatformInfo());
  uint64_t unified_buffer = 0;
  platform.GetCoreMemSize(platform_ascendc::CoreMemType::UB, unified_buffer);
  call.cores = static_cast<int32_t>(platform.GetCoreNumAiv());
  call.unified_buffer_bytes = static_cast<int64_t>(unified_buffer);

  auto* tiling = context->GetTilingData<MsScatterPaKvCacheTiling>();
  size_t* workspace = context->GetWorkspaceSizes(1);
  if (tiling == nullptr || workspace == nullptr) {
    return Refuse(context, "no room for the tiling data");
  }
  const char* wrong = ComputeTiling(call, tiling);
  if (wrong != nullptr) {
    return Refuse(context, wrong);
  }
  workspace[0] = 0;
  context->SetBlockDim(static_cast<uint32_t>(tiling->used_cores));
  return ge::GRAPH_SUCCESS;
}

}  // namespace

ge::graphStatus Tiling(gert::TilingContext* context) { return Tile(context, Call()); }

ge::graphStatus TilingStrided(gert::TilingContext* context) {
  Call call = {};
  if (!ReadStrides(context, &call)) {
    return Refuse(context, "a stride is missing");
  }
  return Tile(context, call);
}

}  // namespace mssp_host
