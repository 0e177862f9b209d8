// Calls the installed operator's aclnn functions on every case: for `cannsim record -s Ascend950`, or a card. Here
// op_host tiles, infers and is looked up by dtype, as in MindSpore.
#include <memory>
#include <utility>

#include "aclnn_ms_scatter_pa_kv_cache.h"
#include "case_file.h"
#include "device.h"

namespace {

using Memory = std::unique_ptr<ascend_sim::DeviceMemory>;

struct TensorDeleter {
  void operator()(aclTensor* tensor) const { (void)aclDestroyTensor(tensor); }
};
using Tensor = std::unique_ptr<aclTensor, TensorDeleter>;

Tensor TensorOf(const ascend_sim::Buffer& buffer, void* data) {
  std::vector<int64_t> strides(buffer.dims.size(), 1);
  for (size_t axis = buffer.dims.size(); axis-- > 1;) {
    strides[axis - 1] = strides[axis] * buffer.dims[axis];
  }
  return Tensor(aclCreateTensor(buffer.dims.data(), buffer.dims.size(), static_cast<aclDataType>(buffer.ge_type),
                                strides.data(), 0, ACL_FORMAT_ND, buffer.dims.data(), buffer.dims.size(), data));
}

template <typename... Parameters>
constexpr size_t CountOf(aclnnStatus (*)(Parameters...)) {
  return sizeof...(Parameters);
}

template <size_t... I>
void Call(const ascend_sim::Device& device, const std::vector<Tensor>& tensors, std::index_sequence<I...>) {
  uint64_t workspace_bytes = 0;
  aclOpExecutor* executor = nullptr;
  ascend_sim::Check(aclnnMsScatterPaKvCacheGetWorkspaceSize(tensors[I].get()..., &workspace_bytes, &executor),
                    "aclnnMsScatterPaKvCacheGetWorkspaceSize");
  const ascend_sim::DeviceMemory workspace(std::vector<uint8_t>(workspace_bytes, 0));
  ascend_sim::Check(aclnnMsScatterPaKvCache(workspace.data(), workspace_bytes, executor, device.stream()),
                    "aclnnMsScatterPaKvCache");
  ascend_sim::Check(aclrtSynchronizeStream(device.stream()), "the operator");
}

bool Run(const ascend_sim::Device& device, const ascend_sim::Case& the_case) {
  constexpr size_t kTensors = CountOf(aclnnMsScatterPaKvCacheGetWorkspaceSize) - 2;
  if (the_case.buffers.size() != kTensors) {
    throw std::runtime_error(the_case.name + ": written for another operator; write the cases again");
  }
  std::vector<Memory> memory;
  std::vector<Tensor> tensors;
  for (const ascend_sim::Buffer& buffer : the_case.buffers) {
    memory.push_back(Memory(new ascend_sim::DeviceMemory(buffer.bytes)));
    tensors.push_back(TensorOf(buffer, memory.back()->data()));
  }
  Call(device, tensors, std::make_index_sequence<kTensors>());
  bool good = true;
  for (size_t i = 0; i < memory.size(); ++i) {
    good = ascend_sim::Compare(the_case, the_case.buffers[i], memory[i]->Read()) && good;
  }
  return good;
}

}  // namespace

int main(int count, char** paths) {
  const ascend_sim::Device device;
  return ascend_sim::RunAll(count, paths, [&](const ascend_sim::Case& the_case) { return Run(device, the_case); });
}
