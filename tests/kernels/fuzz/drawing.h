// What the harnesses share: numbers from the engine's bytes, memory of exact size, comparisons.
#ifndef MS_SCATTER_PA_TESTS_KERNELS_FUZZ_DRAWING_H_
#define MS_SCATTER_PA_TESTS_KERNELS_FUZZ_DRAWING_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "oracle.h"
#include "plain_entry.h"

namespace fuzz {

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t Next() { return at_ < size_ ? data_[at_++] : 0; }
  int64_t Below(int64_t bound) { return Next() % bound; }

  // Now and then an extreme number.
  int64_t Around(int64_t low, int64_t high) {
    const uint8_t kind = Next();
    if (kind < 8) {
      constexpr int64_t kExtremes[] = {INT64_MIN, INT32_MIN, -2, INT32_MAX, int64_t{1} << 32, INT64_MAX, -1, 0};
      return kExtremes[kind];
    }
    if (kind < 16) return high + kind - 12;
    return low + Next() % (high - low + 1);
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

inline uint64_t Mix(uint64_t* state) {
  *state += 0x9E3779B97F4A7C15u;
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  return z ^ (z >> 27);
}

// Random bytes behind a margin that gives them any alignment; a sanitizer guards the end, a comparison the margin.
class Memory {
 public:
  Memory(int64_t bytes, int64_t margin, uint64_t* seed)
      : size_(static_cast<size_t>(bytes + margin)), raw_(new char[size_]), begin_(raw_.get() + margin) {
    for (size_t i = 0; i < size_; ++i) raw_[i] = static_cast<char>(Mix(seed) >> 40);
  }
  char* begin() { return begin_; }
  std::vector<char> All() const { return std::vector<char>(raw_.get(), raw_.get() + size_); }
  void Restore(const std::vector<char>& all) { std::memcpy(raw_.get(), all.data(), all.size()); }

 private:
  size_t size_;
  std::unique_ptr<char[]> raw_;
  char* begin_;
};

[[noreturn]] inline void Fail(const char* what, const MsspStatus& got, const MsspStatus& want) {
  std::fprintf(stderr, "%s: got %lld %lld %lld %lld, want %lld %lld %lld %lld\n", what,
               static_cast<long long>(got.code), static_cast<long long>(got.position),
               static_cast<long long>(got.value), static_cast<long long>(got.limit), static_cast<long long>(want.code),
               static_cast<long long>(want.position), static_cast<long long>(want.value),
               static_cast<long long>(want.limit));
  std::abort();
}

inline bool IsNan(int type, const char* element) {
  return std::isnan(oracle::Decode(type, oracle::ReadElement(element, type)));
}

// Equal bytes; in a call that averages, NaNs of any payload are equal.
inline bool SameCache(const MsspCall& call, const MsspSide& side, const std::vector<char>& got,
                      const std::vector<char>& want, int64_t margin) {
  if (got == want) return true;
  if (call.scatter_mode != MSSP_ROPE || !oracle::IsFloat(side.element_type)) return false;
  const int64_t size = oracle::ItemSize(side.element_type);
  const int64_t total = static_cast<int64_t>(got.size());
  if (std::memcmp(got.data(), want.data(), static_cast<size_t>(margin)) != 0) return false;
  for (int64_t i = margin; i < total; i += size) {
    if (std::memcmp(&got[i], &want[i], static_cast<size_t>(size)) == 0) continue;
    if (!IsNan(side.element_type, &got[i]) || !IsNan(side.element_type, &want[i])) return false;
  }
  return true;
}

inline std::vector<char> Narrow(const std::vector<int64_t>& values, int index_type) {
  std::vector<char> bytes(values.size() * (index_type == MSSP_INDEX_INT64 ? 8 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t narrow = static_cast<int32_t>(values[i]);
    if (index_type == MSSP_INDEX_INT64) {
      std::memcpy(&bytes[8 * i], &values[i], 8);
    } else {
      std::memcpy(&bytes[4 * i], &narrow, 4);
    }
  }
  return bytes;
}

}  // namespace fuzz

#endif  // MS_SCATTER_PA_TESTS_KERNELS_FUZZ_DRAWING_H_
