// The physical limits that benchmarks compare with, on the same threads.
#ifndef MS_SCATTER_PA_CORE_STREAMING_COPY_H_
#define MS_SCATTER_PA_CORE_STREAMING_COPY_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A copy of the same bytes. streamed: 1 for stores that go past the caches, 0 for memcpy. num_threads: 0 as in
// MsspCall.
void MsspStreamingCopy(void* to, const void* from, int64_t bytes, int32_t num_threads, int32_t streamed);

// What a write to scattered pieces of lines cannot do without: the same lines of the same memory, touched by ordinary
// stores with their lines and rows read ahead, a few tokens interleaved.
typedef struct {
  void* to[2];          // caches; NULL: no second one
  const void* from[2];  // [num_tokens, num_pieces, piece_bytes]
  const int64_t* slots;
  int64_t num_tokens;
  int64_t num_pieces;  // of a token, block_size * piece_bytes apart
  int64_t piece_bytes;
  int64_t block_size;
  int32_t interleaved_tokens;
  int32_t num_threads;
} MsspScatteredLines;
void MsspTouchLines(const MsspScatteredLines* lines);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_STREAMING_COPY_H_
