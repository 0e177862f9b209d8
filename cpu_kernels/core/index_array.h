// An index argument: int32 or int64 of any alignment, read as int64.
#ifndef MS_SCATTER_PA_CORE_INDEX_ARRAY_H_
#define MS_SCATTER_PA_CORE_INDEX_ARRAY_H_

#include <cstdint>
#include <cstring>

#include "scatter_pa.h"

namespace mssp {

template <typename Index>
inline int64_t LoadIndex(const void* data, int64_t i) {
  Index value;
  std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(Index)), sizeof(Index));
  return value;
}

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

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_INDEX_ARRAY_H_
