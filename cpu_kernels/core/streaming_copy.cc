#include "streaming_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "call_sizes.h"
#include "export.h"
#include "overlap.h"
#include "policy.h"
#include "shares.h"
#include "simd/cpu_features.h"

namespace mssp {
namespace {

// `work` takes a Range of [0, count); `finish` is called by every thread at its end.
template <typename Work, typename Finish>
void Share(const Team& team, int64_t count, int64_t least, const Work& work, const Finish& finish) {
  try {
    Shares shares(count, team.num_threads, least);
    RunOnThreads(team, [&] {
      const int self = shares.Join();
      for (Range piece; shares.Take(self, &piece);) work(piece);
      finish();
    });
  } catch (const std::bad_alloc&) {  // of Shares: nothing was done yet
    work(Range{0, count});
    finish();
  }
}

constexpr int kMaxInterleavedTokens = 16;

class LineToucher {
 public:
  LineToucher(const MsspScatteredLines& lines, int side)
      : lines_(lines),
        to_(static_cast<char*>(lines.to[side])),
        from_(static_cast<const char*>(lines.from[side])),
        pitch_(lines.block_size * lines.piece_bytes) {}

  void Touch(int64_t begin, int64_t end) const {
    Group now;
    Group next = TakeGroup(begin, end);
    while (next.count > 0) {
      now = next;
      begin += now.count;
      next = TakeGroup(begin, end);
      if (lines_.piece_bytes == kUnitBytes) {
        TouchGroup<kUnitBytes>(now, next, kUnitBytes);
      } else {
        TouchGroup<0>(now, next, lines_.piece_bytes);
      }
    }
  }

 private:
  struct Group {
    int count = 0;
    char* to[kMaxInterleavedTokens];
    const char* from[kMaxInterleavedTokens];
  };

  Group TakeGroup(int64_t begin, int64_t end) const {
    Group group;
    const int64_t most = std::min<int64_t>(lines_.interleaved_tokens, kMaxInterleavedTokens);
    for (; group.count < most && begin < end; ++begin, ++group.count) {
      const int64_t slot = lines_.slots[begin];
      const int64_t block = slot / lines_.block_size;
      group.to[group.count] =
          to_ + block * lines_.num_pieces * pitch_ + (slot - block * lines_.block_size) * lines_.piece_bytes;
      group.from[group.count] = from_ + begin * lines_.num_pieces * lines_.piece_bytes;
    }
    return group;
  }

  template <int64_t kPieceBytes>
  void TouchGroup(const Group& now, const Group& next, int64_t piece_bytes) const {
    const int64_t bytes = kPieceBytes != 0 ? kPieceBytes : piece_bytes;
    for (int64_t p = 0; p < lines_.num_pieces; ++p) {
      for (int k = 0; k < now.count; ++k) {
        if (k < next.count) {
          const char* const to = next.to[k] + p * pitch_;
          for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(to + at, 0, 2);
          if (reinterpret_cast<uintptr_t>(to) % kLine != 0) __builtin_prefetch(to + bytes - 1, 0, 2);
          const char* const from = next.from[k] + p * bytes;
          const bool is_new = bytes >= kLine || p % 2 == 0;
          for (int64_t at = 0; is_new && at < bytes; at += kLine) __builtin_prefetch(from + at, 0, 2);
        }
        std::memcpy(now.to[k] + p * pitch_, now.from[k] + p * bytes, static_cast<size_t>(bytes));
      }
    }
  }

  const MsspScatteredLines& lines_;
  char* const to_;
  const char* const from_;
  const int64_t pitch_;
};

}  // namespace
}  // namespace mssp

extern "C" {

MSSP_EXPORT void MsspStreamingCopy(void* to, const void* from, int64_t bytes, int32_t num_threads, int32_t streamed) {
  if (bytes <= 0 || bytes > mssp::kMaxBytes) return;
  const mssp::Kernels& kernels = mssp::ActiveKernels();
  constexpr int64_t kMemoryPage = 4096;
  const auto copy = [&](const mssp::Range& piece) {
    const int64_t begin = piece.begin * kMemoryPage;
    const int64_t size = std::min(piece.end * kMemoryPage, bytes) - begin;
    char* const out = static_cast<char*>(to) + begin;
    const char* const in = static_cast<const char*>(from) + begin;
    if (streamed != 0) {
      kernels.stream_long(out, in, size);
    } else {
      std::memcpy(out, in, static_cast<size_t>(size));
    }
  };
  mssp::Share(mssp::ChooseTeam(num_threads, bytes), (bytes + kMemoryPage - 1) / kMemoryPage, 32, copy, [&] {
    if (streamed != 0) kernels.fence();
  });
}

MSSP_EXPORT void MsspTouchLines(const MsspScatteredLines* lines) {
  const int64_t tokens = lines->num_tokens;
  const int64_t sides = lines->to[1] == nullptr ? 1 : 2;
  const auto touch = [&](const mssp::Range& piece) {
    const int64_t middle = std::min(std::max(tokens, piece.begin), piece.end);
    mssp::LineToucher(*lines, 0).Touch(piece.begin, middle);
    mssp::LineToucher(*lines, 1).Touch(middle - tokens, piece.end - tokens);
  };
  const int64_t bytes = sides * tokens * lines->num_pieces * lines->piece_bytes;
  const int64_t effort = bytes * (lines->piece_bytes < mssp::kLine ? 4 : 2);  // as the core reckons with them
  mssp::Share(mssp::ChooseTeam(lines->num_threads, effort), sides * tokens, 32, touch, [] {});
}

}  // extern "C"
