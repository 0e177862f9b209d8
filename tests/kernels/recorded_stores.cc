// The list that recorded_stores.h writes to.
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

namespace {

struct Store {
  int64_t to;
  int64_t bytes;
};

std::mutex mutex;
std::vector<Store> stores;

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void MsspTestRecordStore(const void* to, int bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  stores.push_back({static_cast<int64_t>(reinterpret_cast<uintptr_t>(to)), bytes});
}

// Up to `most` stores since the last call, and how many there were.
__attribute__((visibility("default"))) int64_t MsspTestTakeStores(int64_t* out, int64_t most) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto count = static_cast<int64_t>(stores.size());
  std::memcpy(out, stores.data(), static_cast<size_t>(count < most ? count : most) * sizeof(Store));
  stores.clear();
  return count;
}

}  // extern "C"
