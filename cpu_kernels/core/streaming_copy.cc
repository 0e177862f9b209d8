#include "streaming_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "export.h"
#include "overlap.h"
#include "policy.h"
#include "shares.h"
#include "simd/cpu_features.h"

extern "C" MSSP_EXPORT void MsspStreamingCopy(void* to, const void* from, int64_t bytes, int32_t num_threads,
                                              int32_t streamed) {
  if (bytes <= 0 || bytes > mssp::kMaxBytes) return;
  const mssp::Kernels& kernels = mssp::ActiveKernels();
  const mssp::Team team = mssp::ChooseTeam(num_threads, bytes);
  constexpr int64_t kPage = 4096;
  const int64_t num_pages = (bytes + kPage - 1) / kPage;
  const auto copy = [&](const mssp::Range& piece) {
    const int64_t begin = piece.begin * kPage;
    const int64_t size = std::min(piece.end * kPage, bytes) - begin;
    char* const out = static_cast<char*>(to) + begin;
    const char* const in = static_cast<const char*>(from) + begin;
    if (streamed != 0) {
      kernels.stream_long(out, in, size);
    } else {
      std::memcpy(out, in, static_cast<size_t>(size));
    }
  };
  try {
    mssp::Shares pages(num_pages, team.num_threads, 32);
    mssp::RunOnThreads(team, [&] {
      const int self = pages.Join();
      for (mssp::Range piece; pages.Take(self, &piece);) copy(piece);
      if (streamed != 0) kernels.fence();
    });
  } catch (const std::bad_alloc&) {  // of Shares: nothing was copied yet
    copy({0, num_pages});
    if (streamed != 0) kernels.fence();
  }
}
