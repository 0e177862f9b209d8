#include "copy_blocks.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "export.h"
#include "no_memory.h"
#include "overlap.h"
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

bool SpanFits(const void* data, int64_t num_blocks, int64_t stride, int64_t block_bytes) {
  int64_t bytes = 0;
  return stride >= block_bytes && Multiply(&bytes, num_blocks, stride) && (bytes == 0 || data != nullptr) &&
         reinterpret_cast<uintptr_t>(data) <= UINTPTR_MAX - static_cast<uintptr_t>(bytes);
}

// Adds the bytes of the copy to `sum`, which is that of all copies before.
bool SizesAreSound(const MsspBlockCopy& copy, int64_t* sum) {
  int64_t bytes = 0;
  if (copy.block_bytes < 0 || !Multiply(&bytes, copy.count, copy.block_bytes)) return false;
  *sum += bytes;
  const bool has_lists = copy.source_blocks != nullptr || copy.target_blocks != nullptr;
  return *sum <= kMaxBytes && (!has_lists || copy.count <= kMaxBytes / int64_t{sizeof(int64_t)}) &&
         SpanFits(copy.source, copy.source_num_blocks, copy.source_stride, copy.block_bytes) &&
         SpanFits(copy.target, copy.target_num_blocks, copy.target_stride, copy.block_bytes);
}

MsspStatus CheckSizes(const MsspBlockCopy* copies, int64_t num_copies) {
  if (num_copies < 0 || num_copies > kMaxBytes / int64_t{sizeof(MsspBlockCopy)} ||
      (num_copies > 0 && copies == nullptr)) {
    return {MSSP_BAD_SHAPES, 0, num_copies, 0};
  }
  int64_t sum = 0;
  for (int64_t c = 0; c < num_copies; ++c) {
    if (!SizesAreSound(copies[c], &sum)) return {MSSP_BAD_SHAPES, c, copies[c].block_bytes, 0};
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

MsspStatus CheckBlocks(const MsspBlockCopy* copies, int64_t num_copies) {
  for (int64_t c = 0; c < num_copies; ++c) {
    const MsspBlockCopy& copy = copies[c];
    // Without lists the first block that is not there is known.
    const bool counted = copy.source_blocks == nullptr && copy.target_blocks == nullptr;
    const int64_t first = counted ? std::min({copy.source_num_blocks, copy.target_num_blocks, copy.count}) : 0;
    for (int64_t i = first; i < copy.count; ++i) {
      const int64_t source = SourceBlock(copy, i);
      const int64_t target = TargetBlock(copy, i);
      if (source < 0 || source >= copy.source_num_blocks) return {MSSP_BAD_SLOT, i, source, copy.source_num_blocks};
      if (target < 0 || target >= copy.target_num_blocks) return {MSSP_BAD_SLOT, i, target, copy.target_num_blocks};
    }
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

// The copies with lists of their own: they may lie in what is written, and other threads may change them. Copies that
// share their lists, as the layers of a cache do, share those too.
class OwnCopies {
 public:
  OwnCopies(const MsspBlockCopy* copies, int64_t num_copies) : copies_(copies, copies + num_copies) {
    for (MsspBlockCopy& copy : copies_) {
      copy.source_blocks = Own(copy.source_blocks, copy.count);
      copy.target_blocks = Own(copy.target_blocks, copy.count);
    }
  }

  const MsspBlockCopy* data() const { return copies_.data(); }

 private:
  const int64_t* Own(const int64_t* list, int64_t count) {
    if (list == nullptr) return nullptr;
    std::vector<int64_t>& own = lists_[{list, count}];
    if (own.empty()) {
      own.resize(static_cast<size_t>(std::max<int64_t>(count, 1)));  // never NULL, which means 0, 1, 2, ...
      if (count > 0) std::memcpy(own.data(), list, static_cast<size_t>(count) * sizeof(int64_t));
    }
    return own.data();
  }

  std::vector<MsspBlockCopy> copies_;
  std::map<std::pair<const int64_t*, int64_t>, std::vector<int64_t>> lists_;
};

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

// Pairs [begin, end) of a copy that may be copied in any order, since none needs another one done; cut in pieces that
// are numbered through the whole call.
struct Batch {
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

Run FindPiece(const Batch& batch, int64_t piece) {
  const MsspBlockCopy& copy = *batch.copy;
  const int64_t pair = batch.begin + piece / batch.pieces_per_block;
  const int64_t offset = piece % batch.pieces_per_block * kPieceBytes;
  const int64_t from = SourceBlock(copy, pair) * copy.source_stride + offset;
  const int64_t to = TargetBlock(copy, pair) * copy.target_stride + offset;
  return {static_cast<char*>(copy.target) + to, static_cast<const char*>(copy.source) + from,
          std::min(kPieceBytes, copy.block_bytes - offset), batch.stream};
}

void CopyBatches(const std::vector<Batch>& batches, int64_t num_pieces, int64_t bytes, int32_t num_threads) {
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
        while (w + 1 < batches.size() && batches[w + 1].first_piece <= i) ++w;
        const Run piece = FindPiece(batches[w], i - batches[w].first_piece);
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

// Whether every block stays as it is; of blocks that are counted that is known without a look at each.
bool CopiesNothing(const MsspBlockCopy& copy) {
  return copy.block_bytes == 0 || (copy.source == copy.target && copy.source_stride == copy.target_stride &&
                                   copy.source_blocks == nullptr && copy.target_blocks == nullptr);
}

void CopyAll(const MsspBlockCopy* copies, int64_t num_copies, int32_t num_threads) {
  std::vector<int64_t> done(static_cast<size_t>(num_copies), 0);
  std::vector<Batch> batches;
  while (true) {
    batches.clear();
    int64_t num_pieces = 0;
    int64_t bytes = 0;
    for (int64_t c = 0; c < num_copies; ++c) {
      const MsspBlockCopy& copy = copies[c];
      if (CopiesNothing(copy)) continue;
      while (done[c] < copy.count && copy.source == copy.target && copy.source_stride == copy.target_stride &&
             SourceBlock(copy, done[c]) == TargetBlock(copy, done[c])) {
        ++done[c];
      }
      if (done[c] == copy.count) continue;
      // The layers of a cache share their pairs.
      const bool known =
          !batches.empty() && batches.back().begin == done[c] && HaveTheSamePairs(*batches.back().copy, copy);
      const int64_t end = known ? batches.back().end : EndOfIndependent(copy, done[c]);
      const int64_t per_block = (copy.block_bytes + kPieceBytes - 1) / kPieceBytes;
      const bool stream = ShouldStreamTo(copy.target_num_blocks * copy.target_stride);
      batches.push_back({&copy, done[c], end, per_block, num_pieces, stream});
      num_pieces += (end - done[c]) * per_block;
      bytes += (end - done[c]) * copy.block_bytes;
      done[c] = end;
    }
    if (batches.empty()) return;
    CopyBatches(batches, num_pieces, bytes, num_threads);
  }
}

}  // namespace
}  // namespace mssp

extern "C" MSSP_EXPORT MsspStatus MsspCopyBlocks(const MsspBlockCopy* copies, int64_t num_copies, int32_t num_threads) {
  const MsspStatus status = mssp::CheckSizes(copies, num_copies);
  if (status.code != MSSP_WRITTEN) return status;
  return mssp::WithoutExceptions([&] {
    const mssp::OwnCopies own(copies, num_copies);
    const MsspStatus found = mssp::CheckBlocks(own.data(), num_copies);
    if (found.code == MSSP_WRITTEN) mssp::CopyAll(own.data(), num_copies, num_threads);
    return found;
  });
}
