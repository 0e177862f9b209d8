#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "../core/export.h"
#include "../core/float_environment.h"
#include "../core/simd/cpu_features.h"
#include "arguments.h"
#include "builtin.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

struct Operator {
  const char* name;
  void (*run)(const Arguments& call);
  int num_inputs;
  const char* names[18];
};

// The arguments in the order of MindSpore's operator definitions, the primitive's own after the tensors.
// docs/networks.md
// ("Where the semantics come from") names for each the document, definition and Ascend test that decide what it means.
constexpr Operator kOperators[] = {
    {"AddRmsNorm", AddRmsNorm, 4, {"x1", "x2", "gamma", "epsilon"}},
    {"ApplyRotaryPosEmb", ApplyRotaryPosEmb, 6, {"query", "key", "cos", "sin", "position_ids", "cos_format"}},
    {"ArgMaxExt", ArgMaxExt, 3, {"input", "dim", "keepdim"}},
    {"CumsumExt", CumsumExt, 3, {"input", "dim", "dtype"}},
    {"FlashAttentionScore",
     FlashAttentionScore,
     18,
     {"query", "key", "value", "real_shift", "drop_mask", "padding_mask", "attn_mask", "prefix", "actual_seq_qlen",
      "actual_seq_kvlen", "head_num", "keep_prob", "scale_value", "pre_tokens", "next_tokens", "inner_precise",
      "input_layout", "sparse_mode"}},
    {"IndexSelect", IndexSelect, 3, {"input", "dim", "index"}},
    {"MoveTo", MoveTo, 3, {"input", "to", "blocking"}},
    {"PagedAttention",
     PagedAttention,
     16,
     {"query", "key_cache", "value_cache", "block_tables", "context_lens", "antiquant_scale", "antiquant_offset",
      "attn_mask", "q_seq_lens", "alibi_mask", "head_num", "scale_value", "kv_head_num", "kv_cache_quant_mode",
      "mask_mode", "mla_v_dim"}},
    {"PagedAttentionMask",
     PagedAttentionMask,
     12,
     {"query", "key_cache", "value_cache", "block_tables", "context_lens", "antiquant_scale", "antiquant_offset",
      "alibi_mask", "head_num", "scale_value", "kv_head_num", "kv_cache_quant_mode"}},
    {"QuantV2", QuantV2, 6, {"x", "scale", "offset", "sqrt_mode", "rounding_mode", "dst_type"}},
    {"RepeatInterleaveInt", RepeatInterleaveInt, 4, {"input", "repeats", "dim", "output_size"}},
    {"RmsNorm", RmsNorm, 3, {"x", "gamma", "epsilon"}},
    {"SliceExt", SliceExt, 5, {"input", "dim", "start", "end", "step"}},
};
constexpr int kNumOperators = sizeof(kOperators) / sizeof(kOperators[0]);

int32_t Answer(int32_t code, const char* text, char* message, int64_t message_size) {
  if (message != nullptr && message_size > 0) std::snprintf(message, static_cast<size_t>(message_size), "%s", text);
  return code;
}

// Of tensors without numbers, whose other dimensions no memory bounds: what is computed from them stays in 64 bits.
constexpr int64_t kMostOfNothing = int64_t{1} << 31;

void CheckDimensions(const Arguments& call, const MsspBuiltinTensor* inputs, int32_t num_inputs) {
  for (int32_t i = 0; i < num_inputs; ++i) {
    int64_t product = 1;
    for (int32_t d = 0; d < inputs[i].rank; ++d) product = Product(product, std::max<int64_t>(1, inputs[i].shape[d]));
    if (product > kMostOfNothing && CountOf(inputs[i]) == 0) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(inputs[i]),
                  "other dimensions whose product is at most 2147483648, where one is 0");
    }
  }
}

}  // namespace

const VectorKernels& ActiveVectors() {
#if defined(__x86_64__)
  if (&ActiveKernels() == &kAvx512Kernels) return kAvx512Vectors;
  if (&ActiveKernels() == &kAvx2Kernels) return kAvx2Vectors;
#elif defined(__aarch64__)
  if (&ActiveKernels() == &kNeonKernels) return kNeonVectors;
#endif
  return kPortableVectors;
}

}  // namespace compat
}  // namespace mssp

extern "C" {

MSSP_EXPORT int32_t MsspBuiltinRun(const char* name, const MsspBuiltinTensor* inputs, int32_t num_inputs,
                                   const MsspBuiltinTensor* outputs, int32_t num_outputs, char* message,
                                   int64_t message_size) {
  using mssp::compat::Answer;
  for (const auto& op : mssp::compat::kOperators) {
    if (std::strcmp(op.name, name) != 0) continue;
    if (num_inputs != op.num_inputs) {
      const std::string text = std::string(name) + ": given " + std::to_string(num_inputs) + " arguments, expected " +
                               std::to_string(op.num_inputs);
      return Answer(MSSP_BUILTIN_TYPE_ERROR, text.c_str(), message, message_size);
    }
    const mssp::IeeeScope ieee;
    try {
      const mssp::compat::Arguments call(op.name, op.names, inputs, num_inputs, outputs, num_outputs);
      mssp::compat::CheckDimensions(call, inputs, num_inputs);
      op.run(call);
    } catch (const mssp::compat::Refusal& refusal) {
      return Answer(refusal.code, refusal.text.c_str(), message, message_size);
    } catch (const std::exception&) {  // of memory or of threads
      char text[128];
      std::snprintf(text, sizeof(text), "%s: out of memory", op.name);
      return Answer(MSSP_BUILTIN_MEMORY_ERROR, text, message, message_size);
    }
    return Answer(MSSP_BUILTIN_OK, "", message, message_size);
  }
  return Answer(MSSP_BUILTIN_VALUE_ERROR, "no operator of that name", message, message_size);
}

MSSP_EXPORT const char* MsspBuiltinName(int32_t index) {
  const bool known = index >= 0 && index < mssp::compat::kNumOperators;
  return known ? mssp::compat::kOperators[index].name : nullptr;
}

}  // extern "C"
