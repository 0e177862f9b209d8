#include "copy_blocks.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <unordered_set>
#include <vector>

#include "export.h"
#include "policy.h"
#include "shares.h"
#include "simd/cpu_features.h"

namespace mssp {
namespace {

// What a thread copies at a time.
constexpr int64_t kPieceBytes = int64_t{64} << 10;

int64_t SourceBlock(const MsspBlockCopy& copy, int64_t i) {
  return copy.source_blocks == nullptr ? i : copy.source_blocks[i];
}

int64_t TargetBlock(const MsspBlockCopy& copy, int64_t i) {
  return copy.target_blocks == nullptr ? i : copy.target_blocks[i];
}

bool SpanFits(int64_t num_blocks, int64_t stride, int64_t block_bytes) {
  int64_t bytes = 0;
  return num_blocks >= 0 && stride >= block_bytes && !__builtin_mul_overflow(num_blocks, stride, &bytes);
}

bool SizesAreSound(const MsspBlockCopy& copy) {
  int64_t bytes = 0;
  return copy.count >= 0 && copy.block_bytes >= 0 && !__builtin_mul_overflow(copy.count, copy.block_bytes, &bytes) &&
         SpanFits(copy.source_num_blocks, copy.source_stride, copy.block_bytes) &&
         SpanFits(copy.target_num_blocks, copy.target_stride, copy.block_bytes);
}

MsspStatus CheckCopies(const MsspBlockCopy* copies, int64_t num_copies) {
  for (int64_t c = 0; c < num_copies; ++c) {
    const MsspBlockCopy& copy = copies[c];
    if (!SizesAreSound(copy)) return {MSSP_BAD_SHAPES, c, copy.block_bytes, 0};
    for (int64_t i = 0; i < copy.count; ++i) {
      const int64_t source = SourceBlock(copy, i);
      const int64_t target = TargetBlock(copy, i);
      if (source < 0 || source >= copy.source_num_blocks) return {MSSP_BAD_SLOT, i, source, copy.source_num_blocks};
      if (target < 0 || target >= copy.target_num_blocks) return {MSSP_BAD_SLOT, i, target, copy.target_num_blocks};
    }
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

// Where pairs [begin, result) of a copy may go on at the same time: none of their targets is another one's source or
// target.
int64_t EndOfIndependent(const MsspBlockCopy& copy, int64_t begin) {
  if (copy.count - begin <= 1) return copy.count;
  const bool in_place = copy.source == copy.target;
  std::unordered_set<int64_t> sources;
  std::unordered_set<int64_t> targets;
  for (int64_t i = begin; i < copy.count; ++i) {
    const int64_t source = SourceBlock(copy, i);
    const int64_t target = TargetBlock(copy, i);
    if (in_place && source == target) continue;
    if (in_place && (targets.count(source) != 0 || sources.count(target) != 0)) return i;
    if (!targets.insert(target).second) return i;
    if (in_place) sources.insert(source);
  }
  return copy.count;
}

// Pairs [begin, end) of a copy, cut in pieces that are numbered through the whole call.
struct Wave {
  const MsspBlockCopy* copy;
  int64_t begin;
  int64_t end;
  int64_t pieces_per_block;
  int64_t first_piece;
  bool stream;
};

// Bytes that lie together on both sides.
struct Run {
  char* to = nullptr;
  const char* from = nullptr;
  int64_t bytes = 0;
  bool stream = false;

  bool GoesOnWith(const Run& next) const {
    return from + bytes == next.from && to + bytes == next.to && stream == next.stream;
  }

  void Copy(const Kernels& kernels) const {
    if (from == to) return;
    if (stream) {
      kernels.stream_long(to, from, bytes);
    } else {
      std::memcpy(to, from, static_cast<size_t>(bytes));
    }
  }
};

Run FindPiece(const Wave& wave, int64_t piece) {
  const MsspBlockCopy& copy = *wave.copy;
  const int64_t pair = wave.begin + piece / wave.pieces_per_block;
  const int64_t offset = piece % wave.pieces_per_block * kPieceBytes;
  const int64_t from = SourceBlock(copy, pair) * copy.source_stride + offset;
  const int64_t to = TargetBlock(copy, pair) * copy.target_stride + offset;
  return {static_cast<char*>(copy.target) + to, static_cast<const char*>(copy.source) + from,
          std::min(kPieceBytes, copy.block_bytes - offset), wave.stream};
}

void CopyWaves(const std::vector<Wave>& waves, int64_t num_pieces, int64_t bytes, int32_t num_threads) {
  const Kernels& kernels = ActiveKernels();
  const Team team = ChooseTeam(num_threads, bytes);
  // Small blocks: as many at a time as make up a piece.
  Shares pieces(num_pieces, team.num_threads,
                std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, bytes / num_pieces)));
  RunOnThreads(team, [&] {
    const int self = pieces.Join();
    for (Range range; pieces.Take(self, &range);) {
      size_t w = 0;
      Run run;
      for (int64_t i = range.begin; i < range.end; ++i) {
        while (w + 1 < waves.size() && waves[w + 1].first_piece <= i) ++w;
        const Run piece = FindPiece(waves[w], i - waves[w].first_piece);
        if (run.GoesOnWith(piece)) {
          run.bytes += piece.bytes;
        } else {
          run.Copy(kernels);
          run = piece;
        }
      }
      run.Copy(kernels);
    }
    kernels.fence();
  });
}

bool HaveTheSamePairs(const MsspBlockCopy& a, const MsspBlockCopy& b) {
  return a.source_blocks == b.source_blocks && a.target_blocks == b.target_blocks && a.count == b.count &&
         (a.source == a.target) == (b.source == b.target);
}

void CopyAll(const MsspBlockCopy* copies, int64_t num_copies, int32_t num_threads) {
  std::vector<int64_t> done(static_cast<size_t>(num_copies), 0);
  std::vector<Wave> waves;
  while (true) {
    waves.clear();
    int64_t num_pieces = 0;
    int64_t bytes = 0;
    for (int64_t c = 0; c < num_copies; ++c) {
      const MsspBlockCopy& copy = copies[c];
      if (copy.block_bytes == 0 || done[c] == copy.count) continue;
      // The layers of a cache share their pairs.
      const bool known = !waves.empty() && waves.back().begin == done[c] && HaveTheSamePairs(*waves.back().copy, copy);
      const int64_t end = known ? waves.back().end : EndOfIndependent(copy, done[c]);
      const int64_t per_block = (copy.block_bytes + kPieceBytes - 1) / kPieceBytes;
      const bool stream = ShouldStreamTo(copy.target_num_blocks * copy.target_stride);
      waves.push_back({&copy, done[c], end, per_block, num_pieces, stream});
      num_pieces += (end - done[c]) * per_block;
      bytes += (end - done[c]) * copy.block_bytes;
      done[c] = end;
    }
    if (waves.empty()) return;
    CopyWaves(waves, num_pieces, bytes, num_threads);
  }
}

}  // namespace
}  // namespace mssp

extern "C" MSSP_EXPORT MsspStatus MsspCopyBlocks(const MsspBlockCopy* copies, int64_t num_copies, int32_t num_threads) {
  const MsspStatus status = mssp::CheckCopies(copies, num_copies);
  if (status.code != MSSP_WRITTEN) return status;
  try {
    mssp::CopyAll(copies, num_copies, num_threads);
  } catch (const std::bad_alloc&) {
    return {MSSP_NO_MEMORY, 0, 0, 0};
  }
  return status;
}
