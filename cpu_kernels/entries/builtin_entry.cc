// CPU kernels for MindSpore's built-in operators that have none, so that networks made for NPUs run here unchanged. The
// one file that is compiled with MindSpore's headers for them: their work is in compat/, behind one class.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "compat/builtin.h"
#include "include/runtime/hardware_abstract/kernel_base/kernel_factory.h"
#include "kernel/cpu/cpu_kernel.h"
#include "mindspore_release.h"
#include "pybind11/pybind11.h"
#include "pybind11/stl.h"
#include "reshape_and_cache_kernel.h"

namespace mssp {
namespace {

using Factory = mindspore::kernel::Factory<NativeCpuKernelMod>;

struct BuiltinTypeRow {
  TypeId id;
  int32_t type;
};
constexpr BuiltinTypeRow kBuiltinTypes[] = {
    {mindspore::kMetaTypeNone, MSSP_BUILTIN_NONE},
    {mindspore::kNumberTypeFloat32, MSSP_BUILTIN_FLOAT32},
    {mindspore::kNumberTypeFloat16, MSSP_BUILTIN_FLOAT16},
    {mindspore::kNumberTypeBFloat16, MSSP_BUILTIN_BFLOAT16},
    {mindspore::kNumberTypeFloat64, MSSP_BUILTIN_FLOAT64},
    {mindspore::kNumberTypeBool, MSSP_BUILTIN_BOOL},
    {mindspore::kNumberTypeInt8, MSSP_BUILTIN_INT8},
    {mindspore::kNumberTypeUInt8, MSSP_BUILTIN_UINT8},
    {mindspore::kNumberTypeInt16, MSSP_BUILTIN_INT16},
    {mindspore::kNumberTypeUInt16, MSSP_BUILTIN_UINT16},
    {mindspore::kNumberTypeInt32, MSSP_BUILTIN_INT32},
    {mindspore::kNumberTypeUInt32, MSSP_BUILTIN_UINT32},
    {mindspore::kNumberTypeInt64, MSSP_BUILTIN_INT64},
    {mindspore::kNumberTypeUInt64, MSSP_BUILTIN_UINT64},
    {mindspore::kNumberTypeComplex64, MSSP_BUILTIN_COMPLEX64},
    {mindspore::kNumberTypeComplex128, MSSP_BUILTIN_COMPLEX128},
};

int32_t BuiltinTypeOf(TypeId id) {
  for (const BuiltinTypeRow& row : kBuiltinTypes) {
    if (row.id == id) return row.type;
  }
  return MSSP_BUILTIN_OTHER;
}

// One operator of compat/: hands it every argument as a tensor, numbers and tuples too.
class Builtin : public NativeCpuKernelMod {
 public:
  explicit Builtin(const char* name) : name_(name) {}

  bool Init(const std::vector<KernelTensor*>& /*inputs*/, const std::vector<KernelTensor*>& /*outputs*/) override {
    return true;
  }

  bool Launch(const std::vector<KernelTensor*>& inputs, const std::vector<KernelTensor*>& /*workspace*/,
              const std::vector<KernelTensor*>& outputs) override {
    char message[kMessageSize];
    switch (Run(inputs, outputs, message)) {
      case MSSP_BUILTIN_OK:
        return true;
      case MSSP_BUILTIN_TYPE_ERROR:
        MS_EXCEPTION(mindspore::TypeError) << message;
      case MSSP_BUILTIN_INDEX_ERROR:
        MS_EXCEPTION(mindspore::IndexError) << message;
      case MSSP_BUILTIN_MEMORY_ERROR:
        MS_EXCEPTION(mindspore::MemoryError) << message;
      default:
        MS_EXCEPTION(mindspore::ValueError) << message;
    }
  }

  std::vector<KernelAttr> GetOpSupport() override {
    static const auto* flash = new std::vector<KernelAttr>(FlashAttentionSupport());
    static const auto* any = new std::vector<KernelAttr>{KernelAttr().AddSkipCheckAttr(true)};
    return name_ == std::string("FlashAttentionScore") ? *flash : *any;
  }

 private:
  // What a number or a tuple of numbers is copied into.
  struct Argument {
    double real;
    int64_t integer;
    std::vector<int64_t> tuple;
    int64_t count;
  };

  int32_t Run(const std::vector<KernelTensor*>& inputs, const std::vector<KernelTensor*>& outputs,
              char (&message)[kMessageSize]) const try {
    std::vector<Argument> arguments(inputs.size());
    std::vector<MsspBuiltinTensor> given;
    for (size_t i = 0; i < inputs.size(); ++i) given.push_back(Describe(inputs[i], &arguments[i]));
    std::vector<MsspBuiltinTensor> results;
    for (KernelTensor* output : outputs) results.push_back(DescribeTensor(*output));
    return MsspBuiltinRun(name_, given.data(), static_cast<int32_t>(given.size()), results.data(),
                          static_cast<int32_t>(results.size()), message, kMessageSize);
  } catch (const std::bad_alloc&) {
    std::snprintf(message, kMessageSize, "%s: out of memory", name_);
    return MSSP_BUILTIN_MEMORY_ERROR;
  }

  static MsspBuiltinTensor DescribeTensor(const KernelTensor& tensor) {
    const auto& shape = tensor.GetShapeVector();
    return {tensor.device_ptr(), shape.data(), static_cast<int32_t>(shape.size()), BuiltinTypeOf(tensor.dtype_id())};
  }

  static MsspBuiltinTensor Describe(KernelTensor* tensor, Argument* argument) {
    const TypeId object = tensor->type_id();
    if (object == mindspore::kMetaTypeNone || tensor->dtype_id() == mindspore::kMetaTypeNone) {
      return {nullptr, nullptr, 0, MSSP_BUILTIN_NONE};
    }
    if (object == mindspore::kObjectTypeNumber) return DescribeNumber(tensor, argument);
    if (object == mindspore::kObjectTypeTuple || object == mindspore::kObjectTypeList) {
      if (tensor->device_ptr() != nullptr) {
        if (tensor->size() != 0) return DescribeTensor(*tensor);
        argument->count = 0;  // an empty one has no dtype
        return {tensor->device_ptr(), &argument->count, 1, MSSP_BUILTIN_INT64};
      }
      argument->tuple = tensor->GetValueWithCheck<std::vector<int64_t>>();
      argument->count = static_cast<int64_t>(argument->tuple.size());
      return {argument->tuple.data(), &argument->count, 1, MSSP_BUILTIN_INT64};
    }
    return DescribeTensor(*tensor);
  }

  static MsspBuiltinTensor DescribeNumber(KernelTensor* tensor, Argument* argument) {
    switch (tensor->dtype_id()) {
      case mindspore::kNumberTypeFloat32:
        argument->real = tensor->GetValueWithCheck<float>();
        return {&argument->real, nullptr, 0, MSSP_BUILTIN_FLOAT64};
      case mindspore::kNumberTypeFloat64:
        argument->real = tensor->GetValueWithCheck<double>();
        return {&argument->real, nullptr, 0, MSSP_BUILTIN_FLOAT64};
      case mindspore::kNumberTypeBool:
        argument->integer = tensor->GetValueWithCheck<bool>() ? 1 : 0;
        return {&argument->integer, nullptr, 0, MSSP_BUILTIN_INT64};
      case mindspore::kNumberTypeInt32:
        argument->integer = tensor->GetValueWithCheck<int32_t>();
        return {&argument->integer, nullptr, 0, MSSP_BUILTIN_INT64};
      case mindspore::kNumberTypeInt64:
        argument->integer = tensor->GetValueWithCheck<int64_t>();
        return {&argument->integer, nullptr, 0, MSSP_BUILTIN_INT64};
      default:
        return {nullptr, nullptr, 0, MSSP_BUILTIN_OTHER};
    }
  }

  // Without the check of its arguments' kinds a graph unfolds the tuples of lengths into numbers.
  static std::vector<KernelAttr> FlashAttentionSupport() {
    constexpr TypeId kFloats[] = {mindspore::kNumberTypeFloat16, mindspore::kNumberTypeBFloat16,
                                  mindspore::kNumberTypeFloat32};
    std::vector<KernelAttr> support;
    for (const TypeId type : kFloats) {
      for (const TypeId mask :
           {mindspore::kNumberTypeFloat16, mindspore::kNumberTypeBFloat16, mindspore::kNumberTypeFloat32,
            mindspore::kNumberTypeUInt8, mindspore::kNumberTypeBool}) {
        KernelAttr row;
        for (int i = 0; i < 3; ++i) row.AddInputAttr(type);
        row.AddOptionalInputAttr(type).AddOptionalInputAttr(mindspore::kNumberTypeUInt8);
        row.AddOptionalInputAttr(type).AddOptionalInputAttr(mask);
        for (int i = 0; i < 3; ++i) {
          row.AddOptionalInputAttr(mindspore::kObjectTypeTuple, mindspore::kNumberTypeInt64);
        }
        const auto number = [&row](TypeId id) { row.AddInputAttr(mindspore::kObjectTypeNumber, id); };
        number(mindspore::kNumberTypeInt64);    // head_num
        number(mindspore::kNumberTypeFloat32);  // keep_prob
        number(mindspore::kNumberTypeFloat32);  // scale_value
        for (int i = 0; i < 5; ++i) number(mindspore::kNumberTypeInt64);
        row.AddOutputAttr(mindspore::kNumberTypeFloat32).AddOutputAttr(mindspore::kNumberTypeFloat32);
        row.AddOutputAttr(type).AddOutputAttr(type);
        support.push_back(row);
      }
    }
    return support;
  }

  const char* name_;
};

// MindSpore's MS_KERNEL_FACTORY_REG ends the process when the name is taken: the kernel that came first stays.
std::vector<std::string> Register() {
  auto& factory = Factory::Instance();
  std::vector<std::string> registered;
  if (!factory.IsRegistered(kName)) {
    factory.Register(kName, [] { return std::make_shared<ReshapeAndCache>(); });
    registered.emplace_back(kName);
  }
  for (int32_t i = 0; MsspBuiltinName(i) != nullptr; ++i) {
    const char* name = MsspBuiltinName(i);
    if (factory.IsRegistered(name)) continue;
    factory.Register(name, [name] { return std::make_shared<Builtin>(name); });
    registered.emplace_back(name);
  }
  return registered;
}

bool IsRegistered(const std::string& name) { return Factory::Instance().IsRegistered(name); }

// The matrix product of MindSpore's own oneDNN.
bool UseOneDnn(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  void* sgemm = library == nullptr ? nullptr : dlsym(library, "dnnl_sgemm");
  MsspBuiltinSetSgemm(reinterpret_cast<MsspSgemm>(sgemm));
  return sgemm != nullptr;
}

}  // namespace
}  // namespace mssp

PYBIND11_MODULE(_builtins, module) {
  module.doc() = "CPU kernels for MindSpore's built-in operators that have none.";
  module.def("register", &mssp::Register, "Registers a kernel for every name that has none; returns those names.");
  module.def("is_registered", &mssp::IsRegistered, "Whether some CPU kernel has the name.");
  module.def("use_onednn", &mssp::UseOneDnn, "Multiplies matrices with the oneDNN at that path; says whether it can.");
}
