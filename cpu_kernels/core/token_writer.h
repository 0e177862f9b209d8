// Norm, PA_NZ and NHSD: one token per slot. Each layout writes a range of tokens of one side.
#ifndef MS_SCATTER_PA_CORE_TOKEN_WRITER_H_
#define MS_SCATTER_PA_CORE_TOKEN_WRITER_H_

#include <cstdint>
#include <cstring>

#include "call_sizes.h"
#include "indices.h"
#include "interleaved_copy.h"

namespace mssp {

struct TokenWriter {
  SideView side;
  IndexArray slots;
  int64_t num_tokens;
  const Kernels* kernels;
  bool stream;

  const char* Row(int64_t token) const { return side.rows + token * side.token_stride; }

  // Tokens from `token` on, before `end`, whose slots follow one another; at most `limit`.
  int64_t RunLength(int64_t token, int64_t end, int64_t limit) const {
    const int64_t slot = slots[token];
    const int64_t bound = end - token < limit ? end - token : limit;
    int64_t length = 1;
    while (length < bound && slots[token + length] == slot + length) ++length;
    return length;
  }

  // `rows` rows of `row_bytes`, `stride` bytes apart, to contiguous memory.
  void CopyRows(char* to, const char* from, int64_t row_bytes, int64_t stride, int64_t rows) const {
    if (stride == row_bytes) {
      if (stream) return kernels->stream_long(to, from, row_bytes * rows);
      std::memcpy(to, from, static_cast<size_t>(row_bytes * rows));
      return;
    }
    InterleavedCopier copy = NewCopier(row_bytes, stride, rows, side.PrefetchDistance());
    copy.Add(to, from);
    copy.Flush();
  }

  InterleavedCopier NewCopier(int64_t row_bytes, int64_t stride, int64_t rows, int64_t prefetch) const {
    return InterleavedCopier(*kernels, stream, row_bytes, stride, rows, prefetch);
  }
};

void WriteNorm(const TokenWriter& writer, int64_t begin, int64_t end);
void WriteNz(const TokenWriter& writer, int64_t begin, int64_t end);
void WriteNhsd(const TokenWriter& writer, int64_t begin, int64_t end);

inline void WriteLayout(const TokenWriter& writer, int32_t layout, int64_t begin, int64_t end) {
  switch (layout) {
    case MSSP_NORM:
      return WriteNorm(writer, begin, end);
    case MSSP_PA_NZ:
      return WriteNz(writer, begin, end);
    default:
      return WriteNhsd(writer, begin, end);
  }
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_TOKEN_WRITER_H_
