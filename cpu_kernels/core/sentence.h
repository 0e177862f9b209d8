// A sentence that grows in a buffer of the caller.
#ifndef MS_SCATTER_PA_CORE_SENTENCE_H_
#define MS_SCATTER_PA_CORE_SENTENCE_H_

#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace mssp {

inline constexpr const char* kNoMemory = "MemoryError: no memory for the call's own copies of its arguments";

class Sentence {
 public:
  Sentence(char* buffer, int64_t size) : buffer_(buffer), size_(size) {
    if (size_ > 0) buffer_[0] = '\0';
  }

  __attribute__((format(printf, 2, 3))) void Add(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int64_t room = length_ < size_ ? size_ - length_ : 0;
    const int written =
        std::vsnprintf(room > 0 ? buffer_ + length_ : nullptr, static_cast<size_t>(room), format, arguments);
    va_end(arguments);
    if (written > 0) length_ += written;
  }

  int64_t length() const { return length_; }

 private:
  char* buffer_;
  int64_t size_;
  int64_t length_ = 0;
};

// The end of a sentence about a slot at or behind `limit`, which is num_blocks * block_size.
inline void AddOutside(int64_t limit, Sentence* out) {
  if (limit <= 0) {
    out->Add(" is outside the cache, which has no blocks: expected a negative slot to skip");
    return;
  }
  out->Add(" is outside the cache: expected a slot below num_blocks * block_size = %" PRId64
           ", or a negative one to skip",
           limit);
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SENTENCE_H_
