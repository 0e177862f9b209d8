// CANN's side of tiling, of all operators: shapes, dtypes and the part's numbers in, the struct that the kernel reads
// out.
#include <cstdio>

#include "ms_scatter_pa_host.h"
#include "ms_scatter_pa_kv_cache_tiling.h"
#include "ms_scatter_pa_op_def.h"
#include "ms_scatter_pa_paged_tiling.h"
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

// MsspElementType of an input; -1 where it is none.
int32_t TypeOf(const gert::TilingContext* context, size_t index) {
  ge::DataType type = ge::DT_UNDEFINED;
  return ReadType(context, index, &type) ? ElementType(type) : -1;
}

int32_t IndexType(ge::DataType index) { return index == ge::DT_INT64 ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32; }

// What every operator's tiling ends with; `call` has its shapes and types.
template <typename CallType, typename TilingData>
ge::graphStatus Compute(gert::TilingContext* context, CallType* call,
                        const char* (*compute)(const CallType&, TilingData*)) {
  const auto platform = platform_ascendc::PlatformAscendC(context->GetPlatformInfo());
  uint64_t unified_buffer = 0;
  platform.GetCoreMemSize(platform_ascendc::CoreMemType::UB, unified_buffer);
  call->cores = static_cast<int32_t>(platform.GetCoreNumAiv());
  call->unified_buffer_bytes = static_cast<int64_t>(unified_buffer);

  auto* tiling = context->GetTilingData<TilingData>();
  size_t* workspace = context->GetWorkspaceSizes(1);
  if (tiling == nullptr || workspace == nullptr) {
    return Refuse(context, "no room for the tiling data");
  }
  const char* wrong = compute(*call, tiling);
  if (wrong != nullptr) {
    return Refuse(context, wrong);
  }
  workspace[0] = 0;
  context->SetBlockDim(static_cast<uint32_t>(tiling->used_cores));
  return ge::GRAPH_SUCCESS;
}

template <typename CallType>
bool ReadShapes(const gert::TilingContext* context, CallType* call) {
  size_t index = 0;
  for (TensorShape& shape : call->shapes) {
    if (!ReadShape(context, index++, &shape)) {
      return false;
    }
  }
  return true;
}

constexpr const char* kNoShape = "an input has no shape, or too many dimensions";

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
  if (!ReadShapes(context, &call)) {
    return Refuse(context, kNoShape);
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
  call.index_type = IndexType(index);
  return Compute(context, &call, ComputeTiling);
}

// Where the gather or the quantising write has what a call is described by.
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
  if (!ReadShapes(context, &call)) {
    return Refuse(context, kNoShape);
  }
  call.key_type = TypeOf(context, typed.key);
  call.value_type = TypeOf(context, typed.value);
  call.key_cache_type = TypeOf(context, typed.key_cache);
  call.value_cache_type = TypeOf(context, typed.value_cache);
  ge::DataType index = ge::DT_UNDEFINED;
  if (call.key_type < 0 || call.value_type < 0 || call.key_cache_type < 0 || call.value_cache_type < 0 ||
      !ReadType(context, typed.index, &index)) {
    return Refuse(context, "an input has a dtype that the operator does not know");
  }
  call.index_type = IndexType(index);
  return Compute(context, &call, compute);
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

ge::graphStatus GatherTiling(gert::TilingContext* context) {
  const TypedInputs typed = {gather::kKey, gather::kValue, gather::kKeyCache, gather::kValueCache,
                             gather::kBlockTables};
  return TilePaged(context, typed, ComputeGatherTiling);
}

ge::graphStatus QuantTiling(gert::TilingContext* context) {
  const TypedInputs typed = {quant::kKey, quant::kValue, quant::kKeyCache, quant::kValueCache, quant::kSlotMapping};
  return TilePaged(context, typed, ComputeQuantTiling);
}

}  // namespace mssp_host
