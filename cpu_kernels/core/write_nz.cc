// PA_NZ: 32-byte units of a token lie block_size * 32 bytes apart. Slots that follow one another are transposed in
// tiles that fill whole lines; the others go eight tokens at a time, the lines of the next eight on their way
// meanwhile.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "memory_page_prefetch.h"
#include "token_writer.h"

namespace mssp {
namespace {

constexpr int64_t kMinRun = 4;
constexpr int64_t kTileTokens = 16;
constexpr int64_t kMaxBlockTile = 32;
constexpr int64_t kMaxGivenWay = 128;  // more would leave one thread with too little

class NzWriter {
 public:
  explicit NzWriter(const TokenWriter& writer)
      : writer_(writer), side_(writer.side), unit_stride_(side_.block_size * kUnitBytes) {
    if (side_.HeadsAreContiguous()) {
      segments_ = 1;
      units_ = side_.token_bytes / kUnitBytes;
      segment_stride_ = 0;
    } else if (side_.head_bytes % kUnitBytes == 0) {
      segments_ = side_.num_head;
      units_ = side_.head_bytes / kUnitBytes;
      segment_stride_ = side_.head_stride;
    } else {
      segments_ = 0;  // units span heads that lie apart
    }
  }

  // Tokens of this side in tiles: call it again, `done` as it left it, until all of the run are done.
  void WriteTileOfRun(int64_t token, int64_t tokens, int64_t* done) {
    char* const to = To(token);
    // Where units begin in the middle of a line the first tile ends on one.
    const bool is_uneven = reinterpret_cast<uintptr_t>(to) % kLine == kUnitBytes;
    const bool fills_small_block = tokens == side_.block_size && tokens <= kMaxBlockTile;
    int64_t tile = kTileTokens - (*done == 0 && is_uneven ? 1 : 0);
    if (fills_small_block || tokens - *done < tile + 2) tile = tokens - *done;  // never a single token
    WriteTile(to, token, *done, tile, tokens);
    *done += tile;
  }

  void WriteSingle(int64_t token) {
    if (segments_ == 0) return WritePiecewise(To(token), writer_.Row(token));
    collected_.to[collected_.count] = To(token);
    collected_.from[collected_.count] = writer_.Row(token);
    if (++collected_.count == kNzTile) Flush();
  }

  void Finish() {
    Flush();
    Flush();
  }

  // Whether runs can be written in tiles.
  bool HasWholeUnits() const { return segments_ != 0; }

 private:
  char* To(int64_t token) const {
    const int64_t slot = writer_.slots[token];
    return side_.Block(slot) + side_.OffsetOf(slot) * kUnitBytes;
  }

  // Of the run of `tokens` that begins at `first`, after the first `before`.
  void WriteTile(char* to, int64_t first, int64_t before, int64_t tile, int64_t tokens) {
    const int64_t token = first + before;
    if (side_.token_stride != side_.token_bytes) {
      const int64_t last = std::min(token + 2 * tile, writer_.num_tokens);
      for (int64_t t = token + tile; t < last; ++t) __builtin_prefetch(writer_.Row(t) + side_.token_bytes - 1, 0, 2);
    }
    NzRun run;
    run.token_stride = side_.token_stride;
    run.unit_stride = unit_stride_;
    run.tokens = tile;
    run.units = units_;
    run.before = before;
    run.goes_on = before + tile < tokens;
    run.fills_block = tokens == side_.block_size;
    // Past the end of this piece too: the thread that has it will likely have the next one.
    run.prefetch = token + tile < writer_.num_tokens ? tile * side_.token_stride : 0;
    for (int64_t s = 0; s < segments_; ++s) {
      run.to = to + before * kUnitBytes + s * units_ * unit_stride_;
      run.from = writer_.Row(token) + s * segment_stride_;
      writer_.kernels->nz_run(run, writer_.stream);
    }
  }

  // Stores the tile before the one collected, which becomes the next to be stored.
  void Flush() {
    NzTile tile = ready_;
    NzTile next = collected_;
    for (int64_t s = 0; s < segments_; ++s) {
      writer_.kernels->nz_tile(tile, next, units_, unit_stride_, writer_.stream);
      for (int k = 0; k < tile.count; ++k) {
        tile.to[k] += units_ * unit_stride_;
        tile.from[k] += segment_stride_;
      }
      for (int k = 0; k < next.count; ++k) {
        next.to[k] += units_ * unit_stride_;
        next.from[k] += segment_stride_;
      }
    }
    ready_ = collected_;
    collected_.count = 0;
  }

  void WritePiecewise(char* to, const char* row) const {
    int64_t at = 0;  // byte of the token
    for (int64_t h = 0; h < side_.num_head; ++h) {
      for (int64_t d = 0; d < side_.head_bytes;) {
        const int64_t piece = std::min(kUnitBytes - at % kUnitBytes, side_.head_bytes - d);
        std::memcpy(to + at / kUnitBytes * unit_stride_ + at % kUnitBytes, row + h * side_.head_stride + d,
                    static_cast<size_t>(piece));
        at += piece;
        d += piece;
      }
    }
  }

  const TokenWriter& writer_;
  const SideView& side_;
  const int64_t unit_stride_;
  int64_t segments_;   // of a row, each contiguous
  int64_t units_ = 0;  // of a segment
  int64_t segment_stride_ = 0;
  NzTile ready_;
  NzTile collected_;
};

// Where threads share the tokens out, `token` gives way to the first one that begins a run or a block, if that is near:
// the parts of a block would end in the middle of lines.
int64_t NextRun(const TokenWriter& writer, int64_t token) {
  const int64_t near = std::max(kMaxBlockTile, std::min(writer.side.block_size, kMaxGivenWay));
  const int64_t bound = std::min(token + near, writer.num_tokens);
  for (int64_t t = token; t < bound; ++t) {
    const int64_t slot = writer.slots[t];
    if (t == 0 || slot % writer.side.block_size == 0 || slot != writer.slots[t - 1] + 1) return t;
  }
  return bound == writer.num_tokens ? bound : token;
}

// The same tokens of one side, or of both, tile by tile.
template <int kSides>
void WriteSides(NzWriter (&sides)[kSides], const TokenWriter& first, int64_t begin, int64_t end) {
  begin = NextRun(first, begin);
  end = NextRun(first, end);
  const SideView& side = first.side;
  MemoryPagePrefetch pages(first.slots, side, begin, end);
  bool has_whole_units = true;
  for (const NzWriter& writer : sides) has_whole_units = has_whole_units && writer.HasWholeUnits();
  for (int64_t token = begin, run; token < end; token += run) {
    run = 1;
    const int64_t slot = first.slots[token];
    if (slot < 0) continue;
    run = first.RunLength(token, end, side.block_size - side.OffsetOf(slot));
    if (run < kMinRun || !has_whole_units) {
      for (NzWriter& writer : sides) {
        for (int64_t r = 0; r < run; ++r) writer.WriteSingle(token + r);
      }
      continue;
    }
    pages.GoTo(token);
    int64_t done[kSides] = {};
    for (bool goes_on = true; goes_on;) {
      goes_on = false;
      for (int i = 0; i < kSides; ++i) {
        if (done[i] == run) continue;
        sides[i].WriteTileOfRun(token, run, &done[i]);
        goes_on = goes_on || done[i] < run;
      }
    }
  }
  for (NzWriter& writer : sides) writer.Finish();
}

}  // namespace

void WriteNz(const TokenWriter& writer, int64_t begin, int64_t end) {
  NzWriter side[] = {NzWriter(writer)};
  WriteSides(side, writer, begin, end);
}

void WriteFusedNz(const TokenWriter& key, const TokenWriter& value, int64_t begin, int64_t end) {
  NzWriter sides[] = {NzWriter(key), NzWriter(value)};
  WriteSides(sides, key, begin, end);
}

}  // namespace mssp
