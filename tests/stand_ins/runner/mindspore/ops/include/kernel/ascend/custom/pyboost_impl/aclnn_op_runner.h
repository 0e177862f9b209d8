// Stands in for the header of MindSpore's wheel with this name, which needs CANN and the Ascend plugin. The class and
// the macro have the same form; a launch goes to the operator on the host model instead of aclnn.
#ifndef MS_SCATTER_PA_STAND_IN_ACLNN_OP_RUNNER_H_
#define MS_SCATTER_PA_STAND_IN_ACLNN_OP_RUNNER_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "aclnn_on_model.h"
#include "ms_extension/api.h"

namespace ms::pynative {

class AclnnOpRunner final : public PyboostRunner {
 public:
  using AclnnLaunchFunc = std::function<void(mindspore::device::DeviceContext*, size_t)>;
  using PyboostRunner::PyboostRunner;
  void SetLaunchFunc(const AclnnLaunchFunc& func) { launch_func_ = func; }
  void LaunchKernel() override { launch_func_(nullptr, 0); }

 protected:
  void _MallocDeviceAddress() override {
    for (const auto& output : outputs()) {
      const auto& address = output.tensor()->device_address();
      on_model::allocations += address == nullptr || address->GetMutablePtr() == nullptr ? 1 : 0;
    }
    PyboostRunner::_MallocDeviceAddress();
  }

  // The base class hands the launch to a third queue, which MindSpore's own CPU kernels do not use.
  void _DispatchLaunchTask() override {
    const auto& launch_stage = mindspore::runtime::Pipeline::Get().launch_stage();
    if (!launch_stage->Empty()) {
      launch_stage->Wait();
    }
    LaunchKernel();
  }

 private:
  AclnnLaunchFunc launch_func_;
};

inline mindspore::tensor::TensorPtr Arg(const ms::Tensor& tensor) {
  return tensor.is_defined() ? tensor.tensor() : nullptr;
}

inline std::optional<mindspore::tensor::TensorPtr> Arg(const std::optional<ms::Tensor>& tensor) {
  return tensor.has_value() ? std::make_optional(Arg(tensor.value())) : std::nullopt;
}

template <typename T>
T Arg(const T& arg) {
  return arg;
}

#define LAUNCH_ACLNN_FUNC(aclnn_api, ...)                                                                         \
  [](auto&&... args) {                                                                                            \
    auto args_t = std::make_tuple(ms::pynative::Arg(std::forward<decltype(args)>(args))...);                      \
    return [args_t](auto, auto) {                                                                                 \
      std::apply([](const auto&... arg) { on_model::Launch(#aclnn_api, {on_model::Argument(arg)...}); }, args_t); \
    };                                                                                                            \
  }(__VA_ARGS__)

}  // namespace ms::pynative

#endif  // MS_SCATTER_PA_STAND_IN_ACLNN_OP_RUNNER_H_
