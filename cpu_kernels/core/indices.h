// Index arguments: how they are read, and a call's own copies of them.
#ifndef MS_SCATTER_PA_CORE_INDICES_H_
#define MS_SCATTER_PA_CORE_INDICES_H_

#include <cstdint>
#include <cstring>
#include <memory>

#include "scatter_pa.h"

namespace mssp {

template <typename Index>
inline int64_t LoadIndex(const void* data, int64_t i) {
  Index value;
  std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(Index)), sizeof(Index));
  return value;
}

// int32 or int64 of any alignment, read as int64.
class IndexArray {
 public:
  IndexArray(const void* data, int32_t index_type) : data_(data), wide_(index_type == MSSP_INDEX_INT64) {}

  int64_t operator[](int64_t i) const { return wide_ ? LoadIndex<int64_t>(data_, i) : LoadIndex<int32_t>(data_, i); }
  const void* data() const { return data_; }
  bool wide() const { return wide_; }

 private:
  const void* data_;
  bool wide_;
};

// A call's own copies of its index arrays and scales: the values that are checked are the values that are used,
// whatever other threads do to the arrays meanwhile.
class IndexCopies {
 public:
  // Room for `bytes` more, at most `total` in all calls together; throws std::bad_alloc.
  explicit IndexCopies(int64_t total)
      : memory_(total <= kInline ? nullptr : new char[static_cast<size_t>(total)]),
        next_(total <= kInline ? inline_ : memory_.get()) {}

  char* Take(int64_t bytes) {
    char* const taken = next_;
    next_ += bytes;
    return taken;
  }

 private:
  static constexpr int64_t kInline = 2048;  // a decode step's

  const std::unique_ptr<char[]> memory_;
  alignas(int64_t) char inline_[kInline];
  char* next_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_INDICES_H_
