// Norm: cache[slot] = row. Slots that follow one another make one copy, over block borders too.
#include "token_writer.h"

namespace mssp {
namespace {

// Random slots cost page walks and the lines that rows share at both ends: have them on their way some rows before.
constexpr int64_t kRowsAhead = 4;

inline void PrefetchRow(const TokenWriter& writer, int64_t token) {
  const int64_t slot = writer.slots[token];
  if (slot < 0) return;
  const char* const to = writer.side.cache + slot * writer.side.token_bytes;
  __builtin_prefetch(to, 1);
  __builtin_prefetch(to + writer.side.token_bytes - 1, 1);
}

}  // namespace

void WriteNorm(const TokenWriter& writer, int64_t begin, int64_t end) {
  const SideView& side = writer.side;
  for (int64_t token = begin, run; token < end; token += run) {
    run = 1;
    const int64_t slot = writer.slots[token];
    if (slot < 0) continue;
    run = writer.RunLength(token, end, end - begin);
    char* const to = side.cache + slot * side.token_bytes;
    if (run <= kRowsAhead && token + kRowsAhead < end) {
      const int64_t last = token + kRowsAhead + run < end ? token + kRowsAhead + run : end;
      for (int64_t t = token + kRowsAhead; t < last; ++t) PrefetchRow(writer, t);
    }
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
