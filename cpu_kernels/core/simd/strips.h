// Tokens of a block that lie there in strips, and the order in which strips are fetched.
#ifndef MS_SCATTER_PA_CORE_SIMD_STRIPS_H_
#define MS_SCATTER_PA_CORE_SIMD_STRIPS_H_

#include <cstdint>

#include "../call_sizes.h"

namespace mssp {

// Lines of one or two pieces to come, four at a time, of several places in turn: memory serves those at once, and one
// after the other lines that lie side by side.
class StripsAhead {
 public:
  static constexpr int kAtOnce = 4;
  static constexpr int kMostPieces = 2;

  StripsAhead() = default;

  // Of each piece, the first of which begins at `from` and the other one `second` bytes behind it, `strips` strips of
  // `bytes` lie `stride` bytes apart.
  StripsAhead(const char* from, int pieces, int64_t second, int64_t bytes, int64_t stride, int64_t strips)
      : at_(from), length_(bytes), left_(bytes), calls_(pieces * strips * bytes / (kAtOnce * kLine)) {
    const int64_t at_once = kAtOnce / pieces;
    int64_t places = 2 * at_once;
    while (strips % places != 0) places /= 2;
    int64_t step = strips / places * stride;
    if (places < at_once) {  // lines that lie side by side
      places = at_once;
      step = kLine;
      forward_ = places * kLine;
    }
    for (int i = 0; i < kAtOnce; ++i) offsets_[i] = i / at_once * second + i % at_once * step;
    turn_ = turns_ = places / at_once;
    turn_step_ = at_once * step;
    back_ = forward_ - (turns_ - 1) * turn_step_;
    gap_ = stride - length_;
  }

  bool HasMore() const { return calls_ > 0; }

  // One of the next kAtOnce lines.
  const char* Line(int i) const { return at_ + offsets_[i]; }

  void Advance() {
    --calls_;
    if (--turn_ > 0) {
      at_ += turn_step_;
      return;
    }
    turn_ = turns_;
    at_ += back_;
    left_ -= forward_;
    if (left_ > 0) return;
    at_ += gap_ - left_;
    left_ = length_;
  }

 private:
  const char* at_ = nullptr;
  int64_t offsets_[kAtOnce] = {};
  int64_t length_ = 0;  // of a strip
  int64_t left_ = 0;    // of one
  int64_t gap_ = 0;     // between strips
  int64_t calls_ = 0;
  int64_t turns_ = 0;  // for all places
  int64_t turn_ = 0;
  int64_t turn_step_ = 0;
  int64_t forward_ = kLine;
  int64_t back_ = 0;
};

// The way back of consecutive tokens of one block, which lie there in strips, the heads of NHSD or the units of PA_NZ:
// strip s of token t goes from from + s * strip_stride + t * strip_bytes to to + t * token_stride + s * strip_bytes.
struct StripRun {
  char* to;
  const char* from;
  int64_t token_stride;
  int64_t strip_stride;
  int64_t strip_bytes;
  int64_t tokens;
  int64_t strips;
  // Rows of another run follow and begin in the last line: where the run's own are on no line it takes their first
  // bytes along, from the strips that begin here. Null: there are none.
  const char* after;
  bool has_begun;      // the run before has done so with its first bytes
  StripsAhead* ahead;  // should be on their way meanwhile
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_STRIPS_H_
