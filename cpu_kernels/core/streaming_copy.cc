#include "streaming_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "export.h"
#include "policy.h"
#include "shares.h"
#include "simd/cpu_features.h"

extern "C" MSSP_EXPORT void MsspStreamingCopy(void* to, const void* from, int64_t bytes, int32_t num_threads,
                                              int32_t streamed) {
  const mssp::Kernels& kernels = mssp::ActiveKernels();
  const mssp::Team team = mssp::ChooseTeam(num_threads, bytes);
  constexpr int64_t kPage = 4096;
  mssp::Shares pages((bytes + kPage - 1) / kPage, team.num_threads, 32);
  mssp::RunOnThreads(team, [&] {
    const int self = pages.Join();
    for (mssp::Range piece; pages.Take(self, &piece);) {
      const int64_t begin = piece.begin * kPage;
      const int64_t size = std::min(piece.end * kPage, bytes) - begin;
      char* const out = static_cast<char*>(to) + begin;
      const char* const in = static_cast<const char*>(from) + begin;
      if (streamed != 0) {
        kernels.stream_long(out, in, size);
      } else {
        std::memcpy(out, in, static_cast<size_t>(size));
      }
    }
    if (streamed != 0) kernels.fence();
  });
}
