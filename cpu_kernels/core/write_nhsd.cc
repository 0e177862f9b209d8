// NHSD: cache[block, :, offset] = row. Slots that follow one another in a block are contiguous within each head; the
// heads go side by side.
#include <cstdint>

#include "token_writer.h"

namespace mssp {
namespace {

constexpr int64_t kTokensAhead = 2;

class NhsdWriter {
 public:
  explicit NhsdWriter(const TokenWriter& writer)
      : writer_(writer), side_(writer.side), head_stride_(side_.block_size * side_.head_bytes) {}

  void Write(int64_t begin, int64_t end) const {
    for (int64_t token = begin, run; token < end; token += run) {
      run = 1;
      const int64_t slot = writer_.slots[token];
      if (slot < 0) continue;
      run = writer_.RunLength(token, end, side_.block_size - side_.OffsetOf(slot));
      if (run == 1 && token + kTokensAhead < end) FetchEnds(writer_.slots[token + kTokensAhead]);
      if (run > 1 && token + run < end) FetchPages(writer_.slots[token + run]);
      InterleavedCopier heads = writer_.NewCopier(side_.head_bytes, side_.token_stride, run, side_.PrefetchDistance());
      for (int64_t h = 0; h < side_.num_head; ++h) {
        heads.Add(Place(slot) + h * head_stride_, writer_.Row(token) + h * side_.head_stride);
      }
      heads.Flush();
    }
  }

 private:
  char* Place(int64_t slot) const { return side_.Block(slot) + side_.OffsetOf(slot) * side_.head_bytes; }

  // The pages of a row, and the lines that it shares with its neighbours.
  MSSP_ALWAYS_INLINE void FetchEnds(int64_t slot) const {
    if (slot < 0) return;
    const char* to = Place(slot);
    for (int64_t h = 0; h < side_.num_head; ++h, to += head_stride_) {
      __builtin_prefetch(to, 0, 2);
      __builtin_prefetch(to + side_.head_bytes - 1, 0, 2);
    }
  }

  MSSP_ALWAYS_INLINE void FetchPages(int64_t slot) const {
    if (slot < 0) return;
    const char* to = Place(slot);
    for (int64_t h = 0; h < side_.num_head; ++h, to += head_stride_) __builtin_prefetch(to, 0, 2);
  }

  const TokenWriter& writer_;
  const SideView& side_;
  const int64_t head_stride_;
};

}  // namespace

void WriteNhsd(const TokenWriter& writer, int64_t begin, int64_t end) { NhsdWriter(writer).Write(begin, end); }

}  // namespace mssp
