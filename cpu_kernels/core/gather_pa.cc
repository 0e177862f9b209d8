// Segments of blocks are copied to rows side by side, so that they wait for their pages together. What is not
// contiguous in the cache, and what is dequantised, goes through a tile that stays in the processor's caches.
#include "gather_pa.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "call_sizes.h"
#include "float_environment.h"
#include "indices.h"
#include "interleaved_copy.h"
#include "no_memory.h"
#include "policy.h"
#include "scaling.h"
#include "shares.h"
#include "simd/cpu_features.h"
#include "threads.h"

namespace mssp {
namespace {

constexpr SideArguments kKeySide = {gather::kKey, gather::kKeyCache, gather::kKeyScale, gather::kKeyOffset,
                                    gather::kKeyScaleCache};
constexpr SideArguments kValueSide = {gather::kValue, gather::kValueCache, gather::kValueScale, gather::kValueOffset,
                                      gather::kValueScaleCache};

constexpr int64_t kTileBytes = int64_t{32} << 10;  // of rows
constexpr int64_t kLongBytes = int64_t{64} << 10;  // of a segment that is copied by itself
constexpr int64_t kPiece = 16;                     // tokens of a PA_NZ or NHSD block
constexpr int64_t kPieceBytes = int64_t{32} << 10;
constexpr int64_t kReadAhead = 1024;
constexpr int64_t kMinPieceBytes = int64_t{128} << 10;
constexpr int64_t kMinPiece = 8;

int64_t Blocks(int64_t rows, int64_t block_size) { return rows / block_size + (rows % block_size != 0 ? 1 : 0); }

MsspStatus CheckSequence(const MsspGatherCall& call, int64_t b, int64_t length) {
  const int64_t offset = call.seq_offset == nullptr ? 0 : IndexArray(call.seq_offset, call.index_type)[b];
  if (offset < 0 || (call.block_size > 0 && offset % call.block_size != 0)) {
    return {MSSP_BAD_OFFSET, b, offset, gather::kSeqOffset};
  }
  if (length == 0) return kGoodStatus;
  const int64_t first = call.block_size > 0 ? offset / call.block_size : 0;
  const int64_t columns = call.block_size > 0 ? std::max<int64_t>(call.table_width - first, 0) : 0;
  if (call.block_size == 0 || Blocks(length, call.block_size) > columns) {
    int64_t room;
    if (__builtin_mul_overflow(columns, call.block_size, &room)) room = INT64_MAX;
    return {MSSP_BAD_LENGTHS, b + (call.is_seq_lens_cumsum != 0 ? 1 : 0), length, room};
  }
  return kGoodStatus;
}

MsspStatus CheckBlocks(const MsspGatherCall& call, const std::vector<int64_t>& starts) {
  const IndexArray tables(call.block_tables, call.index_type);
  const IndexArray offsets(call.seq_offset, call.index_type);
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t length = starts[b + 1] - starts[b];
    if (length == 0) continue;
    const int64_t first = b * call.table_width + (call.seq_offset == nullptr ? 0 : offsets[b] / call.block_size);
    const int64_t end = first + Blocks(length, call.block_size);
    for (int64_t at = first; at < end; ++at) {
      const int64_t block = tables[at];
      if (block < 0 || block >= call.num_blocks) return {MSSP_BAD_SLOT, at, block, call.num_blocks};
    }
  }
  return kGoodStatus;
}

// Rows [row, row + count) of the output are those of `block` from `offset` on.
struct Segment {
  int64_t row;
  int64_t count;
  int64_t block;
  int64_t offset;
};

class SegmentWalk {
 public:
  SegmentWalk(const MsspGatherCall& call, const std::vector<int64_t>& starts, int64_t begin, int64_t end)
      : call_(call),
        starts_(starts),
        tables_(call.block_tables, call.index_type),
        offsets_(call.seq_offset, call.index_type),
        row_(begin),
        end_(end),
        sequence_(std::upper_bound(starts.begin(), starts.end(), begin) - starts.begin() - 1) {}

  bool Next(Segment* segment) {
    if (row_ >= end_) return false;
    while (row_ >= starts_[sequence_ + 1]) ++sequence_;  // empty sequences too
    const int64_t i = row_ - starts_[sequence_];
    const int64_t offset = i % call_.block_size;
    const int64_t first = call_.seq_offset == nullptr ? 0 : offsets_[sequence_] / call_.block_size;
    segment->row = row_;
    segment->count = std::min({call_.block_size - offset, starts_[sequence_ + 1] - row_, end_ - row_});
    segment->block = tables_[sequence_ * call_.table_width + first + i / call_.block_size];
    segment->offset = offset;
    row_ += segment->count;
    return true;
  }

 private:
  const MsspGatherCall& call_;
  const std::vector<int64_t>& starts_;
  const IndexArray tables_;
  const IndexArray offsets_;
  int64_t row_;
  const int64_t end_;
  int64_t sequence_;
};

// Segments of rows [begin, end) in pieces of a few rows, and pieces of one size in groups. The next group can be on its
// way meanwhile, at the end the one behind it, which the thread will likely have next.
class PieceWalk {
 public:
  struct Group {
    int size = 0;
    Segment pieces[StripsAhead::kMostPieces];
  };

  PieceWalk(const MsspGatherCall& call, const std::vector<int64_t>& starts, int64_t begin, int64_t end, int64_t most,
            int group)
      : walk_(call, starts, begin, call.num_tokens), end_(end), most_(most), most_pieces_(group) {
    TakePiece();
    TakeGroup();
  }

  bool Next() {
    if (++at_ >= group_.size) {
      group_ = next_;
      at_ = 0;
      TakeGroup();
      if (group_.size == 0) return false;
    }
    Segment& piece = group_.pieces[at_];
    if (piece.row >= end_) return false;
    piece.count = std::min(piece.count, end_ - piece.row);
    return true;
  }

  const Segment& Piece() const { return group_.pieces[at_]; }

  // Whose rows come behind it; null: none of this walk.
  const Segment* Following() const {
    const bool in_group = at_ + 1 < group_.size;
    if (!in_group && next_.size == 0) return nullptr;
    const Segment& piece = in_group ? group_.pieces[at_ + 1] : next_.pieces[0];
    return piece.row < end_ ? &piece : nullptr;
  }

  // Whether it is the first one of its group.
  bool BeginsGroup() const { return at_ == 0; }

  // The one after that; at the end of all its own.
  const Group& NextGroup() const { return next_.size > 0 ? next_ : group_; }

 private:
  void TakePiece() {
    if (rest_.count == 0 && !walk_.Next(&rest_)) rest_.count = 0;
    piece_ = rest_;
    piece_.count = std::min(rest_.count, most_);
    rest_.row += piece_.count;
    rest_.offset += piece_.count;
    rest_.count -= piece_.count;
  }

  void TakeGroup() {
    next_.size = 0;
    while (next_.size < most_pieces_ && piece_.count > 0 &&
           (next_.size == 0 || piece_.count == next_.pieces[0].count)) {
      next_.pieces[next_.size++] = piece_;
      TakePiece();
    }
  }

  SegmentWalk walk_;
  const int64_t end_;
  const int64_t most_;
  const int most_pieces_;
  Segment rest_{};
  Segment piece_{};  // the first one that is in no group yet
  Group group_;
  Group next_;
  int at_ = 0;
};

// One side of a call, for one thread.
class SideGatherer {
 public:
  SideGatherer(const MsspGatherCall& call, const std::vector<int64_t>& starts, const MsspPagedSide& side, bool stream)
      : call_(call),
        starts_(starts),
        shape_(ShapeOf(call)),
        side_(WithUsedStrides(shape_, call.num_tokens, side)),
        kernels_(ActiveKernels()),
        stream_(stream),
        code_size_(MsspItemSize(side.cache_type)),
        head_bytes_(side.head_size * code_size_),
        token_bytes_(head_bytes_ * call.num_head),
        row_item_(MsspItemSize(side.rows_type)),
        row_bytes_(side.head_size * call.num_head * row_item_),
        dequantises_(side.scaling.kind != MSSP_COPIED),
        rows_are_contiguous_(side_.head_stride == side.head_size &&
                             side_.token_stride == side.head_size * call.num_head) {
    if (dequantises_) dequantise_ = kernels_.quant.dequantise[side.rows_type][CodeIndex(side.cache_type)];
    tile_tokens_ = std::max<int64_t>(kTileBytes / row_bytes_, 1);
    if (!NeedsTile()) return;
    tile_.resize(static_cast<size_t>(tile_tokens_ * row_bytes_));
    if (dequantises_ && call_.layout == MSSP_PA_NZ) codes_.resize(static_cast<size_t>(tile_tokens_ * token_bytes_));
  }

  void Run(int64_t begin, int64_t end) {
    if (NeedsTile()) return RunInTiles(begin, end);
    // One head is as many tokens side by side.
    if (call_.layout == MSSP_NORM || (call_.layout == MSSP_NHSD && call_.num_head == 1)) return CopyNorm(begin, end);
    if (call_.layout == MSSP_NHSD) return CopyNhsd(begin, end);
    CopyNz(begin, end);
  }

 private:
  bool NeedsTile() const {
    return dequantises_ || !rows_are_contiguous_ ||
           (call_.layout == MSSP_PA_NZ && stream_ && !kernels_.streams_nz_rows(side_.rows, row_bytes_));
  }

  const char* Block(int64_t block) const {
    return static_cast<const char*>(side_.cache) + block * side_.block_stride * code_size_;
  }

  char* Row(int64_t row) const { return static_cast<char*>(side_.rows) + row * side_.token_stride * row_item_; }

  void CopyLong(char* to, const char* from, int64_t bytes) const {
    if (stream_) return kernels_.stream_long(to, from, bytes);
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }

  void CopyNorm(int64_t begin, int64_t end) const {
    SegmentWalk walk(call_, starts_, begin, end);
    InterleavedCopies pending;  // of one length
    char* to = nullptr;
    const char* from = nullptr;
    int64_t bytes = 0;
    const auto flush = [&] {
      if (pending.count == 0) return;
      CopyInterleaved(kernels_, stream_, pending);
      pending.count = 0;
    };
    const auto add = [&] {
      if (bytes == 0) return;
      if (bytes >= kLongBytes) return CopyLong(to, from, bytes);
      if (pending.count > 0 && pending.row_bytes != bytes) flush();
      pending.row_bytes = bytes;
      pending.stride = bytes;
      pending.rows = 1;
      pending.prefetch = kReadAhead;
      pending.to[pending.count] = to;
      pending.from[pending.count++] = from;
      if (pending.count == kMaxInterleaved) flush();
    };
    for (Segment segment; walk.Next(&segment);) {
      const char* const source = Block(segment.block) + segment.offset * token_bytes_;
      char* const target = Row(segment.row);
      __builtin_prefetch(source, 0, 2);
      if (bytes > 0 && source == from + bytes && target == to + bytes) {
        bytes += segment.count * token_bytes_;
        continue;
      }
      add();
      to = target;
      from = source;
      bytes = segment.count * token_bytes_;
    }
    add();
    flush();
  }

  // What lies side by side in the cache of one token.
  int64_t StripBytes() const { return call_.layout == MSSP_NHSD ? head_bytes_ : kUnitBytes; }

  const char* Source(const Segment& piece) const { return Block(piece.block) + piece.offset * StripBytes(); }

  // In PA_NZ and NHSD.
  PieceWalk Pieces(int64_t begin, int64_t end) const {
    const int64_t tokens = std::clamp<int64_t>(kPieceBytes / token_bytes_, 2, kPiece);
    return {call_, starts_, begin, end, tokens, tokens >= call_.block_size ? StripsAhead::kMostPieces : 1};
  }

  // Units are moved of two tokens at a time.
  bool CanJoin(const Segment& piece) const { return call_.layout == MSSP_NHSD || piece.count % 2 == 0; }

  // Strips of the walk's piece, to rows that lie `row_bytes` apart.
  StripRun Strips(char* to, int64_t row_bytes, const PieceWalk& walk) {
    StripRun run;
    run.to = to;
    run.from = Source(walk.Piece());
    run.token_stride = row_bytes;
    run.strip_bytes = StripBytes();
    run.strip_stride = call_.block_size * run.strip_bytes;
    run.tokens = walk.Piece().count;
    run.strips = token_bytes_ / run.strip_bytes;
    const Segment* const following = walk.Following();
    const bool joins = following != nullptr && CanJoin(walk.Piece()) && CanJoin(*following);
    run.after = joins ? Source(*following) : nullptr;
    run.has_begun = has_begun_;
    has_begun_ = joins;
    if (walk.BeginsGroup()) {
      const PieceWalk::Group& next = walk.NextGroup();
      const char* const from = Source(next.pieces[0]);
      ahead_ = {from,
                next.size,
                Source(next.pieces[next.size - 1]) - from,
                next.pieces[0].count * run.strip_bytes,
                run.strip_stride,
                run.strips};
    }
    run.ahead = &ahead_;
    return run;
  }

  void CopyNhsd(int64_t begin, int64_t end) {
    if (stream_ && head_bytes_ % kLine == 0) {
      for (PieceWalk walk = Pieces(begin, end); walk.Next();) {
        kernels_.stream_strips(Strips(Row(walk.Piece().row), row_bytes_, walk));
      }
      return;
    }
    // A token is a copy of one row per head.
    InterleavedCopies copies;
    copies.row_bytes = head_bytes_;
    copies.stride = call_.block_size * head_bytes_;
    copies.rows = call_.num_head;
    for (PieceWalk walk(call_, starts_, begin, end, kMaxInterleaved, 1); walk.Next();) {
      const Segment& piece = walk.Piece();
      const char* const source = Source(piece);
      copies.prefetch = Source(walk.NextGroup().pieces[0]) - source;
      copies.count = static_cast<int>(piece.count);
      for (int i = 0; i < copies.count; ++i) {
        copies.to[i] = Row(piece.row + i);
        copies.from[i] = source + i * head_bytes_;
      }
      CopyInterleaved(kernels_, stream_, copies);
    }
  }

  void CopyNz(int64_t begin, int64_t end) {
    for (PieceWalk walk = Pieces(begin, end); walk.Next();) {
      kernels_.nz_rows(Strips(Row(walk.Piece().row), row_bytes_, walk), stream_);
    }
  }

  void RunInTiles(int64_t begin, int64_t end) {
    int64_t first = begin;
    for (PieceWalk walk(call_, starts_, begin, end, std::min(tile_tokens_, kPiece), 1); walk.Next();) {
      const Segment& piece = walk.Piece();
      if (piece.row + piece.count - first > tile_tokens_) {
        Emit(first, piece.row);
        first = piece.row;
      }
      char* const to = tile_.data() + (piece.row - first) * row_bytes_;
      if (dequantises_) {
        Dequantise(to, walk);
      } else {
        Collect(to, walk);
      }
    }
    Emit(first, end);
  }

  // The segment's bytes as [count, N, D].
  void Collect(char* to, const PieceWalk& walk) {
    const Segment& segment = walk.Piece();
    const char* const block = Block(segment.block);
    if (call_.layout == MSSP_NORM) {
      std::memcpy(to, block + segment.offset * token_bytes_, static_cast<size_t>(segment.count * token_bytes_));
    } else if (call_.layout == MSSP_NHSD) {
      for (int64_t h = 0; h < call_.num_head; ++h) {
        const char* const from = block + (h * call_.block_size + segment.offset) * head_bytes_;
        for (int64_t i = 0; i < segment.count; ++i) {
          std::memcpy(to + i * token_bytes_ + h * head_bytes_, from + i * head_bytes_,
                      static_cast<size_t>(head_bytes_));
        }
      }
    } else {
      kernels_.nz_rows(Strips(to, token_bytes_, walk), false);
    }
  }

  void Dequantise(char* to, const PieceWalk& walk) {
    const Segment& segment = walk.Piece();
    const char* codes = Block(segment.block);
    int64_t token_stride = token_bytes_;
    int64_t head_stride = head_bytes_;
    if (call_.layout == MSSP_PA_NZ) {
      Collect(codes_.data(), walk);
      codes = codes_.data();
    } else if (call_.layout == MSSP_NORM) {
      codes += segment.offset * token_bytes_;
    } else {
      token_stride = head_bytes_;
      head_stride = call_.block_size * head_bytes_;
      codes += segment.offset * head_bytes_;
    }
    const MsspScaling& scaling = side_.scaling;
    const auto* const scale = static_cast<const float*>(scaling.scale);
    const auto* const offset = static_cast<const float*>(scaling.offset);
    const bool per_channel = scaling.granularity == MSSP_PER_CHANNEL;
    const bool whole_tokens =
        scaling.kind == MSSP_STATIC && call_.layout != MSSP_NHSD && scaling.granularity != MSSP_PER_HEAD;
    for (int64_t i = 0; i < segment.count; ++i) {
      char* const row = to + i * row_bytes_;
      const char* const from = codes + i * token_stride;
      if (whole_tokens) {
        dequantise_(row, from, call_.num_head * side_.head_size, {scale, offset, per_channel ? 1 : 0});
        continue;
      }
      for (int64_t h = 0; h < call_.num_head; ++h) {
        ScaleRow head = {nullptr, nullptr, 0};
        if (scaling.kind == MSSP_STATIC) {
          const int64_t at = per_channel ? h * side_.head_size : scaling.granularity == MSSP_PER_HEAD ? h : 0;
          head = {scale + at, offset == nullptr ? nullptr : offset + at, per_channel ? 1 : 0};
        } else {
          head.scale = ScaleAt(shape_, scaling, segment.block, segment.offset + i, h);
        }
        dequantise_(row + h * side_.head_size * row_item_, from + h * head_stride, side_.head_size, head);
      }
    }
  }

  void Emit(int64_t first, int64_t last) const {
    if (rows_are_contiguous_) return CopyLong(Row(first), tile_.data(), (last - first) * row_bytes_);
    const int64_t bytes = side_.head_size * row_item_;
    for (int64_t row = first; row < last; ++row) {
      for (int64_t h = 0; h < call_.num_head; ++h) {
        std::memcpy(Row(row) + h * side_.head_stride * row_item_, tile_.data() + (row - first) * row_bytes_ + h * bytes,
                    static_cast<size_t>(bytes));
      }
    }
  }

  const MsspGatherCall& call_;
  const std::vector<int64_t>& starts_;
  const PagedShape shape_;
  const MsspPagedSide side_;
  const Kernels& kernels_;
  const bool stream_;
  const int64_t code_size_;
  const int64_t head_bytes_;   // in the cache
  const int64_t token_bytes_;  // in the cache
  const int64_t row_item_;
  const int64_t row_bytes_;
  const bool dequantises_;
  const bool rows_are_contiguous_;
  QuantKernels::Dequantise dequantise_ = nullptr;
  StripsAhead ahead_;
  bool has_begun_ = false;  // the rows of the next piece; none after the last one of a walk
  int64_t tile_tokens_;
  std::vector<char> tile_;
  std::vector<char> codes_;
};

}  // namespace

MsspStatus CheckGatherDescription(const MsspGatherCall& call) {
  const PagedShape shape = ShapeOf(call);
  MsspStatus status = CheckPagedShape(shape, gather::kKeyCache);
  if (status.code != MSSP_WRITTEN) return status;
  if (MsspIndexSize(call.index_type) == 0) {
    return {MSSP_BAD_SHAPES, gather::kBlockTables, call.index_type, MSSP_INDEX_INT64};
  }
  for (const int64_t dimension : {call.num_tokens, call.batch, call.table_width}) {
    if (dimension < 0) return {MSSP_BAD_SHAPES, gather::kBlockTables, dimension, 0};
    if (dimension > kMaxBytes) return {MSSP_BAD_SHAPES, gather::kBlockTables, dimension, kMaxBytes};
  }
  int64_t entries;
  if (!Multiply(&entries, call.batch, call.table_width, sizeof(int64_t))) {
    return {MSSP_BAD_SHAPES, gather::kBlockTables, call.batch, kMaxBytes};
  }
  const MsspPagedSide* const sides[] = {&call.key, &call.value};
  for (int i = 0; i < 2; ++i) {
    const SideArguments& arguments = i == 0 ? kKeySide : kValueSide;
    status = CheckPagedSide(shape, call.num_tokens, *sides[i], arguments);
    if (status.code != MSSP_WRITTEN) return status;
    if (sides[i]->rows != nullptr && sides[i]->scaling.kind == MSSP_GIVEN) {
      return {MSSP_BAD_SHAPES, arguments.scale, MSSP_GIVEN, MSSP_DYNAMIC};
    }
  }
  if (LengthCount(call) > 0 && call.seq_lens == nullptr) return {MSSP_BAD_SHAPES, gather::kSeqLens, 0, 1};
  if (entries > 0 && call.block_tables == nullptr) return {MSSP_BAD_SHAPES, gather::kBlockTables, 0, 1};
  const struct {
    int argument;
    const void* data;
    int64_t count;
  } indices[] = {{gather::kBlockTables, call.block_tables, call.batch * call.table_width},
                 {gather::kSeqLens, call.seq_lens, LengthCount(call)},
                 {gather::kSeqOffset, call.seq_offset, call.seq_offset == nullptr ? 0 : call.batch}};
  for (const auto& index : indices) {
    Region region;
    if (!SpanOf(index.data, &index.count, nullptr, 1, MsspIndexSize(call.index_type), &region)) {
      return {MSSP_BAD_SHAPES, index.argument, index.count, kMaxBytes};
    }
  }
  return kGoodStatus;
}

MsspStatus CheckGatherOverlap(const MsspGatherCall& call) {
  const PagedShape shape = ShapeOf(call);
  Region regions[MSSP_GATHER_NUM_ARGUMENTS];
  FillRegions(shape, call.num_tokens, call.key, kKeySide, regions);
  FillRegions(shape, call.num_tokens, call.value, kValueSide, regions);
  const int64_t index_size = MsspIndexSize(call.index_type);
  const int64_t entries = call.batch * call.table_width;
  const int64_t lengths = LengthCount(call);
  SpanOf(call.block_tables, &entries, nullptr, 1, index_size, &regions[gather::kBlockTables]);
  SpanOf(call.seq_lens, &lengths, nullptr, 1, index_size, &regions[gather::kSeqLens]);
  if (call.seq_offset != nullptr) {
    SpanOf(call.seq_offset, &call.batch, nullptr, 1, index_size, &regions[gather::kSeqOffset]);
  }
  return FindOverlap(regions, MSSP_GATHER_NUM_ARGUMENTS, gather::kWritten);
}

MsspStatus CheckGatherValues(const MsspGatherCall& call, std::vector<int64_t>* starts) {
  const PagedShape shape = ShapeOf(call);
  const MsspPagedSide* const sides[] = {&call.key, &call.value};
  const SideArguments* const arguments[] = {&kKeySide, &kValueSide};
  MsspStatus status = kGoodStatus;
  const IndexArray lengths(call.seq_lens, call.index_type);
  starts->assign(static_cast<size_t>(call.batch) + 1, 0);
  if (call.is_seq_lens_cumsum != 0 && lengths[0] != 0) return {MSSP_BAD_LENGTHS, 0, lengths[0], 0};
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t begin = (*starts)[b];
    const int64_t position = b + (call.is_seq_lens_cumsum != 0 ? 1 : 0);
    const int64_t given = lengths[position];
    const int64_t least = call.is_seq_lens_cumsum != 0 ? begin : 0;
    const int64_t room = call.num_tokens - (call.is_seq_lens_cumsum != 0 ? 0 : begin);
    // A sum beyond T cannot be made good by what follows.
    if (given < least || given > room) return {MSSP_BAD_LENGTHS, position, given, room};
    (*starts)[b + 1] = call.is_seq_lens_cumsum != 0 ? given : begin + given;
  }
  if (starts->back() != call.num_tokens) {
    const int64_t last =
        std::max<int64_t>(call.batch - 1, 0) + (call.is_seq_lens_cumsum != 0 && call.batch > 0 ? 1 : 0);
    return {MSSP_BAD_LENGTHS, last, starts->back(), call.num_tokens};
  }
  for (int64_t b = 0; b < call.batch; ++b) {
    status = CheckSequence(call, b, (*starts)[b + 1] - (*starts)[b]);
    if (status.code != MSSP_WRITTEN) return status;
  }
  for (int i = 0; i < 2; ++i) {
    status = CheckScales(shape, *sides[i], *arguments[i]);
    if (status.code != MSSP_WRITTEN) return status;
  }
  return CheckBlocks(call, *starts);
}

void Gather(const MsspGatherCall& call, const std::vector<int64_t>& starts) {
  const MsspPagedSide* sides[2];
  int num_sides = 0;
  int64_t row_bytes = 0;
  for (const MsspPagedSide* side : {&call.key, &call.value}) {
    if (side->rows == nullptr || side->head_size * call.num_head == 0) continue;
    sides[num_sides++] = side;
    row_bytes += side->head_size * call.num_head * MsspItemSize(side->rows_type);
  }
  if (num_sides == 0 || call.num_tokens == 0) return;
  const bool stream = ShouldStreamTo(row_bytes * call.num_tokens);
  const Team team = ChooseTeam(call.num_threads, row_bytes * call.num_tokens);
  const int64_t least = std::max(kMinPieceBytes * num_sides / row_bytes, kMinPiece);
  Shares shares(call.num_tokens * num_sides, team.num_threads, least);  // of the key, then of the value
  const auto prepare = [&] {
    return std::make_pair(SideGatherer(call, starts, *sides[0], stream),
                          SideGatherer(call, starts, *sides[num_sides - 1], stream));
  };
  RunWithMemory(team, prepare, [&](std::pair<SideGatherer, SideGatherer>& gatherers) {
    const IeeeScope ieee;
    const int self = shares.Join();
    auto& [first, second] = gatherers;
    for (Range piece; shares.Take(self, &piece);) {
      if (piece.begin < call.num_tokens) first.Run(piece.begin, std::min(piece.end, call.num_tokens));
      if (piece.end > call.num_tokens) {
        second.Run(std::max(piece.begin, call.num_tokens) - call.num_tokens, piece.end - call.num_tokens);
      }
    }
    if (stream) ActiveKernels().fence();
  });
}

}  // namespace mssp
