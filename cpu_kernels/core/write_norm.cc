// Norm: cache[slot] = row. Slots that follow one another make one copy, over block borders too where blocks follow one
// another; single rows go side by side, so that they wait for their pages together.
#include <algorithm>
#include <cstdint>

#include "memory_page_prefetch.h"
#include "token_writer.h"

namespace mssp {
namespace {

constexpr int64_t kLongBytes = int64_t{8} << 10;  // of a run that is copied by itself

}  // namespace

void WriteNorm(const TokenWriter& writer, int64_t begin, int64_t end) {
  const SideView& side = writer.side;
  const bool contiguous = side.HeadsAreContiguous();
  // Rows that lie apart are on more pages, whose translations take longer than one batch hides.
  const int64_t batches = side.token_stride == side.token_bytes ? 1 : 2;
  const int64_t ahead = std::max(kPrefetchBytes, batches * kMaxInterleaved * side.token_bytes);
  const int64_t prefetch = side.PrefetchDistance(ahead);
  InterleavedCopier rows = contiguous ? writer.NewCopier(side.token_bytes, side.token_stride, 1, prefetch)
                                      : writer.NewCopier(side.head_bytes, side.head_stride, side.num_head, prefetch);
  MemoryPagePrefetch pages(writer.slots, side, begin, writer.num_tokens);
  for (int64_t token = begin, run; token < end; token += run) {
    run = 1;
    const int64_t slot = writer.slots[token];
    if (slot < 0) continue;
    run = writer.RunLength(token, end, side.SlotsTogether(slot));
    char* const to = side.Slot(slot);
    const bool is_long = contiguous && run * side.token_bytes >= kLongBytes;
    if (is_long) pages.GoTo(token);
    if (is_long && side.token_stride == side.token_bytes) {
      writer.CopyRows(to, writer.Row(token), side.token_bytes, side.token_stride, run);
      continue;
    }
    for (int64_t r = 0; r < run; ++r) rows.Add(to + r * side.token_bytes, writer.Row(token + r));
  }
  rows.Flush();
}

}  // namespace mssp
