// Collects copies of one shape and has them done side by side, as many as there is room for.
#ifndef MS_SCATTER_PA_CORE_STRAND_COPY_H_
#define MS_SCATTER_PA_CORE_STRAND_COPY_H_

#include <cstdint>

#include "simd/kernels.h"

namespace mssp {

class StrandCopy {
 public:
  // `rows` rows of `row_bytes`, `stride` bytes apart, to contiguous memory; `prefetch` as in Strands.
  StrandCopy(const Kernels& kernels, bool stream, int64_t row_bytes, int64_t stride, int64_t rows, int64_t prefetch)
      : kernels_(kernels), stream_(stream) {
    strands_.row_bytes = row_bytes;
    strands_.stride = stride;
    strands_.rows = rows;
    strands_.prefetch = prefetch;
  }

  void Add(char* to, const char* from) {
    strands_.to[strands_.count] = to;
    strands_.from[strands_.count++] = from;
    if (strands_.count == kMaxStrands) Flush();
  }

  // To be called after the last one.
  void Flush() {
    if (strands_.count == 0) return;
    if (stream_) {
      kernels_.stream_strands(strands_);
    } else {
      CopyWithMemcpy(strands_);
    }
    strands_.count = 0;
  }

 private:
  const Kernels& kernels_;
  const bool stream_;
  Strands strands_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_STRAND_COPY_H_
