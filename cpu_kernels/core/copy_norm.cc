// Norm: cache[slot] = row. Slots that follow one another make one copy, over block borders too.
#include <cstdint>

#include "token_writer.h"

namespace mssp {

void WriteNorm(const TokenWriter& writer, int64_t begin, int64_t end) {
  const SideView& side = writer.side;
  for (int64_t token = begin, run; token < end; token += run) {
    run = 1;
    const int64_t slot = writer.slots[token];
    if (slot < 0) continue;
    run = writer.RunLength(token, end, end - begin);
    char* const to = side.cache + slot * side.token_bytes;
    if (side.HeadsAreContiguous()) {
      writer.CopyRows(to, writer.Row(token), side.token_bytes, side.token_stride, run);
      continue;
    }
    for (int64_t r = 0; r < run; ++r) {
      writer.CopyRows(to + r * side.token_bytes, writer.Row(token + r), side.head_bytes, side.head_stride,
                      side.num_head);
    }
  }
}

}  // namespace mssp
