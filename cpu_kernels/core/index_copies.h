// A call's own copies of its index arrays: the values that are checked are the values that are used, whatever other
// threads do to the arrays meanwhile.
#ifndef MS_SCATTER_PA_CORE_INDEX_COPIES_H_
#define MS_SCATTER_PA_CORE_INDEX_COPIES_H_

#include <cstdint>
#include <memory>

namespace mssp {

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
  char inline_[kInline];
  char* next_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_INDEX_COPIES_H_
