#include "cache_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "export.h"

namespace {

constexpr uint64_t kHugePage = 2u << 20;

// Whole pages, 0 when that overflows.
uint64_t MappedBytes(int64_t bytes) {
  if (bytes <= 0 || bytes > INT64_MAX - static_cast<int64_t>(2 * kHugePage)) return 0;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return (static_cast<uint64_t>(bytes) + page - 1) / page * page;
}

void* Map(uint64_t size) {
  void* const mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return mapping == MAP_FAILED ? nullptr : mapping;
}

}  // namespace

extern "C" MSSP_EXPORT void* MsspAllocCache(int64_t bytes) {
  const uint64_t size = MappedBytes(bytes);
  if (size == 0) return nullptr;
  if (size < kHugePage) return Map(size);  // a huge page would take more than was asked for
  // One huge page more than needed, so that an aligned part can be kept and the rest given back.
  char* const begin = static_cast<char*>(Map(size + kHugePage));
  if (begin == nullptr) return nullptr;
  const uint64_t head = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (head != 0) munmap(begin, head);
  if (head != kHugePage) munmap(begin + head + size, kHugePage - head);
#if defined(MADV_HUGEPAGE)
  madvise(begin + head, size / kHugePage * kHugePage, MADV_HUGEPAGE);  // may fail: small pages are correct too
#endif
  return begin + head;
}

extern "C" MSSP_EXPORT void MsspFreeCache(void* memory, int64_t bytes) {
  if (memory != nullptr) munmap(memory, MappedBytes(bytes));
}
