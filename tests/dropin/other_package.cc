// Another package's CPU kernel for ReshapeAndCache, registered with MindSpore's own macro. It marks the cache with 7.
#include <cstring>
#include <memory>
#include <vector>

#include "kernel/cpu/cpu_kernel.h"

namespace mindspore {
namespace kernel {

class OtherReshapeAndCache : public NativeCpuKernelMod {
 public:
  bool Init(const std::vector<KernelTensor*>& /*inputs*/, const std::vector<KernelTensor*>& /*outputs*/) override {
    return true;
  }
  bool Launch(const std::vector<KernelTensor*>& inputs, const std::vector<KernelTensor*>& /*workspace*/,
              const std::vector<KernelTensor*>& /*outputs*/) override {
    std::memset(inputs[2]->device_ptr(), 7, inputs[2]->size());
    return true;
  }
  std::vector<KernelAttr> GetOpSupport() override {
    const TypeId type = kNumberTypeInt8;
    return {KernelAttr()
                .AddInputAttr(type)
                .AddOptionalInputAttr(type)
                .AddOptionalInputAttr(type)
                .AddOptionalInputAttr(type)
                .AddOptionalInputAttr(kNumberTypeInt32)
                .AddOutputAttr(type)};
  }
};

MS_KERNEL_FACTORY_REG(NativeCpuKernelMod, ReshapeAndCache, OtherReshapeAndCache);

}  // namespace kernel
}  // namespace mindspore
