// CANN's side of both operators: inference, and tiling from shapes, dtypes and the part's numbers.
#include "ms_scatter_pa_paged_host.h"

#include <cstdio>

#include "ms_scatter_pa_op_def.h"
#include "ms_scatter_pa_paged_tiling.h"
#include "tiling/platform/platform_ascendc.h"

namespace mssp_host {
namespace {

// An output that is the memory of an input.
struct Reference {
  size_t output;
  size_t input;
};

constexpr Reference kGatherReferences[] = {{gather::kKeyOutput, gather::kKey},
                                           {gather::kValueOutput, gather::kValue},
                                           {gather::kLastStatusOutput, gather::kLastStatus}};
constexpr Reference kQuantReferences[] = {{quant::kKeyCacheOutput, quant::kKeyCache},
                                          {quant::kValueCacheOutput, quant::kValueCache},
                                          {quant::kKeyScaleCacheOutput, quant::kKeyScaleCache},
                                          {quant::kValueScaleCacheOutput, quant::kValueScaleCache},
                                          {quant::kLastStatusOutput, quant::kLastStatus}};
constexpr size_t kStatus = 0;  // of either operator's outputs

template <size_t COUNT>
ge::graphStatus InferShapes(gert::InferShapeContext* context, const Reference (&references)[COUNT]) {
  gert::Shape* status = context->GetOutputShape(kStatus);
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
  context->SetOutputDataType(kStatus, ge::DT_INT64);
  for (const Reference& reference : references) {
    context->SetOutputDataType(reference.output, context->GetInputDataType(reference.input));
  }
  return ge::GRAPH_SUCCESS;
}

ge::graphStatus Refused(const gert::TilingContext* context, const char* reason) {
  std::fprintf(stderr, "[ERROR] %s: %s\n", context->GetNodeName(), reason);
  return ge::GRAPH_FAILED;
}

bool ReadDims(const gert::TilingContext* context, size_t index, TensorShape* shape) {
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

// MsspElementType of an input; -1 where it is none.
int32_t TypeOf(const gert::TilingContext* context, size_t index) {
  const gert::CompileTimeTensorDesc* description = context->GetInputDesc(index);
  return description == nullptr ? -1 : ElementType(description->GetDataType());
}

// Where an operator has what a call is described by.
struct TypedInputs {
  size_t key;
  size_t value;
  size_t key_cache;
  size_t value_cache;
  size_t index;
};

ge::graphStatus TilePaged(gert::TilingContext* context, const TypedInputs& typed,
                          const char* (*compute)(const PagedCall&, MsspPagedTiling*)) {
  PagedCall call = {};
  for (size_t i = 0; i < static_cast<size_t>(kPagedInputs); ++i) {
    if (!ReadDims(context, i, &call.shapes[i])) {
      return Refused(context, "an input has no shape, or too many dimensions");
    }
  }
  call.key_type = TypeOf(context, typed.key);
  call.value_type = TypeOf(context, typed.value);
  call.key_cache_type = TypeOf(context, typed.key_cache);
  call.value_cache_type = TypeOf(context, typed.value_cache);
  const gert::CompileTimeTensorDesc* index = context->GetInputDesc(typed.index);
  if (call.key_type < 0 || call.value_type < 0 || call.key_cache_type < 0 || call.value_cache_type < 0 ||
      index == nullptr) {
    return Refused(context, "an input has a dtype that the operator does not know");
  }
  call.index_type = index->GetDataType() == ge::DT_INT64 ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;

  const auto platform = platform_ascendc::PlatformAscendC(context->GetPlatformInfo());
  uint64_t unified_buffer = 0;
  platform.GetCoreMemSize(platform_ascendc::CoreMemType::UB, unified_buffer);
  call.cores = static_cast<int32_t>(platform.GetCoreNumAiv());
  call.unified_buffer_bytes = static_cast<int64_t>(unified_buffer);

  auto* tiling = context->GetTilingData<MsspPagedTiling>();
  size_t* workspace = context->GetWorkspaceSizes(1);
  if (tiling == nullptr || workspace == nullptr) {
    return Refused(context, "no room for the tiling data");
  }
  const char* wrong = compute(call, tiling);
  if (wrong != nullptr) {
    return Refused(context, wrong);
  }
  workspace[0] = 0;
  context->SetBlockDim(static_cast<uint32_t>(tiling->used_cores));
  return ge::GRAPH_SUCCESS;
}

}  // namespace

ge::graphStatus GatherInferShape(gert::InferShapeContext* context) { return InferShapes(context, kGatherReferences); }

ge::graphStatus GatherInferDataType(gert::InferDataTypeContext* context) {
  return InferTypes(context, kGatherReferences);
}

ge::graphStatus GatherTiling(gert::TilingContext* context) {
  const TypedInputs typed = {gather::kKey, gather::kValue, gather::kKeyCache, gather::kValueCache,
                             gather::kBlockTables};
  return TilePaged(context, typed, ComputeGatherTiling);
}

ge::graphStatus QuantInferShape(gert::InferShapeContext* context) { return InferShapes(context, kQuantReferences); }

ge::graphStatus QuantInferDataType(gert::InferDataTypeContext* context) {
  return InferTypes(context, kQuantReferences);
}

ge::graphStatus QuantTiling(gert::TilingContext* context) {
  const TypedInputs typed = {quant::kKey, quant::kValue, quant::kKeyCache, quant::kValueCache, quant::kSlotMapping};
  return TilePaged(context, typed, ComputeQuantTiling);
}

}  // namespace mssp_host
