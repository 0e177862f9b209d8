#include "streaming_copy.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "cpu_features.h"
#include "export.h"
#include "threads.h"

extern "C" MSSP_EXPORT void MsspStreamingCopy(void* to, const void* from, int64_t bytes, int32_t num_threads,
                                              int32_t streamed) {
  const mssp::Kernels& kernels = mssp::ActiveKernels();
  const int threads = num_threads > 0 ? num_threads : mssp::DefaultNumThreads();
  // Whole pages, shared out as the operator shares its rows: a thread that is disturbed holds nobody up.
  const int64_t parts = threads == 1 ? 1 : int64_t{4} * threads;
  const int64_t part = (bytes / parts + 4095) / 4096 * 4096;
  std::atomic<int64_t> next{0};
  mssp::RunOnThreads(threads, [&] {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < parts;) {
      const int64_t begin = std::min(i * part, bytes);
      const int64_t size = std::min(part, bytes - begin);
      char* const out = static_cast<char*>(to) + begin;
      const char* const in = static_cast<const char*>(from) + begin;
      if (streamed != 0) {
        kernels.stream_rows(out, in, size, size, 1);
      } else {
        std::memcpy(out, in, static_cast<size_t>(size));
      }
    }
    if (streamed != 0) kernels.fence();
  });
}
