// NHSD: cache[block, :, offset] = row. Slots that follow one another in a block are contiguous within each head; the
// heads go side by side.
#include <cstdint>

#include "token_writer.h"

namespace mssp {
namespace {

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
      InterleavedCopier heads = writer_.NewCopier(side_.head_bytes, side_.token_stride, run, side_.PrefetchDistance());
      for (int64_t h = 0; h < side_.num_head; ++h) {
        heads.Add(Place(slot) + h * head_stride_, writer_.Row(token) + h * side_.head_stride);
      }
      heads.Flush();
    }
  }

 private:
  char* Place(int64_t slot) const { return side_.Block(slot) + side_.OffsetOf(slot) * side_.head_bytes; }

  const TokenWriter& writer_;
  const SideView& side_;
  const int64_t head_stride_;
};

}  // namespace

void WriteNhsd(const TokenWriter& writer, int64_t begin, int64_t end) { NhsdWriter(writer).Write(begin, end); }

}  // namespace mssp
