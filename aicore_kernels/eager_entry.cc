// PyNative's way to the Ascend operator: MindSpore's pyboost runner around the aclnn interface, in order with the
// framework's own queue. Compiled by `python -m ms_scatter_pa build-ascend`.
//
// A call looks at shapes, dtypes, strides and modes once: Python's rules run for a combination that was not seen
// before, and what they decided is kept here by the same key. What values decide is checked in the kernel.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aclnn_runner.h"
#include "ms_extension/all.h"
#include "op_kernel/ms_scatter_pa_op_info.h"

namespace mssp_host {
namespace {

constexpr size_t kMaxPlans = 8192;  // distinct calls seen; forgotten all at once beyond that
constexpr int kArguments = kMode;   // the table's arguments come first
constexpr int kModes = 4;
constexpr int kLastStatusArgument = kArguments + kModes;
constexpr int kCallArguments = kLastStatusArgument + 1;
constexpr int kStrided = 4;  // key, value, key_cache, value_cache

using Key = std::vector<int64_t>;

struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t hash = 0;
    for (int64_t word : key) {
      hash = (hash ^ static_cast<uint64_t>(word)) * 0x9E3779B97F4A7C15ULL;
      hash ^= hash >> 32;
    }
    return static_cast<size_t>(hash);
  }
};

// What Python decided, and the tensors that stand for inputs that the call does not have, `mode` among them.
struct Plan {
  bool empty = false;  // nothing to write, nothing to launch
  bool strided = false;
  std::array<int64_t, kStrided> strides{};  // of tokens and blocks, in elements; 0: contiguous
  std::array<bool, kArguments> copied{};    // made contiguous first
  std::array<mindspore::tensor::TensorPtr, kInputs> constants{};
};

// Guarded by the interpreter lock, as all of this file's statics are.
std::unordered_map<Key, std::shared_ptr<const Plan>, KeyHash>* Plans() {
  static auto* plans = new std::unordered_map<Key, std::shared_ptr<const Plan>, KeyHash>();
  return plans;
}

PyObject* g_plan = nullptr;  // eager.plan: raises, or returns (empty, strides or None, copied, constants)

std::shared_ptr<const Plan> AskForPlan(PyObject* const* args) {
  PyObject* answer = PyObject_Vectorcall(g_plan, args, kCallArguments, nullptr);
  if (answer == nullptr) {
    throw py::error_already_set();
  }
  const auto fields = py::reinterpret_steal<py::tuple>(answer);
  auto plan = std::make_shared<Plan>();
  plan->empty = fields[0].cast<bool>();
  if (!fields[1].is_none()) {
    plan->strided = true;
    const py::tuple strides = fields[1];
    for (size_t i = 0; i < plan->strides.size(); ++i) {
      plan->strides[i] = strides[i].cast<int64_t>();
    }
  }
  const py::tuple copied = fields[2];
  for (size_t i = 0; i < plan->copied.size(); ++i) {
    plan->copied[i] = copied[i].cast<bool>();
  }
  const py::tuple constants = fields[3];
  for (size_t i = 0; i < plan->constants.size(); ++i) {
    plan->constants[i] = mindspore::tensor::ConvertToTensor(py::object(constants[i]).ptr());
  }
  return plan;
}

struct Request {
  std::array<mindspore::tensor::TensorPtr, kArguments> tensors{};
  mindspore::tensor::TensorPtr last_status;
  std::shared_ptr<const Plan> plan;
};

bool IsInternedMode(PyObject* object) {
  return object == Py_None || object == Py_True || object == Py_False ||
         (PyUnicode_CheckExact(object) && PyUnicode_CHECK_INTERNED(object) != 0);
}

// Reads the tensors of a call and what identifies it. A result that another operator is still making is waited for.
bool ReadArguments(PyObject* const* args, Request* call, Key* key) {
  for (int i = 0; i < kArguments; ++i) {
    if (args[i] == Py_None) {
      key->push_back(-1);
      continue;
    }
    if (!mindspore::tensor::IsTensorPy(args[i])) {
      return false;
    }
    auto tensor = mindspore::tensor::ConvertToTensor(args[i]);
    const auto& shape = tensor->shape();
    const bool dense = tensor->is_contiguous();
    key->push_back(static_cast<int64_t>(shape.size()) << 32 | (dense ? 0 : 1 << 30) |
                   static_cast<int64_t>(tensor->data_type()));
    key->insert(key->end(), shape.begin(), shape.end());
    if (!dense) {
      const auto strides = tensor->stride();
      key->insert(key->end(), strides.begin(), strides.end());
    }
    call->tensors[static_cast<size_t>(i)] = std::move(tensor);
  }
  if (args[kLastStatusArgument] != Py_None) {
    call->last_status = mindspore::tensor::ConvertToTensor(args[kLastStatusArgument]);
  }
  return true;
}

std::shared_ptr<const Plan> FindPlan(PyObject* const* args, Key* key) {
  bool cacheable = true;
  for (int i = kArguments; i < kLastStatusArgument; ++i) {
    cacheable = cacheable && IsInternedMode(args[i]);
    key->push_back(reinterpret_cast<int64_t>(args[i]));
  }
  if (!cacheable) {
    return AskForPlan(args);
  }
  const auto found = Plans()->find(*key);
  if (found != Plans()->end()) {
    return found->second;
  }
  const Key asked = *key;  // the rules run Python, which may come back here
  auto plan = AskForPlan(args);
  if (Plans()->size() >= kMaxPlans) {
    Plans()->clear();
  }
  for (int i = kArguments; i < kLastStatusArgument; ++i) {
    Py_INCREF(args[i]);  // an interned string's address stays its own
  }
  Plans()->emplace(asked, plan);
  return plan;
}

// In the framework's queue: the one launch of a call. Its one allocation is the status.
ms::Tensor Write(const std::vector<ms::Tensor>& inputs, const Plan& plan) {
  static const std::string kName = "MsScatterPaKvCache";
  const ms::Tensor status(mindspore::kNumberTypeInt64, {MSSP_STATUS_SIZE});
  auto runner = std::make_shared<ms::pynative::AclnnOpRunner>(kName);
  if (plan.strided) {
    runner->SetLaunchFunc(LAUNCH_ACLNN_FUNC(
        aclnnMsScatterPaKvCacheStrided, inputs[kKey], inputs[kValue], inputs[kKeyCache], inputs[kValueCache],
        inputs[kSlotMapping], inputs[kCompressLens], inputs[kCompressSeqOffsets], inputs[kSeqLens], inputs[kMode],
        inputs[kLastStatus], plan.strides[0], plan.strides[1], plan.strides[2], plan.strides[3], status));
  } else {
    runner->SetLaunchFunc(LAUNCH_ACLNN_FUNC(aclnnMsScatterPaKvCache, inputs[kKey], inputs[kValue], inputs[kKeyCache],
                                            inputs[kValueCache], inputs[kSlotMapping], inputs[kCompressLens],
                                            inputs[kCompressSeqOffsets], inputs[kSeqLens], inputs[kMode],
                                            inputs[kLastStatus], status));
  }
  runner->Run(inputs, {status});
  return status;
}

PyObject* Scatter(PyObject* const* args) {
  thread_local Key key;
  key.clear();
  Request call;
  if (!ReadArguments(args, &call, &key)) {
    (void)AskForPlan(args);  // the rules refuse what is no tensor
    throw py::type_error("expected a Tensor");
  }
  call.plan = FindPlan(args, &key);
  if (call.plan->empty) {
    int64_t written[MSSP_STATUS_SIZE] = {};
    return mindspore::tensor::Wrap(
        mindspore::tensor::from_buffer(mindspore::kNumberTypeInt64, {MSSP_STATUS_SIZE}, written, sizeof(written)));
  }
  std::vector<ms::Tensor> inputs;
  inputs.reserve(kInputs);
  for (size_t i = 0; i < static_cast<size_t>(kInputs); ++i) {
    const bool given = i < call.tensors.size() && call.tensors[i] != nullptr;
    const bool last = i == kLastStatus && call.last_status != nullptr;
    inputs.emplace_back(given ? call.tensors[i] : last ? call.last_status : call.plan->constants[i]);
    inputs.back().SetNeedContiguous(false);
  }
  return ms::pynative::PyboostRunner::Call<1>(
             [plan = call.plan](std::vector<ms::Tensor> inputs) {
               for (size_t i = 0; i < plan->copied.size(); ++i) {
                 if (plan->copied[i]) {
                   inputs[i] = inputs[i].contiguous();
                 }
               }
               return Write(inputs, *plan);
             },
             std::move(inputs))
      .release()
      .ptr();
}

PyObject* ScatterEntry(PyObject* /*self*/, PyObject* const* args, Py_ssize_t count) {
  if (count != kCallArguments) {
    PyErr_Format(PyExc_TypeError, "scatter_pa_kv_cache: given %zd arguments, expected %d", count, kCallArguments);
    return nullptr;
  }
  try {
    return Scatter(args);
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyMethodDef g_scatter = {"scatter_pa_kv_cache",
                         reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(ScatterEntry)), METH_FASTCALL,
                         nullptr};

}  // namespace

void SetPlan(const py::object& plan) {
  Py_XDECREF(g_plan);
  g_plan = plan.inc_ref().ptr();
  Plans()->clear();
}

}  // namespace mssp_host

PYBIND11_MODULE(MS_EXTENSION_NAME, module) {
  module.doc() = "The PyNative entry of ms_scatter_pa's Ascend backend.";
  module.def("set_plan", &mssp_host::SetPlan, "Sets the function that decides what a call launches.");
  module.attr("scatter_pa_kv_cache") =
      py::reinterpret_steal<py::object>(PyCFunction_New(&mssp_host::g_scatter, nullptr));
}
