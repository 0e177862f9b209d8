// MindSpore's pyboost extension: the way in from PyNative, in order with the framework's own queue.
//
// A call looks at shapes, dtypes and modes once: Python's rules (checks.py) run for a combination that was not seen
// before, and what they decided is kept here by the same key. What values decide is checked in the kernel.
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "call.h"
#include "core/arguments.h"
#include "ms_extension/api.h"

namespace mssp {
namespace {

constexpr int kMessageSize = 1024;
constexpr size_t kMaxPlans = 8192;  // distinct shapes seen; forgotten all at once beyond that
constexpr int kModes = 4;           // cache_mode, scatter_mode, on_error, check_duplicates
constexpr int kLastStatus = MSSP_NUM_ARGUMENTS + kModes;
constexpr int kNumCallArguments = kLastStatus + 1;

using Key = std::vector<int64_t>;

struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t hash = 1469598103934665603ULL;
    for (int64_t word : key) {
      hash = (hash ^ static_cast<uint64_t>(word)) * 1099511628211ULL;
      hash ^= hash >> 29;
    }
    return static_cast<size_t>(hash);
  }
};

std::unordered_map<Key, MsspOptions, KeyHash>* Plans() {
  static auto* plans = new std::unordered_map<Key, MsspOptions, KeyHash>();  // guarded by the interpreter lock
  return plans;
}

PyObject* g_plan = nullptr;  // options.plan: raises, or returns the options as a tuple of int

const char* WithoutType(const char* message) {
  const char* text = std::strstr(message, ": ");
  return text == nullptr ? message : text + 2;
}

class Launch : public ms::pynative::PyboostRunner {
 public:
  using PyboostRunner::PyboostRunner;

  void Prepare(const MsspOptions& options, uint32_t present) {
    options_ = options;
    present_ = present;
  }

  void LaunchKernel() override {
    MsspTensor tensors[MSSP_NUM_ARGUMENTS] = {};
    std::array<std::vector<int64_t>, MSSP_NUM_ARGUMENTS> strides;
    size_t next = 0;
    for (int i = 0; i < MSSP_NUM_ARGUMENTS; ++i) {
      if ((present_ >> i & 1U) == 0) {
        continue;
      }
      const ms::Tensor& tensor = inputs()[next++];
      const auto& shape = tensor.shape();
      tensors[i] = {tensor.GetDataPtr(), shape.data(), nullptr, static_cast<int64_t>(shape.size())};
      if (i <= kValue && !tensor.is_contiguous()) {
        strides[i] = tensor.stride();
        tensors[i].strides = strides[i].data();
      }
    }
    int64_t* last_status = options_.keeps_last_status != 0 ? inputs()[next].data_ptr<int64_t>() : nullptr;
    char message[kMessageSize];
    const MsspStatus status =
        MsspRun(tensors, &options_, outputs()[0].data_ptr<int64_t>(), last_status, message, kMessageSize);
    if (status.code == MSSP_WRITTEN || options_.record != 0) {
      return;
    }
    if (status.code == MSSP_BAD_SLOT) {
      throw py::index_error(WithoutType(message));
    }
    throw py::value_error(WithoutType(message));
  }

 protected:
  // The base class hands the launch to a third queue, while MindSpore's own CPU kernels run on the thread that is here:
  // the next operator could read the cache before it is written. Launching here keeps the order of both queues.
  void _DispatchLaunchTask() override {
    const auto& launch_stage = mindspore::runtime::Pipeline::Get().launch_stage();
    if (!launch_stage->Empty()) {
      launch_stage->Wait();
    }
    LaunchKernel();
  }

 private:
  MsspOptions options_{};
  uint32_t present_{0};
};

// The rows may stay strided as long as their innermost dimension is not; MindSpore copies anything else.
bool RowsCanStayStrided(const ms::Tensor& tensor, const MsspOptions& options) {
  if (options.flattened != 0 && tensor.shape().size() != 2) {
    return false;
  }
  const auto strides = tensor.stride();
  return !strides.empty() && strides.back() == 1;
}

int64_t ModeKey(PyObject* object) { return reinterpret_cast<int64_t>(object); }

// Asks Python's rules; throws what they raise.
MsspOptions AskForPlan(PyObject* const* args) {
  PyObject* answer = PyObject_Vectorcall(g_plan, args, kNumCallArguments, nullptr);
  if (answer == nullptr) {
    throw py::error_already_set();
  }
  const auto owned = py::reinterpret_steal<py::tuple>(answer);
  MsspOptions options{};
  auto* fields = reinterpret_cast<int64_t*>(&options);
  for (size_t i = 0; i < static_cast<size_t>(MSSP_NUM_OPTIONS); ++i) {
    fields[i] = owned[i].cast<int64_t>();
  }
  return options;
}

bool IsInternedMode(PyObject* object) {
  return object == Py_None || object == Py_True || object == Py_False ||
         (PyUnicode_CheckExact(object) && PyUnicode_CHECK_INTERNED(object) != 0);
}

PyObject* Scatter(PyObject* const* args) {
  std::vector<ms::Tensor> tensors;
  tensors.reserve(MSSP_NUM_ARGUMENTS + 1);
  uint32_t present = 0;
  Key key;
  key.reserve(56);
  bool cacheable = true;
  pybind11::detail::type_caster<ms::Tensor> caster;
  for (int i = 0; i < MSSP_NUM_ARGUMENTS; ++i) {
    if (args[i] == Py_None) {
      key.push_back(-1);
      continue;
    }
    if (!mindspore::tensor::IsTensorPy(args[i]) || !caster.load(args[i], false)) {
      (void)AskForPlan(args);  // raises the TypeError
      throw py::type_error("expected a Tensor");
    }
    ms::Tensor tensor = static_cast<ms::Tensor&>(caster);
    tensor.ConvertStubNodeToTensor();
    const auto& shape = tensor.shape();
    key.push_back(static_cast<int64_t>(shape.size()) << 32 | static_cast<int64_t>(tensor.data_type()));
    key.insert(key.end(), shape.begin(), shape.end());
    if ((i == kKeyCache || i == kValueCache) && !tensor.is_contiguous()) {
      (void)AskForPlan(args);  // raises the ValueError
    }
    present |= 1U << i;
    tensors.push_back(std::move(tensor));
  }
  for (int i = MSSP_NUM_ARGUMENTS; i < kNumCallArguments; ++i) {
    PyObject* mode = i == kLastStatus ? (args[i] == Py_None ? Py_False : Py_True) : args[i];
    cacheable = cacheable && IsInternedMode(mode);
    key.push_back(ModeKey(mode));
  }
  MsspOptions options;
  auto* plans = Plans();
  const auto found = cacheable ? plans->find(key) : plans->end();
  if (found != plans->end()) {
    options = found->second;
  } else {
    options = AskForPlan(args);
    if (cacheable) {
      if (plans->size() >= kMaxPlans) {
        plans->clear();
      }
      for (int i = MSSP_NUM_ARGUMENTS; i < kLastStatus; ++i) {
        Py_INCREF(args[i]);  // an interned string's address stays its own
      }
      plans->emplace(std::move(key), options);
    }
  }
  size_t next = 0;
  for (int i = 0; i < MSSP_NUM_ARGUMENTS; ++i) {
    if ((present >> i & 1U) == 0) {
      continue;
    }
    const ms::Tensor& tensor = tensors[next++];
    if (i == kKeyCache || i == kValueCache ||
        (i <= kValue && !tensor.is_contiguous() && RowsCanStayStrided(tensor, options))) {
      tensor.SetNeedContiguous(false);
    }
  }
  if (args[kLastStatus] != Py_None) {
    caster.load(args[kLastStatus], false);
    tensors.push_back(static_cast<ms::Tensor&>(caster));
    tensors.back().ConvertStubNodeToTensor();
    tensors.back().SetNeedContiguous(false);
  }
  static const std::string kName = "ScatterPaKvCache";
  return ms::pynative::PyboostRunner::Call<1>(
             kName,
             [options, present](const std::vector<ms::Tensor>& inputs) {
               auto runner = std::make_shared<Launch>(kName);
               runner->Prepare(options, present);
               std::vector<ms::Tensor> outputs{ms::Tensor(mindspore::kNumberTypeInt64, {MSSP_STATUS_SIZE})};
               runner->Run(inputs, outputs);
               return outputs[0];
             },
             std::move(tensors))
      .release()
      .ptr();
}

PyObject* ScatterEntry(PyObject* /*self*/, PyObject* const* args, Py_ssize_t count) {
  if (count != kNumCallArguments) {
    PyErr_Format(PyExc_TypeError, "scatter_pa_kv_cache: given %zd arguments, expected %d", count, kNumCallArguments);
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

}  // namespace mssp

PYBIND11_MODULE(_eager, module) {
  module.doc() = "The PyNative entry of ms_scatter_pa's CPU backend.";
  module.def("set_plan", &mssp::SetPlan, "Sets the function that turns call arguments into options.");
  module.attr("scatter_pa_kv_cache") = py::reinterpret_steal<py::object>(PyCFunction_New(&mssp::g_scatter, nullptr));
}
