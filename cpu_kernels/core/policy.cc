#include "policy.h"

#include <algorithm>
#include <atomic>

#include "call_sizes.h"
#include "simd/partial_stores.h"

namespace mssp {
namespace {

constexpr int64_t kStreamCacheBytes = int64_t{4} << 20;
constexpr int64_t kBytesPerThread = int64_t{128} << 10;

// Waking a worker takes about as long as one thread takes for a megabyte; a call of so many shares is worth it.
constexpr int64_t kWakeFactor = 16;

std::atomic<int64_t> stream_cache_bytes{kStreamCacheBytes};
std::atomic<int64_t> bytes_per_thread{kBytesPerThread};

int64_t CacheBytes(const MsspCall& call, const MsspSide& side) {
  if (side.rows == nullptr) return 0;
  const int64_t heads = IsCompressed(call) ? 1 : call.num_head;
  return Capacity(call) * heads * side.head_size * MsspItemSize(side.element_type);
}

}  // namespace

bool ShouldStream(const MsspCall& call) {
  const int64_t threshold = stream_cache_bytes.load(std::memory_order_relaxed);
  const bool stream = CacheBytes(call, call.key) >= threshold - CacheBytes(call, call.value);
  if (stream) DecidePartialStores();
  return stream;
}

bool ShouldStreamTo(int64_t cache_bytes) {
  const bool stream = cache_bytes >= stream_cache_bytes.load(std::memory_order_relaxed);
  if (stream) DecidePartialStores();
  return stream;
}

Team ChooseTeam(int64_t num_threads, int64_t bytes) {
  const int64_t useful = bytes / bytes_per_thread.load(std::memory_order_relaxed);
  if (useful <= 1) return {1, false};
  const int64_t wanted = num_threads > 0 ? num_threads : DefaultNumThreads();
  return {static_cast<int>(std::min({wanted, useful, int64_t{kMaxThreads}})), useful >= kWakeFactor};
}

void SetThresholds(int64_t stream_from, int64_t per_thread) {
  stream_cache_bytes.store(stream_from < 0 ? kStreamCacheBytes : stream_from, std::memory_order_relaxed);
  bytes_per_thread.store(per_thread < 0 ? kBytesPerThread : std::max<int64_t>(per_thread, 1),
                         std::memory_order_relaxed);
}

}  // namespace mssp
