// A CPU kernel for MindSpore's built-in ReshapeAndCache, so that networks made for NPUs run here unchanged.
// Inputs: key, value (may be None), key_cache, value_cache (may be None), slot_mapping; output: key, passed on.
// MindSpore's own shape rule comes first: it reads a 3-D key as [B, S, hidden] and wants a slot for each of B*S rows.
#ifndef MS_SCATTER_PA_ENTRIES_RESHAPE_AND_CACHE_KERNEL_H_
#define MS_SCATTER_PA_ENTRIES_RESHAPE_AND_CACHE_KERNEL_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "call_from_tensors.h"
#include "core/op_info.h"
#include "error_text.h"
#include "kernel/cpu/cpu_kernel.h"
#include "mindspore_types.h"

namespace mssp {
namespace {

using mindspore::TypeId;
using mindspore::kernel::KernelAttr;
using mindspore::kernel::KernelTensor;
using mindspore::kernel::NativeCpuKernelMod;

constexpr char kName[] = "ReshapeAndCache";
constexpr int kNumInputs = kSlotMapping + 1;
constexpr int kMessageSize = 1024;

// What the primitive's own front end admits.
constexpr TypeId kAdmitted[] = {mindspore::kNumberTypeFloat16, mindspore::kNumberTypeBFloat16,
                                mindspore::kNumberTypeInt8, mindspore::kNumberTypeUInt8};

template <size_t N>
int64_t CodeOf(const TypeRow (&rows)[N], TypeId id) {
  for (const TypeRow& row : rows) {
    if (row.id == id) {
      return row.code;
    }
  }
  MS_EXCEPTION(mindspore::TypeError) << kName << ": no CPU kernel for " << mindspore::TypeIdToString(id);
}

// The core's sentence, which ends in the name of the package's own operator.
std::string Sentence(const char* message) {
  const std::string text = WithoutType(message);
  return text.substr(0, text.rfind("; ")) + "; " + kName + " wrote nothing";
}

bool IsNone(const KernelTensor& tensor) { return tensor.dtype_id() == mindspore::kMetaTypeNone; }

class ReshapeAndCache : public NativeCpuKernelMod {
 public:
  bool Init(const std::vector<KernelTensor*>& inputs, const std::vector<KernelTensor*>& /*outputs*/) override {
    options_ = MsspOptions{};
    options_.flattened = 1;
    options_.key_only = IsNone(*inputs[kValue]) ? 1 : 0;  // MindSpore wants value_cache then None too
    options_.key_type = CodeOf(kElementTypes, inputs[kKeyCache]->dtype_id());
    options_.value_type =
        options_.key_only != 0 ? options_.key_type : CodeOf(kElementTypes, inputs[kValueCache]->dtype_id());
    options_.index_type = CodeOf(kIndexTypes, inputs[kSlotMapping]->dtype_id());
    return true;
  }

  bool Launch(const std::vector<KernelTensor*>& inputs, const std::vector<KernelTensor*>& /*workspace*/,
              const std::vector<KernelTensor*>& outputs) override {
    CheckNoView(inputs);
    CheckShapes(inputs);
    MsspTensor tensors[MSSP_NUM_ARGUMENTS] = {};
    for (int i = 0; i < kNumInputs; ++i) {
      if (!IsNone(*inputs[i])) {
        const auto& shape = inputs[i]->GetShapeVector();
        tensors[i] = {inputs[i]->device_ptr(), shape.data(), nullptr, static_cast<int64_t>(shape.size())};
      }
    }
    int64_t status[MSSP_STATUS_SIZE];
    char message[kMessageSize];
    const MsspStatus result = MsspRun(tensors, &options_, status, nullptr, message, kMessageSize);
    if (result.code == MSSP_BAD_SLOT) {
      MS_EXCEPTION(mindspore::IndexError) << Sentence(message);
    }
    if (result.code == MSSP_NO_MEMORY) {
      MS_EXCEPTION(mindspore::MemoryError) << Sentence(message);
    }
    if (result.code != MSSP_WRITTEN) {
      MS_EXCEPTION(mindspore::ValueError) << Sentence(message);
    }
    // Networks only depend on the output; the primitive says that it looks like key.
    if (inputs[kKey]->size() != 0 && outputs[0]->device_ptr() != nullptr) {
      std::memcpy(outputs[0]->device_ptr(), inputs[kKey]->device_ptr(), inputs[kKey]->size());
    }
    return true;
  }

  std::vector<KernelAttr> GetOpSupport() override {
    static const auto* support = new std::vector<KernelAttr>(MakeSupport());
    return *support;
  }

 private:
  static std::vector<KernelAttr> MakeSupport() {
    std::vector<KernelAttr> support;
    for (const TypeId key : kAdmitted) {
      for (const TypeId value : kAdmitted) {
        for (const TypeRow& index : kIndexTypes) {
          support.push_back(KernelAttr()
                                .AddInputAttr(key)
                                .AddOptionalInputAttr(value)
                                .AddOptionalInputAttr(key)
                                .AddOptionalInputAttr(value)
                                .AddOptionalInputAttr(index.id)
                                .AddOutputAttr(key));
        }
      }
    }
    return support;
  }

  // A graph hands over a view with the address of the whole tensor; MindSpore itself refuses it only after the launch.
  static void CheckNoView(const std::vector<KernelTensor*>& inputs) {
    for (const int cache : {kKeyCache, kValueCache}) {
      if (!IsNone(*inputs[cache]) && inputs[cache]->tensor_storage_info() != nullptr) {
        MS_EXCEPTION(mindspore::ValueError)
            << kArgumentNames[cache] << ": given a view (as kv[0] is), expected a whole Tensor or Parameter; " << kName
            << " wrote nothing";
      }
    }
  }

  // The core takes ranks as checked; of a hidden size it would speak as of heads.
  void CheckShapes(const std::vector<KernelTensor*>& inputs) const {
    CheckRank(inputs, kSlotMapping, 1, 1, "[T]");
    for (int side = 0; side < (options_.key_only != 0 ? 1 : 2); ++side) {
      const int rows = kKey + side;
      const int cache = kKeyCache + side;
      CheckRank(inputs, rows, 2, 3, "[T, hidden] or [B, S, hidden]");
      CheckRank(inputs, cache, 3, 4,
                "[num_blocks, block_size, num_head, head_size] or [num_blocks, block_size, hidden]");
      const auto& cache_shape = inputs[cache]->GetShapeVector();
      const int64_t hidden = cache_shape[2] * (cache_shape.size() == 4 ? cache_shape[3] : 1);
      if (inputs[rows]->GetShapeVector().back() != hidden) {
        MS_EXCEPTION(mindspore::ValueError)
            << kArgumentNames[rows] << ": given a hidden size of " << inputs[rows]->GetShapeVector().back()
            << ", expected " << hidden << " as " << kArgumentNames[cache] << " has";
      }
    }
  }

  static void CheckRank(const std::vector<KernelTensor*>& inputs, int input, size_t least, size_t most,
                        const char* expected) {
    const size_t rank = inputs[input]->GetShapeVector().size();
    if (rank < least || rank > most) {
      MS_EXCEPTION(mindspore::ValueError)
          << kArgumentNames[input] << ": given " << rank << " dimensions, expected " << expected;
    }
  }

  MsspOptions options_{};
};

}  // namespace
}  // namespace mssp

#endif  // MS_SCATTER_PA_ENTRIES_RESHAPE_AND_CACHE_KERNEL_H_
