#include "cpu_features.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace mssp {
namespace {

bool Runs(const Kernels& kernels) {
#if defined(__x86_64__)
  if (&kernels == &kAvx512Kernels) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx2");
  }
  // F16C came before AVX2 on every processor; compilers' cpu_supports does not know it by name.
  if (&kernels == &kAvx2Kernels) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  (void)kernels;
  return true;
}

// Best first.
constexpr const Kernels* kSets[] = {
#if defined(__x86_64__)
    &kAvx512Kernels,
    &kAvx2Kernels,
#elif defined(__aarch64__)
    &kNeonKernels,
#endif
    &kPortableKernels,
};

const Kernels* Find(const char* name) {
  const bool any = name == nullptr || name[0] == '\0';
  for (const Kernels* set : kSets) {
    if ((any || std::strcmp(set->name, name) == 0) && Runs(*set)) return set;
  }
  return nullptr;
}

const Kernels* FromEnvironment() {
  const Kernels* set = Find(std::getenv("MS_SCATTER_PA_CPU"));
  return set != nullptr ? set : Find(nullptr);
}

std::atomic<const Kernels*> active{nullptr};

}  // namespace

const Kernels& ActiveKernels() {
  const Kernels* set = active.load(std::memory_order_relaxed);
  if (set == nullptr) {
    set = FromEnvironment();
    active.store(set, std::memory_order_relaxed);
  }
  return *set;
}

bool SelectKernels(const char* name) {
  const Kernels* set = Find(name);
  if (set != nullptr) active.store(set, std::memory_order_relaxed);
  return set != nullptr;
}

}  // namespace mssp
