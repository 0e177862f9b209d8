#include "partial_stores.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>

#include "../call_sizes.h"
#endif

namespace mssp {

std::atomic<int32_t> partial_stores{-1};

namespace {

// Measured: 1.0 to 1.6 where streaming a share of them pays, 5 to 9 where it does not.
constexpr double kPunished = 3.0;

#if defined(__x86_64__)

constexpr int kStores = 256;
constexpr int kRounds = 3;
constexpr int kReadAhead = 32;
constexpr int64_t kApart = 4 * kLine;  // beyond what hardware reads beside a line

double Nanoseconds(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
}

// Of a store of half a line, whose line no cache has.
template <bool kStreamed>
double TimeStores(char* memory) {
  for (int i = 0; i < kStores; ++i) _mm_clflush(memory + i * kApart);
  _mm_mfence();
  const auto begin = std::chrono::steady_clock::now();
  const __m128i value = _mm_set1_epi8(1);
  for (int i = 0; i < kStores; ++i) {
    if (!kStreamed && i + kReadAhead < kStores) _mm_prefetch(memory + (i + kReadAhead) * kApart, _MM_HINT_T1);
    auto* const to = reinterpret_cast<__m128i*>(memory + i * kApart);
    for (int half = 0; half < 2; ++half) {
      if constexpr (kStreamed) {
        _mm_stream_si128(to + half, value);
      } else {
        _mm_store_si128(to + half, value);
      }
    }
  }
  _mm_sfence();
  return Nanoseconds(begin) / kStores;
}

#endif

// A negative number where nothing is said.
int32_t FromEnvironment() {
  const char* const name = std::getenv("MS_SCATTER_PA_PARTIAL_STORES");
  if (name == nullptr) return -1;
  if (std::strcmp(name, "streamed") == 0) return 1;
  return std::strcmp(name, "ordinary") == 0 ? 0 : -1;
}

}  // namespace

PartialStoreTimes MeasurePartialStores() {
#if defined(__x86_64__)
  const std::unique_ptr<char[]> memory(new (std::nothrow) char[kStores * kApart + kLine]);
  if (memory == nullptr) return {};
  const auto at = reinterpret_cast<uintptr_t>(memory.get());
  char* const line = memory.get() + (kLine - at % kLine) % kLine;
  std::memset(line, 0, static_cast<size_t>(kStores * kApart));
  PartialStoreTimes best = {TimeStores<false>(line), TimeStores<true>(line)};
  for (int round = 1; round < kRounds; ++round) {
    best.ordinary = std::min(best.ordinary, TimeStores<false>(line));
    best.streamed = std::min(best.streamed, TimeStores<true>(line));
  }
  return best;
#else
  return {};
#endif
}

void DecideNow() {
  int32_t decided = FromEnvironment();
  if (decided < 0) {
    const PartialStoreTimes times = MeasurePartialStores();
    decided = times.streamed > 0 && times.streamed < kPunished * times.ordinary ? 1 : 0;
  }
  int32_t undecided = -1;
  partial_stores.compare_exchange_strong(undecided, decided, std::memory_order_relaxed);
}

void SetPartialStores(int32_t streamed) {
  partial_stores.store(streamed < 0 ? -1 : streamed != 0, std::memory_order_relaxed);
}

}  // namespace mssp
