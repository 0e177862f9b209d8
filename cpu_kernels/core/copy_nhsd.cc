// NHSD: cache[block, :, offset] = row. Slots that follow one another in a block are contiguous within each head.
#include "token_writer.h"

namespace mssp {
namespace {

constexpr int64_t kMaxRun = 32;  // tokens whose rows stay in the second-level cache while the heads are walked

inline void PrefetchRow(const TokenWriter& writer, int64_t token) {
  const SideView& side = writer.side;
  const int64_t slot = writer.slots[token];
  if (slot < 0) return;
  const char* to = side.cache + (slot / side.block_size * side.block_size * side.num_head + slot % side.block_size) *
                                    side.head_bytes;
  for (int64_t h = 0; h < side.num_head; ++h, to += side.block_size * side.head_bytes) {
    __builtin_prefetch(to, 0, 2);
    __builtin_prefetch(to + side.head_bytes - 1, 0, 2);
  }
}

}  // namespace

void WriteNhsd(const TokenWriter& writer, int64_t begin, int64_t end) {
  const SideView& side = writer.side;
  for (int64_t token = begin, run; token < end; token += run) {
    run = 1;
    const int64_t slot = writer.slots[token];
    if (slot < 0) continue;
    const int64_t offset = slot % side.block_size;
    const int64_t room = side.block_size - offset;
    run = writer.RunLength(token, end, room < kMaxRun ? room : kMaxRun);
    if (run == 1 && token + 2 < end) PrefetchRow(writer, token + 2);
    char* to = side.cache + ((slot - offset) * side.num_head + offset) * side.head_bytes;
    const char* from = writer.Row(token);
    for (int64_t h = 0; h < side.num_head; ++h) {
      writer.CopyRows(to, from, side.head_bytes, side.token_stride, run);
      to += side.block_size * side.head_bytes;
      from += side.head_stride;
    }
  }
}

}  // namespace mssp
