// PA_NZ: 32-byte units of a token lie block_size * 32 bytes apart. Slots that follow one another are transposed in
// tiles that fill whole lines; the others go eight tokens at a time, the lines of the next eight on their way
// meanwhile.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "page_prefetch.h"
#include "token_writer.h"

namespace mssp {
namespace {

constexpr int64_t kMinRun = 4;
constexpr int64_t kTileTokens = 16;
constexpr int64_t kMaxBlockTile = 32;

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

  void Write(int64_t begin, int64_t end) {
    begin = NextRun(begin);
    end = NextRun(end);
    PagePrefetch pages(writer_.slots, side_, begin, end);
    for (int64_t token = begin, run; token < end; token += run) {
      run = 1;
      const int64_t slot = writer_.slots[token];
      if (slot < 0) continue;
      const int64_t offset = side_.OffsetOf(slot);
      char* const to = side_.Block(slot) + offset * kUnitBytes;
      if (segments_ == 0) {
        WritePiecewise(to, writer_.Row(token));
        continue;
      }
      run = writer_.RunLength(token, end, side_.block_size - offset);
      if (run >= kMinRun) {
        pages.GoTo(token);
        WriteRun(to, token, run);
      } else {
        for (int64_t r = 0; r < run; ++r) Add(to + r * kUnitBytes, writer_.Row(token + r));
      }
    }
    Flush();
    Flush();
  }

 private:
  // Where threads share the tokens out, `token` gives way to the first one that begins a run or a block, if that is
  // near: the parts of a block would end in the middle of lines.
  int64_t NextRun(int64_t token) const {
    const int64_t bound = std::min(token + kMaxBlockTile, writer_.num_tokens);
    for (int64_t t = token; t < bound; ++t) {
      const int64_t slot = writer_.slots[t];
      if (t == 0 || slot % side_.block_size == 0 || slot != writer_.slots[t - 1] + 1) return t;
    }
    return bound == writer_.num_tokens ? bound : token;
  }

  void WriteRun(char* to, int64_t token, int64_t tokens) {
    const bool fills_small_block = tokens == side_.block_size && tokens <= kMaxBlockTile;
    // Where units begin in the middle of a line the first tile ends on one.
    const int64_t uneven = reinterpret_cast<uintptr_t>(to) % kLine == kUnitBytes ? 1 : 0;
    for (int64_t done = 0, tile; done < tokens; done += tile) {
      tile = kTileTokens - (done == 0 ? uneven : 0);
      if (fills_small_block || tokens - done < tile + 2) tile = tokens - done;  // never a single token
      WriteTile(to + done * kUnitBytes, token + done, tile, done > 0, done + tile < tokens);
    }
  }

  void WriteTile(char* to, int64_t token, int64_t tokens, bool went_before, bool goes_on) {
    NzRun run;
    run.token_stride = side_.token_stride;
    run.unit_stride = unit_stride_;
    run.tokens = tokens;
    run.units = units_;
    run.went_before = went_before;
    run.goes_on = goes_on;
    // Past the end of this piece too: the thread that has it will likely have the next one.
    run.prefetch = token + tokens < writer_.num_tokens ? tokens * side_.token_stride : 0;
    for (int64_t s = 0; s < segments_; ++s) {
      run.to = to + s * units_ * unit_stride_;
      run.from = writer_.Row(token) + s * segment_stride_;
      writer_.kernels->nz_run(run, writer_.stream);
    }
  }

  void Add(char* to, const char* from) {
    collected_.to[collected_.count] = to;
    collected_.from[collected_.count] = from;
    if (++collected_.count == kNzTile) Flush();
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

}  // namespace

void WriteNz(const TokenWriter& writer, int64_t begin, int64_t end) { NzWriter(writer).Write(begin, end); }

}  // namespace mssp
