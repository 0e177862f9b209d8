// Makes a call visible in MindSpore's profiler, as MindSpore makes its own CPU kernels visible.
#ifndef MS_SCATTER_PA_PROFILED_H_
#define MS_SCATTER_PA_PROFILED_H_

#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "plugin/cpu/profiler/cpu_profiling.h"

namespace mssp {

// MindSpore's profiler of the CPU. Looked up by name: a release without it loads, and shows nothing.
class CpuProfiling {
 public:
  using Profiler = mindspore::profiler::cpu::CPUProfiler;

  // nullptr where MindSpore has none; looked for once, and kept: its queue may outlive this library's statics.
  static CpuProfiling* Get() {
    static CpuProfiling* const found = Find();
    return found;
  }

  bool IsOn() const { return profiler_->GetEnableFlag(); }

  // MindSpore remembers one execution at a time here, so those of several threads wait for each other. Its calls for
  // executions side by side end the process where none of its own operators has run yet.
  std::unique_lock<std::mutex> Begin(const char* name) {
    std::unique_lock<std::mutex> lock(one_at_a_time_);
    begin_(profiler_.get(), name, static_cast<uint32_t>(getpid()));
    return lock;
  }
  void End() { profiler_->OpDataProducerEnd(); }

 private:
  using BeginFunction = void (*)(Profiler*, std::string, uint32_t);  // of a member function

  CpuProfiling(std::shared_ptr<Profiler> profiler, BeginFunction begin)
      : profiler_(std::move(profiler)), begin_(begin) {}

  static CpuProfiling* Find() {
    void* const library = dlopen("libmindspore_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) {
      return nullptr;
    }
    const auto get = reinterpret_cast<std::shared_ptr<Profiler> (*)()>(
        dlsym(library, "_ZN9mindspore8profiler3cpu11CPUProfiler11GetInstanceEv"));
    const auto begin = reinterpret_cast<BeginFunction>(
        dlsym(library, "_ZN9mindspore8profiler3cpu11CPUProfiler19OpDataProducerBeginESsj"));
    if (get == nullptr || begin == nullptr) {
      return nullptr;
    }
    auto profiler = get();
    return profiler == nullptr ? nullptr : new CpuProfiling(std::move(profiler), begin);
  }

  const std::shared_ptr<Profiler> profiler_;
  const BeginFunction begin_;
  std::mutex one_at_a_time_;
};

// From construction to destruction is one execution of the operator, where a profiler runs.
class Profiled {
 public:
  explicit Profiled(const char* name) {
    CpuProfiling* const profiling = CpuProfiling::Get();
    if (profiling == nullptr || !profiling->IsOn()) {
      return;
    }
    lock_ = profiling->Begin(name);
    profiling_ = profiling;
  }
  ~Profiled() {
    if (profiling_ != nullptr) {
      profiling_->End();
    }
  }
  Profiled(const Profiled&) = delete;
  Profiled& operator=(const Profiled&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  CpuProfiling* profiling_ = nullptr;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_PROFILED_H_
