// IEEE arithmetic for a scope: subnormals kept, round to nearest. Framework threads run with flush-to-zero on.
#ifndef MS_SCATTER_PA_CORE_FLOAT_ENVIRONMENT_H_
#define MS_SCATTER_PA_CORE_FLOAT_ENVIRONMENT_H_

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mssp {

// Arithmetic that depends on it must sit in a function that is not inlined into the scope: compilers do not model the
// control register.
class IeeeScope {
 public:
  IeeeScope() : saved_(Read()) { Write(kDefault); }
  ~IeeeScope() { Write(saved_); }
  IeeeScope(const IeeeScope&) = delete;
  IeeeScope& operator=(const IeeeScope&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t kDefault = 0x1F80;  // all exceptions masked
  static uint64_t Read() { return _mm_getcsr(); }
  static void Write(uint64_t value) { _mm_setcsr(static_cast<unsigned>(value)); }
#elif defined(__aarch64__)
  static constexpr uint64_t kDefault = 0;
  static uint64_t Read() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void Write(uint64_t value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
  static constexpr uint64_t kDefault = 0;
  static uint64_t Read() { return 0; }
  static void Write(uint64_t) {}
#endif

  uint64_t saved_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_FLOAT_ENVIRONMENT_H_
