// The aclnn interface of the Ascend operator, on the host model: op_host's tiling and the kernel.
#ifndef MS_SCATTER_PA_ACLNN_ON_MODEL_H_
#define MS_SCATTER_PA_ACLNN_ON_MODEL_H_

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "element_types.h"
#include "model_call.h"
#include "ms_extension/api.h"

namespace on_model {

// An argument of aclnn...GetWorkspaceSize: a tensor, or an attribute.
struct Argument {
  Argument(const mindspore::tensor::TensorPtr& given) : tensor(given) {}  // NOLINT: as aclnn takes either
  Argument(const std::optional<mindspore::tensor::TensorPtr>& given)      // NOLINT
      : tensor(given.value_or(nullptr)), absent(!given.has_value()) {}
  Argument(int64_t given) : number(given) {}           // NOLINT
  Argument(const std::string& given) : text(given) {}  // NOLINT
  Argument(const std::vector<int64_t>& /*given*/) {}   // NOLINT
  mindspore::tensor::TensorPtr tensor;
  bool absent = false;
  int64_t number = 0;
  std::string text;
};

template <typename... Given>
std::vector<Argument> Arguments(const Given&... given) {
  return {Argument(given)...};
}

using mindspore::tensor::Tensor;

inline int32_t TypeOf(const Tensor& tensor) {
  switch (tensor.data_type()) {
#define MS_SCATTER_PA_CASE(name, id, type) \
  case mindspore::id:                      \
    return type;
    MS_SCATTER_PA_ELEMENT_TYPES(MS_SCATTER_PA_CASE)
#undef MS_SCATTER_PA_CASE
    default:
      throw std::runtime_error("host model: a dtype that the operator is not registered for");
  }
}

// Throws where the chip would fail or write elsewhere: an argument that is null, a view that the interface copies.
inline HostModelTensor Memory(const mindspore::tensor::TensorPtr& tensor, const std::string& what,
                              bool may_be_strided = false) {
  Expect(tensor != nullptr, what + " is a null pointer");
  Expect(may_be_strided || tensor->is_contiguous(), what + " is not contiguous");
  const auto& address = tensor->device_address();
  Expect(address != nullptr && address->GetMutablePtr() != nullptr, what + " has no memory");
  const auto width = static_cast<int64_t>(tensor->DataItemSize());
  auto* data = static_cast<uint8_t*>(address->GetMutablePtr()) + tensor->storage_offset() * width;
  if (tensor->is_contiguous()) {
    return {data, static_cast<int64_t>(tensor->DataSize()) * width};
  }
  int64_t last = 0;
  for (size_t axis = 0; axis < tensor->shape().size(); ++axis) {
    last += (tensor->shape()[axis] - 1) * tensor->stride()[axis];
  }
  return {data, (last + 1) * width};
}

inline void SetShape(const Tensor& tensor, mssp_host::TensorShape* shape) {
  shape->rank = static_cast<int64_t>(tensor.shape().size());
  for (size_t axis = 0; axis < tensor.shape().size(); ++axis) {
    shape->dims[axis] = tensor.shape()[axis];
  }
}

inline void SetTypes(const Tensor& key, const Tensor& value, const Tensor& slot_mapping, mssp_host::Call* call) {
  call->key_type = TypeOf(key);
  call->value_type = TypeOf(value);
  call->index_type = slot_mapping.data_type() == mindspore::kNumberTypeInt64 ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;
}

inline void LaunchOwn(const std::vector<Argument>& arguments, bool strided) {
  strided_launches += strided ? 1 : 0;
  Expect(arguments.size() == static_cast<size_t>(kTensors + (strided ? mssp_host::kStrided : 0)), "argument count");
  mssp_host::Call call = {};
  std::array<HostModelTensor, kTensors> tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& tensor = i == kStatus ? arguments.back().tensor : arguments[i].tensor;
    tensors[i] = Memory(tensor, "argument " + std::to_string(i), strided && i < mssp_host::kStrided);
    addresses[i] = reinterpret_cast<int64_t>(tensors[i].data);
    if (i != kStatus) {
      SetShape(*tensor, &call.shapes[i]);
    }
  }
  for (size_t i = 0; strided && i < mssp_host::kStrided; ++i) {
    call.strides[i] = arguments[mssp_host::kInputs + i].number;
  }
  Expect(tensors[kStatus].bytes == MSSP_STATUS_SIZE * 8, "status: expected int64 [4]");
  SetTypes(*arguments[mssp_host::kKey].tensor, *arguments[mssp_host::kValue].tensor,
           *arguments[mssp_host::kSlotMapping].tensor, &call);
  RunCall(&call, tensors, strided);
}

// CANN's own operator: other places for the same arguments, modes by name, no status.
inline void LaunchCanns(const std::vector<Argument>& arguments) {
  constexpr int kPlaces[] = {
      mssp_host::kKey,        mssp_host::kKeyCache,     mssp_host::kSlotMapping,        mssp_host::kValue,
      mssp_host::kValueCache, mssp_host::kCompressLens, mssp_host::kCompressSeqOffsets, mssp_host::kSeqLens};
  Expect(arguments.size() == 12, "argument count");
  static std::array<int64_t, 4> nothing;
  mssp_host::Call call = {};
  std::array<HostModelTensor, kTensors> tensors;
  tensors.fill({nothing.data(), sizeof(int64_t)});
  for (auto& shape : call.shapes) {
    shape = {1, {1}};
  }
  for (size_t i = 0; i < 8; ++i) {
    if (!arguments[i].absent) {
      tensors[static_cast<size_t>(kPlaces[i])] = Memory(arguments[i].tensor, "argument " + std::to_string(i));
      SetShape(*arguments[i].tensor, &call.shapes[kPlaces[i]]);
    }
  }
  static std::array<int64_t, 4> written;
  tensors[kStatus] = {written.data(), sizeof(written)};
  const std::string& scatter = arguments[9].text;
  const int64_t layout = arguments[8].text == "PA_NZ" ? 1 : scatter == "NHSD" ? 2 : 0;
  const int64_t mode = scatter == "Alibi" ? 1 : scatter == "Rope" ? 2 : scatter == "Omni" ? 3 : 0;
  const bool packed = mode != 0 && arguments[0].tensor->shape().size() == 3;
  call.shapes[mssp_host::kMode] = {4, {1 + layout, 1 + mode, arguments[3].absent ? 2 : 1, packed ? 2 : 1}};
  SetTypes(*arguments[0].tensor, *(arguments[3].absent ? arguments[0] : arguments[3]).tensor, *arguments[2].tensor,
           &call);
  RunCall(&call, tensors);
}

inline void Launch(const std::string& api, const std::vector<Argument>& arguments) {
  if (api == "aclnnMsScatterPaKvCache" || api == "aclnnMsScatterPaKvCacheStrided") {
    LaunchOwn(arguments, api != "aclnnMsScatterPaKvCache");
  } else {
    Expect(api == "aclnnScatterPaKvCache", "no interface " + api);
    LaunchCanns(arguments);
  }
}

}  // namespace on_model

#endif  // MS_SCATTER_PA_ACLNN_ON_MODEL_H_
