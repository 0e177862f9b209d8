// The physical limit that benchmarks compare with: a copy of the same bytes, on the same threads.
#ifndef MS_SCATTER_PA_CORE_STREAMING_COPY_H_
#define MS_SCATTER_PA_CORE_STREAMING_COPY_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// streamed: 1 for stores that go past the caches, 0 for memcpy. num_threads: 0 as in MsspCall.
void MsspStreamingCopy(void* to, const void* from, int64_t bytes, int32_t num_threads, int32_t streamed);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_STREAMING_COPY_H_
