// Norm: cache[slot] = row. Slots that follow one another make one copy, over block borders too.
#include <algorithm>
#include <cstdint>

#include "token_writer.h"

namespace mssp {
namespace {

// Random slots cost page walks and the lines that rows share at both ends: have them on their way some rows before.
constexpr int64_t kRowsAhead = 4;

inline void PrefetchRow(const TokenWriter& writer, int64_t token) {
  const int64_t slot = writer.slots[token];
  if (slot < 0) return;
  const char* const to = writer.side.cache + slot * writer.side.token_bytes;
  __builtin_prefetch(to, 0, 2);
  __builtin_prefetch(to + writer.side.token_bytes - 1, 0, 2);
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
    for (int64_t t = token + std::max(run, kRowsAhead); t < std::min(token + run + kRowsAhead, end); ++t) {
      PrefetchRow(writer, t);
      if (run >= kRowsAhead) break;  // the first row of the run to come is enough
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
