// Collects copies of one shape and has them done side by side, as many as there is room for.
#ifndef MS_SCATTER_PA_CORE_INTERLEAVED_COPY_H_
#define MS_SCATTER_PA_CORE_INTERLEAVED_COPY_H_

#include <cstdint>

#include "simd/kernels.h"
#include "simd/loops.h"

namespace mssp {

inline void CopyInterleaved(const Kernels& kernels, bool stream, const InterleavedCopies& copies) {
  if (stream) {
    kernels.stream_interleaved(copies);
  } else {
    CopyRoundRobin<CopyBytes>(copies);
  }
}

class InterleavedCopier {
 public:
  // `rows` rows of `row_bytes`, `stride` bytes apart, to contiguous memory; `prefetch` as in InterleavedCopies.
  InterleavedCopier(const Kernels& kernels, bool stream, int64_t row_bytes, int64_t stride, int64_t rows,
                    int64_t prefetch)
      : kernels_(kernels), stream_(stream) {
    copies_.row_bytes = row_bytes;
    copies_.stride = stride;
    copies_.rows = rows;
    copies_.prefetch = prefetch;
  }

  void Add(char* to, const char* from) {
    copies_.to[copies_.count] = to;
    copies_.from[copies_.count++] = from;
    if (copies_.count == kMaxInterleaved) Flush();
  }

  // To be called after the last one.
  void Flush() {
    if (copies_.count == 0) return;
    CopyInterleaved(kernels_, stream_, copies_);
    copies_.count = 0;
  }

 private:
  const Kernels& kernels_;
  const bool stream_;
  InterleavedCopies copies_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_INTERLEAVED_COPY_H_
