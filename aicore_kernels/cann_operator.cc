// CANN's own operator, aclnnScatterPaKvCache, for PyNative. It changes references only and has no output, which
// ops.Custom cannot express: MindSpore's custom op builder compiles this against CANN on first use.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aclnn_runner.h"
#include "ms_extension/all.h"

namespace {

using OptionalTensor = std::optional<ms::Tensor>;

// Runs in the framework's queue, where results of other operators have arrived.
void ScatterPaKvCache(const ms::Tensor& key, const ms::Tensor& key_cache, const ms::Tensor& slot_mapping,
                      const OptionalTensor& value, const OptionalTensor& value_cache,
                      const OptionalTensor& compress_lens, const OptionalTensor& compress_seq_offsets,
                      const OptionalTensor& seq_lens, const std::string& cache_mode, const std::string& scatter_mode) {
  const std::vector<int64_t> strides = {1, 1};
  const std::vector<int64_t> offsets = {0, 0};
  std::vector<ms::Tensor> tensors = {key, key_cache, slot_mapping};
  for (const auto* tensor : {&value, &value_cache, &compress_lens, &compress_seq_offsets, &seq_lens}) {
    if (tensor->has_value()) {
      tensors.push_back(tensor->value());
    }
  }
  auto runner = std::make_shared<ms::pynative::AclnnOpRunner>("ScatterPaKvCache");
  runner->SetLaunchFunc(LAUNCH_ACLNN_FUNC(aclnnScatterPaKvCache, key, key_cache, slot_mapping, value, value_cache,
                                          compress_lens, compress_seq_offsets, seq_lens, cache_mode, scatter_mode,
                                          strides, offsets));
  runner->Run(tensors, {});
}

}  // namespace

PYBIND11_MODULE(MS_EXTENSION_NAME, module) {
  module.def("scatter_pa_kv_cache",
             [](const ms::Tensor& key, const ms::Tensor& key_cache, const ms::Tensor& slot_mapping,
                const OptionalTensor& value, const OptionalTensor& value_cache, const OptionalTensor& compress_lens,
                const OptionalTensor& compress_seq_offsets, const OptionalTensor& seq_lens,
                const std::string& cache_mode, const std::string& scatter_mode) {
               return ms::pynative::PyboostRunner::Call<0>(&ScatterPaKvCache, key, key_cache, slot_mapping, value,
                                                           value_cache, compress_lens, compress_seq_offsets, seq_lens,
                                                           cache_mode, scatter_mode);
             });
}
