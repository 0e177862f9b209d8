// Where a write begins. Norm, PA_NZ and NHSD: the tokens of both sides are shared out to the threads; write_norm.cc,
// write_nz.cc and write_nhsd.cc write them. Alibi, Rope and Omni are in write_pairs.cc.
#include "write.h"

#include <algorithm>
#include <cstdint>

#include "call_sizes.h"
#include "policy.h"
#include "shares.h"
#include "simd/cpu_features.h"
#include "threads.h"
#include "token_writer.h"

namespace mssp {
namespace {

// What is worth a lock and a fresh start of the reading ahead.
constexpr int64_t kMinPieceBytes = int64_t{128} << 10;
constexpr int64_t kMinPiece = 8;

// Scattered rows take as long as so many times their bytes in runs: each row is on another page, and each unit of PA_NZ
// on another line.
constexpr int64_t kScatteredRow = 2;
constexpr int64_t kScatteredUnits = 4;

// Looks at a few tokens only.
bool IsScattered(const IndexArray& slots, int64_t num_tokens) {
  constexpr int64_t kSamples = 8;
  int64_t apart = 0;
  for (int64_t i = 0; i < kSamples; ++i) {
    const int64_t token = (num_tokens - 1) * i / kSamples;
    apart += slots[token] >= 0 && slots[token + 1] != slots[token] + 1;
  }
  return apart > kSamples / 2;
}

int64_t Work(const MsspCall& call, const IndexArray& slots, int64_t token_bytes) {
  const int64_t bytes = call.num_tokens * token_bytes;
  if (call.num_tokens < 2 || !IsScattered(slots, call.num_tokens)) return bytes;
  return bytes * (call.layout == MSSP_PA_NZ ? kScatteredUnits : kScatteredRow);
}

}  // namespace

void WriteTokens(const MsspCall& call) {
  const Kernels& kernels = ActiveKernels();
  // A few PA_NZ tokens are done before the first streamed unit would have reached memory.
  const bool stream = ShouldStream(call) && (call.layout != MSSP_PA_NZ || call.num_tokens >= kNzTile);
  const IndexArray slots(call.slot_mapping, call.index_type);
  const TokenWriter all[2] = {{ViewSide(call, call.key), slots, call.num_tokens, &kernels, stream},
                              {ViewSide(call, call.value), slots, call.num_tokens, &kernels, stream}};
  const TokenWriter* writers[2];
  int num_writers = 0;
  int64_t token_bytes = 0;
  for (const TokenWriter& writer : all) {
    if (!writer.side.IsPresent()) continue;
    writers[num_writers++] = &writer;
    token_bytes += writer.side.token_bytes;
  }
  if (num_writers == 0) return;
  const bool is_fused = num_writers == 2 && AreFused(all[0].side, all[1].side) && !IsScattered(slots, call.num_tokens);

  const Team team = ChooseTeam(call.num_threads, Work(call, slots, token_bytes));
  if (team.num_threads <= 1) {
    if (is_fused) {
      WriteFused(all[0], all[1], call.layout, 0, call.num_tokens);
    } else {
      for (int i = 0; i < num_writers; ++i) WriteLayout(*writers[i], call.layout, 0, call.num_tokens);
    }
    if (stream) kernels.fence();
    return;
  }
  // Tokens of the key, then those of the value; or of both.
  const int64_t least = std::max(kMinPieceBytes * num_writers / token_bytes, kMinPiece);
  Shares shares(is_fused ? call.num_tokens : call.num_tokens * num_writers, team.num_threads, least);
  RunOnThreads(team, [&] {
    const int self = shares.Join();
    for (Range piece; shares.Take(self, &piece);) {
      if (is_fused) {
        WriteFused(all[0], all[1], call.layout, piece.begin, piece.end);
        continue;
      }
      for (int i = 0; i < num_writers; ++i) {
        const int64_t first = call.num_tokens * i;
        const int64_t begin = std::max(piece.begin - first, int64_t{0});
        const int64_t end = std::min(piece.end - first, call.num_tokens);
        if (begin < end) WriteLayout(*writers[i], call.layout, begin, end);
      }
    }
    if (stream) kernels.fence();
  });
}

void Write(const MsspCall& call) {
  if (Capacity(call) == 0 || NumRows(call) == 0) return;  // nothing but skipped slots, or nothing to write
  if (IsCompressed(call)) {
    WritePairs(call);
  } else {
    WriteTokens(call);
  }
}

}  // namespace mssp
