// MindSpore's pyboost extension: the way in from PyNative, in order with the framework's own queue.
//
// A call looks at shapes, dtypes and modes once: Python's rules (checks.py) run for a combination that was not seen
// before, and what they decided is kept here by the same key. What values decide is checked in the kernel.
#include <pthread.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "call_from_tensors.h"
#include "core/op_info.h"
#include "core/overlap.h"
#include "error_text.h"
#include "mindspore_compat.h"
#include "mindspore_release.h"
#include "paged_run.h"
#include "profiled.h"

namespace mssp {
namespace {

constexpr int kMessageSize = 1024;
constexpr size_t kMaxKnown = 8192;  // distinct shapes seen; forgotten all at once beyond that
constexpr size_t kMaxBytesLocked = 256 << 10;
constexpr size_t kMaxRank = MSSP_MAX_RANK;  // the rules take fewer and refuse more before

// What differs between the operators.
struct ScatterOperator {
  using Options = MsspOptions;
  static constexpr const char* kName = "ScatterPaKvCache";
  static constexpr const char* kFunction = "scatter_pa_kv_cache";
  static constexpr const char* kPublicName = "npu_scatter_pa_kv_cache";
  static constexpr const auto& kNames = kArgumentNames;
  static constexpr int kArguments = MSSP_NUM_ARGUMENTS;
  static constexpr int kModes = MSSP_NUM_MODES;
  static constexpr int kOptions = MSSP_NUM_OPTIONS;
  static constexpr auto Run = MsspRun;
  static constexpr uint32_t kWritten = mssp::kWritten;
  static constexpr uint32_t kCaches = mssp::kCaches;
};

struct GatherOperator {
  using Options = MsspGatherOptions;
  static constexpr const char* kName = "GatherPaKvCache";
  static constexpr const char* kFunction = "gather_pa_kv_cache";
  static constexpr const char* kPublicName = "npu_gather_pa_kv_cache";
  static constexpr const auto& kNames = gather::kArgumentNames;
  static constexpr int kArguments = MSSP_GATHER_NUM_ARGUMENTS;
  static constexpr int kModes = MSSP_GATHER_NUM_MODES;
  static constexpr int kOptions = MSSP_GATHER_NUM_OPTIONS;
  static constexpr auto Run = MsspRunGather;
  static constexpr uint32_t kWritten = gather::kWritten;
  static constexpr uint32_t kCaches = gather::kCaches;
};

struct QuantOperator {
  using Options = MsspQuantOptions;
  static constexpr const char* kName = "QuantScatterPaKvCache";
  static constexpr const char* kFunction = "quant_scatter_pa_kv_cache";
  static constexpr const char* kPublicName = "quant_scatter_pa_kv_cache";
  static constexpr const auto& kNames = quant::kArgumentNames;
  static constexpr int kArguments = MSSP_QUANT_NUM_ARGUMENTS;
  static constexpr int kModes = MSSP_QUANT_NUM_MODES;
  static constexpr int kOptions = MSSP_QUANT_NUM_OPTIONS;
  static constexpr auto Run = MsspRunQuant;
  static constexpr uint32_t kWritten = quant::kWritten;
  static constexpr uint32_t kCaches = quant::kCaches;
};

constexpr bool HasBit(uint32_t bits, int argument) { return (bits >> argument & 1) != 0; }

template <typename Op>
constexpr int kLastStatus = Op::kArguments + Op::kModes;
template <typename Op>
constexpr int kNumCallArguments = kLastStatus<Op> + 1;

using Key = std::vector<int64_t>;
using mindspore::tensor::TensorPtr;

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

// Guarded by the interpreter lock, as all of this file's statics that calls change.
template <typename Op>
std::unordered_map<Key, typename Op::Options, KeyHash>* KnownOptions() {
  static auto* known = new std::unordered_map<Key, typename Op::Options, KeyHash>();
  return known;
}

template <typename Op>
PyObject* g_options_function = nullptr;  // options_of_call in Python: raises, or returns the options as a tuple of int

// The tensors of one call: those that are there, in the order of op_info's ARGUMENTS.
template <typename Op>
struct Request {
  std::array<TensorPtr, Op::kArguments> tensors;
  TensorPtr last_status;
  typename Op::Options options{};
};

constexpr const char* kAdvice =
    ". Calls that were queued after it may be lost: repeat them, or pass on_error=\"record\", which never raises";

std::string ForPython(const char* message) { return std::string(WithoutType(message)) + kAdvice; }

// By the tensor's own dtype: a view of another dtype counts its offset in that one, while MindSpore's item sizes are
// those of the memory below it.
int64_t ItemSizeOf(const mindspore::tensor::Tensor& tensor) {
  return static_cast<int64_t>(mindspore::abstract::TypeIdSize(tensor.data_type()));
}

uint8_t* DataOf(const mindspore::tensor::Tensor& tensor) {
  const auto& address = tensor.device_address();
  auto* data = address == nullptr ? nullptr : static_cast<uint8_t*>(address->GetMutablePtr());
  return data == nullptr ? nullptr : data + static_cast<int64_t>(tensor.storage_offset()) * ItemSizeOf(tensor);
}

// A last status is written as four int64, whatever its Parameter was made of meanwhile.
bool HoldsStatus(const mindspore::tensor::Tensor& tensor) {
  const auto& shape = tensor.shape();
  return tensor.data_type() == mindspore::kNumberTypeInt64 && shape.size() == 1 && shape[0] == MSSP_STATUS_SIZE &&
         tensor.is_contiguous();
}

// Whether the memory below a tensor ends before the tensor does, whose shape stays when its storage is made smaller
// (`untyped_storage().resize_`). The status says how many bytes there are and how many there should be.
MsspStatus CheckMemory(const mindspore::tensor::Tensor& tensor, int argument) {
  const auto& shape = tensor.shape();
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    return {MSSP_WRITTEN, 0, 0, 0};
  }
  int64_t last = static_cast<int64_t>(tensor.storage_offset());  // element
  if (tensor.is_contiguous()) {
    last += Product(shape.data(), static_cast<int64_t>(shape.size())) - 1;
  } else {
    const auto strides = tensor.stride();
    for (size_t i = 0; i < shape.size(); ++i) {
      last += (shape[i] - 1) * strides[i];
    }
  }
  const int64_t expected = (last + 1) * ItemSizeOf(tensor);
  const auto& address = tensor.device_address();
  const int64_t given = address == nullptr ? 0 : static_cast<int64_t>(address->GetSize());
  return given < expected ? MsspStatus{MSSP_BAD_SHAPES, argument, given, expected} : MsspStatus{MSSP_WRITTEN, 0, 0, 0};
}

// Where the tensors of a request are and how large, kept: another thread may give a tensor other memory meanwhile.
template <typename Op>
struct TensorAddresses {
  explicit TensorAddresses(const Request<Op>& call) {
    for (int i = 0; i < Op::kArguments; ++i) {
      if (call.tensors[i] == nullptr) {
        continue;
      }
      const auto& tensor = *call.tensors[i];
      const auto& shape = tensor.shape();
      if (shape.size() > kMaxRank) {
        throw py::value_error("more dimensions than the operator takes");
      }
      std::copy(shape.begin(), shape.end(), shapes[i].begin());
      if (memory.code == MSSP_WRITTEN) {
        memory = CheckMemory(tensor, i);
      }
      held[i] = tensor.device_address();
      tensors[i] = {DataOf(tensor), shapes[i].data(), nullptr, static_cast<int64_t>(shape.size())};
      if (!tensor.is_contiguous()) {
        strides[i] = tensor.stride();
        tensors[i].strides = strides[i].data();
      }
    }
    if (call.last_status != nullptr) {
      if (!HoldsStatus(*call.last_status)) {
        throw py::value_error("last_status: changed while the call was queued, expected int64 [4], contiguous");
      }
      if (CheckMemory(*call.last_status, Op::kArguments).code != MSSP_WRITTEN) {
        throw py::value_error("last_status: given int64 [4] in a storage that was made smaller, expected 32 bytes");
      }
      held.back() = call.last_status->device_address();
      last_status = reinterpret_cast<int64_t*>(DataOf(*call.last_status));
    }
  }

  using Address = std::decay_t<decltype(std::declval<const mindspore::tensor::Tensor&>().device_address())>;

  std::array<Address, Op::kArguments + 1> held;
  std::array<std::array<int64_t, kMaxRank>, Op::kArguments> shapes;
  std::array<std::vector<int64_t>, Op::kArguments> strides;
  MsspTensor tensors[Op::kArguments] = {};
  int64_t* last_status = nullptr;
  MsspStatus memory = {MSSP_WRITTEN, 0, 0, 0};
};

// Refuses a call one of whose tensors ends behind its memory, before anything is read.
template <typename Op>
void RefuseMemory(const TensorAddresses<Op>& at, const typename Op::Options& options, int64_t* status) {
  const auto& [code, position, given, expected] = at.memory;
  for (int64_t* const to : {status, at.last_status}) {
    if (to != nullptr) {
      const int64_t line[MSSP_STATUS_SIZE] = {code, position, given, expected};
      std::copy(line, line + MSSP_STATUS_SIZE, to);
    }
  }
  if (options.record == 0) {
    throw py::value_error(std::string(Op::kNames[position]) + ": given a storage of " + std::to_string(given) +
                          " bytes, expected " + std::to_string(expected) + " for its shape; " + Op::kPublicName +
                          " wrote nothing" + kAdvice);
  }
}

// Runs the operator; throws what the status says unless the call records.
template <typename Op>
void RunNow(const TensorAddresses<Op>& at, const typename Op::Options& options, int64_t* status) {
  if (at.memory.code != MSSP_WRITTEN) {
    return RefuseMemory(at, options, status);
  }
  char message[kMessageSize];
  const MsspStatus result = [&] {
    const Profiled profiled(Op::kName);
    return Op::Run(at.tensors, &options, status, at.last_status, message, kMessageSize);
  }();
  if (result.code == MSSP_WRITTEN || options.record != 0) {
    return;
  }
  if (result.code == MSSP_BAD_SLOT) {
    throw py::index_error(ForPython(message));
  }
  if (result.code == MSSP_NO_MEMORY) {
    throw NoMemory(ForPython(message).c_str());
  }
  throw py::value_error(ForPython(message));
}

template <typename Op>
class Launch : public ms::pynative::PyboostRunner {
 public:
  using PyboostRunner::PyboostRunner;

  void Prepare(const Request<Op>& call) { call_ = call; }

  void LaunchKernel() override {
    size_t next = 0;
    for (auto& tensor : call_.tensors) {
      if (tensor != nullptr) {
        tensor = inputs()[next++].tensor();
      }
    }
    RunNow(TensorAddresses<Op>(call_), call_.options, static_cast<int64_t*>(outputs()[0].GetDataPtr()));
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
  Request<Op> call_;
};

// Asks Python's rules; throws what they raise.
template <typename Op>
typename Op::Options AskForOptions(PyObject* const* args) {
  PyObject* answer = PyObject_Vectorcall(g_options_function<Op>, args, kNumCallArguments<Op>, nullptr);
  if (answer == nullptr) {
    throw py::error_already_set();
  }
  const auto owned = py::reinterpret_steal<py::tuple>(answer);
  typename Op::Options options{};
  auto* fields = reinterpret_cast<int64_t*>(&options);
  for (size_t i = 0; i < static_cast<size_t>(Op::kOptions); ++i) {
    fields[i] = owned[i].cast<int64_t>();
  }
  return options;
}

bool IsInternedMode(PyObject* object) {
  return object == Py_None || object == Py_True || object == Py_False ||
         (PyUnicode_CheckExact(object) && PyUnicode_CHECK_INTERNED(object) != 0);
}

[[noreturn]] void RefuseLastStatus(PyObject* given, const mindspore::tensor::Tensor& tensor) {
  const py::handle object(given);
  const auto dtype = py::str(object.attr("dtype")).attr("lower")().cast<std::string>();
  const auto shape = py::str(py::list(object.attr("shape"))).cast<std::string>();
  const std::string text = "last_status: given " + dtype + " " + shape +
                           (tensor.is_contiguous() ? "" : " that is strided") + ", expected int64 [4], contiguous";
  if (tensor.data_type() != mindspore::kNumberTypeInt64) {
    throw py::type_error(text);
  }
  throw py::value_error(text);
}

// Reads the tensors of a call and what identifies it: ranks, dtypes, shapes and modes.
template <typename Op>
void ReadArguments(PyObject* const* args, Request<Op>* call, Key* key) {
  key->clear();
  for (int i = 0; i < Op::kArguments; ++i) {
    if (args[i] == Py_None) {
      key->push_back(-1);
      continue;
    }
    if (!mindspore::tensor::IsTensorPy(args[i])) {
      (void)AskForOptions<Op>(args);
      throw py::type_error("expected a Tensor");
    }
    TensorPtr tensor = mindspore::tensor::ConvertToTensor(args[i]);
    const auto& shape = tensor->shape();
    key->push_back(static_cast<int64_t>(shape.size()) << 32 | static_cast<int64_t>(tensor->data_type()));
    key->insert(key->end(), shape.begin(), shape.end());
    if (HasBit(Op::kCaches | Op::kWritten, i) && !tensor->is_contiguous()) {
      (void)AskForOptions<Op>(args);  // refuses all strides but that of blocks; strides are no part of the key
    }
    call->tensors[i] = std::move(tensor);
  }
  PyObject* const last_status = args[kLastStatus<Op>];
  if (last_status != Py_None) {
    if (!mindspore::tensor::IsTensorPy(last_status)) {
      throw py::type_error("last_status: expected a Tensor, int64 [4]");
    }
    call->last_status = mindspore::tensor::ConvertToTensor(last_status);
    if (!HoldsStatus(*call->last_status)) {
      RefuseLastStatus(last_status, *call->last_status);
    }
  }
}

template <typename Op>
typename Op::Options FindOptions(PyObject* const* args, Key* key) {
  bool cacheable = true;
  for (int i = Op::kArguments; i < kNumCallArguments<Op>; ++i) {
    PyObject* mode = i == kLastStatus<Op> && args[i] != Py_None ? Py_True : args[i];
    cacheable = cacheable && IsInternedMode(mode);
    key->push_back(reinterpret_cast<int64_t>(mode));
  }
  if (!cacheable) {
    return AskForOptions<Op>(args);
  }
  auto* known = KnownOptions<Op>();
  const auto found = known->find(*key);
  if (found != known->end()) {
    return found->second;
  }
  const Key asked = *key;  // the rules run Python, which may come back here
  const typename Op::Options options = AskForOptions<Op>(args);
  if (known->size() >= kMaxKnown) {
    known->clear();
  }
  for (int i = Op::kArguments; i < kLastStatus<Op>; ++i) {
    Py_INCREF(args[i]);  // an interned string's address stays its own
  }
  known->emplace(asked, options);
  return options;
}

// With nothing queued a write on this very thread is in order and saves two hand-overs.
template <typename Op>
bool CanRunHere(const Request<Op>& call) {
  const auto& pipeline = mindspore::runtime::Pipeline::Get();
  if (!pipeline.frontend_stage()->Empty() || !pipeline.backend_stage()->Empty() || !pipeline.launch_stage()->Empty()) {
    return false;
  }
  const auto is_there = [](const TensorPtr& tensor) { return tensor == nullptr || DataOf(*tensor) != nullptr; };
  return is_there(call.last_status) && std::all_of(call.tensors.begin(), call.tensors.end(), is_there);
}

// Other Python threads may run meanwhile. An interpreter that is at its end stops a thread that asks for its lock by
// unwinding it, which no destructor and no catch-all may be in the way of.
template <typename Op>
void RunUnlocked(const TensorAddresses<Op>& at, const typename Op::Options& options, int64_t* status) {
  std::exception_ptr error;
  PyThreadState* const state = PyEval_SaveThread();
  try {
    RunNow(at, options, status);
  } catch (const std::exception&) {
    error = std::current_exception();
  }
  PyEval_RestoreThread(state);
  if (error) {
    std::rethrow_exception(error);
  }
}

template <typename Op>
PyObject* RunHere(const Request<Op>& call) {
  std::array<int64_t, MSSP_STATUS_SIZE> status{};
  size_t bytes = 0;
  for (int i = 0; i < Op::kArguments; ++i) {
    if (call.tensors[i] != nullptr && !HasBit(Op::kCaches, i)) {
      bytes += call.tensors[i]->DataSize() * static_cast<size_t>(ItemSizeOf(*call.tensors[i]));
    }
  }
  const TensorAddresses<Op> at(call);
  if (bytes <= kMaxBytesLocked) {
    RunNow(at, call.options, status.data());
  } else {
    RunUnlocked(at, call.options, status.data());
  }
  return mindspore::tensor::Wrap(
      TensorOfBytes(mindspore::kNumberTypeInt64, {MSSP_STATUS_SIZE}, status.data(), sizeof(status)));
}

template <typename Op>
PyObject* RunInQueue(const Request<Op>& call) {
  std::vector<ms::Tensor> inputs;
  inputs.reserve(Op::kArguments + 1);
  for (int i = 0; i < Op::kArguments; ++i) {
    if (call.tensors[i] == nullptr) {
      continue;
    }
    inputs.emplace_back(call.tensors[i]);
    inputs.back().SetNeedContiguous(false);  // the operator takes everything as it is strided
  }
  if (call.last_status != nullptr) {
    inputs.emplace_back(call.last_status);
  }
  static const std::string kName = Op::kName;
  return ms::pynative::PyboostRunner::Call<1>(
             [call](const std::vector<ms::Tensor>& inputs) {
               auto runner = std::make_shared<Launch<Op>>(kName);
               runner->Prepare(call);
               std::vector<ms::Tensor> outputs{ms::Tensor(mindspore::kNumberTypeInt64, {MSSP_STATUS_SIZE})};
               runner->Run(inputs, outputs);
               return outputs[0];
             },
             std::move(inputs))
      .release()
      .ptr();
}

template <typename Op>
PyObject* RunCall(PyObject* const* args) {
  thread_local Key key;
  Request<Op> call;
  ReadArguments(args, &call, &key);
  call.options = FindOptions<Op>(args, &key);
  return CanRunHere(call) ? RunHere(call) : RunInQueue(call);
}

// The thread that ends the interpreter, once it does. Then MindSpore's queue closes, and a thread that still queues,
// with MindSpore's own operators too, never comes back, and the process does not end.
unsigned long g_ending_thread = 0;
int64_t g_calls = 0;  // under way, of all threads

struct CallUnderWay {
  CallUnderWay() { ++g_calls; }
  ~CallUnderWay() { --g_calls; }
};

// Waits for other threads' calls, which queue and use memory without the interpreter lock. Later ones are refused.
void BeginEnd() {
  g_ending_thread = PyThread_get_thread_ident();
  while (g_calls > 0) {
    const py::gil_scoped_release unlocked;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

bool IsTooLate() { return g_ending_thread != 0 && g_ending_thread != PyThread_get_thread_ident(); }

template <typename Op>
PyObject* Entry(PyObject* /*self*/, PyObject* const* args, Py_ssize_t count) {
  if (IsTooLate()) {
    PyErr_Format(
        PyExc_RuntimeError,
        "%s: called by a thread that runs on while the interpreter ends, when MindSpore's queue is closed: end "
        "and join such threads before; nothing was written",
        Op::kFunction);
    return nullptr;
  }
  if (count != kNumCallArguments<Op>) {
    PyErr_Format(PyExc_TypeError, "%s: given %zd arguments, expected %d", Op::kFunction, count, kNumCallArguments<Op>);
    return nullptr;
  }
  const CallUnderWay under_way;
  try {
    return RunCall<Op>(args);
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

template <typename Op>
PyMethodDef g_method = {Op::kFunction, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(Entry<Op>)),
                        METH_FASTCALL, nullptr};

template <typename Op>
void SetOptionsFunction(const py::object& function) {
  Py_XDECREF(g_options_function<Op>);
  g_options_function<Op> = function.inc_ref().ptr();
  KnownOptions<Op>()->clear();
}

template <typename Op>
void Define(py::module_* module) {
  const std::string function = Op::kFunction;
  module->def(("set_options_function_of_" + function).c_str(), &SetOptionsFunction<Op>,
              "Sets the function that turns call arguments into options.");
  module->attr(Op::kFunction) = py::reinterpret_steal<py::object>(PyCFunction_New(&g_method<Op>, nullptr));
}

// A view of a whole tensor is one too, which Python cannot see.
bool IsView(const py::object& tensor) {
  return mindspore::tensor::ConvertToTensor(tensor.ptr())->storage_info() != nullptr;
}

// Of a tensor in one piece that its storage holds; 0 of any other.
int64_t ContiguousBytes(const py::object& object) {
  const auto tensor = mindspore::tensor::ConvertToTensor(object.ptr());
  const auto& shape = tensor->shape();
  if (!tensor->is_contiguous() || CheckMemory(*tensor, 0).code != MSSP_WRITTEN) {
    return 0;
  }
  return Product(shape.data(), static_cast<int64_t>(shape.size())) * ItemSizeOf(*tensor);
}

}  // namespace
}  // namespace mssp

PYBIND11_MODULE(_eager, module) {
  module.doc() = "The PyNative entry of ms_scatter_pa's CPU backend.";
  mssp::Define<mssp::ScatterOperator>(&module);
  mssp::Define<mssp::GatherOperator>(&module);
  mssp::Define<mssp::QuantOperator>(&module);
  module.def("is_view", &mssp::IsView, "Whether a tensor is a view into another one's memory, or of all of it.");
  module.def("contiguous_bytes", &mssp::ContiguousBytes,
             "The bytes of a tensor in one piece that its storage holds; 0 of any other.");
  module.def("begin_end", &mssp::BeginEnd,
             "Says that the calling thread ends the interpreter: waits for calls of others, and refuses later ones.");
  (void)pthread_atfork(nullptr, nullptr, [] { mssp::g_calls = 0; });  // a child has none of the other threads
}
