// Norm, PA_NZ and NHSD: shares the tokens of both sides out to the threads.
#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cpu_features.h"
#include "layout.h"
#include "policy.h"
#include "threads.h"
#include "token_writer.h"
#include "write.h"

namespace mssp {
namespace {

// Long enough for runs to stay whole and prefetches to matter, short enough to even out threads that are disturbed.
constexpr int64_t kChunkBytes = int64_t{256} << 10;
constexpr int64_t kChunksPerThread = 4;
constexpr int64_t kMinChunk = 8;

void WriteRange(const TokenWriter& writer, int32_t layout, int64_t begin, int64_t end) {
  switch (layout) {
    case MSSP_NORM:
      return WriteNorm(writer, begin, end);
    case MSSP_PA_NZ:
      return WriteNz(writer, begin, end);
    default:
      return WriteNhsd(writer, begin, end);
  }
}

}  // namespace

void WriteTokens(const MsspCall& call) {
  const Kernels& kernels = ActiveKernels();
  // A few PA_NZ tokens are done before the first streamed unit would have reached memory.
  const bool stream = ShouldStream(call) && (call.layout != MSSP_PA_NZ || call.num_tokens >= kNzTile);
  const IndexArray slots(call.slot_mapping, call.index_type);
  const TokenWriter all[2] = {{ViewSide(call, call.key), slots, &kernels, stream},
                              {ViewSide(call, call.value), slots, &kernels, stream}};
  const TokenWriter* writers[2];
  int num_writers = 0;
  int64_t token_bytes = 0;
  for (const TokenWriter& writer : all) {
    if (writer.side.rows == nullptr || writer.side.token_bytes == 0) continue;
    writers[num_writers++] = &writer;
    token_bytes += writer.side.token_bytes;
  }
  if (num_writers == 0) return;

  const int num_threads = ChooseNumThreads(call, call.num_tokens * token_bytes);
  if (num_threads <= 1) {
    for (int i = 0; i < num_writers; ++i) WriteRange(*writers[i], call.layout, 0, call.num_tokens);
    if (stream) kernels.fence();
    return;
  }
  const int64_t even = call.num_tokens * num_writers / (num_threads * kChunksPerThread);
  const int64_t chunk = std::max(std::min(even, kChunkBytes * num_writers / token_bytes), kMinChunk);
  const int64_t chunks = (call.num_tokens + chunk - 1) / chunk;
  std::atomic<int64_t> next{0};
  RunOnThreads(num_threads, [&] {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks * num_writers;) {
      const int64_t begin = i % chunks * chunk;
      WriteRange(*writers[i / chunks], call.layout, begin, std::min(begin + chunk, call.num_tokens));
    }
    if (stream) kernels.fence();
  });
}

}  // namespace mssp
