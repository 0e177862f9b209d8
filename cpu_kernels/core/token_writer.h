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

// Both sides, tile by tile.
void WriteFusedNz(const TokenWriter& key, const TokenWriter& value, int64_t begin, int64_t end);

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

// Whether K and V rows lie between one another, as slices of one projection: what is read for one side brings pages and
// lines of the other.
inline bool AreFused(const SideView& key, const SideView& value) {
  const int64_t apart =
      static_cast<int64_t>(reinterpret_cast<uintptr_t>(value.rows) - reinterpret_cast<uintptr_t>(key.rows));
  return key.token_stride == value.token_stride && key.token_stride > key.token_bytes &&
         (apart < 0 ? -apart : apart) < key.token_stride;
}

// Such sides, a few tokens of each in turn.
inline void WriteFused(const TokenWriter& key, const TokenWriter& value, int32_t layout, int64_t begin, int64_t end) {
  if (layout == MSSP_PA_NZ) return WriteFusedNz(key, value, begin, end);
  // In NHSD every head has a beginning and an end on lines of others.
  const int64_t chunk = layout == MSSP_NORM ? 16 : 64;
  for (; begin < end; begin += chunk) {
    const int64_t next = end - begin < chunk ? end : begin + chunk;
    WriteLayout(key, layout, begin, next);
    WriteLayout(value, layout, begin, next);
  }
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_TOKEN_WRITER_H_
