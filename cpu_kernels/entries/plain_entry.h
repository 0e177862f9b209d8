// The library's plain C interface beside scatter_pa.h, paged_call.h, copy_blocks.h, message.h, cache_memory.h
// and streaming_copy.h.
#ifndef MS_SCATTER_PA_PLAIN_ENTRY_H_
#define MS_SCATTER_PA_PLAIN_ENTRY_H_

#include <stdint.h>

#include "core/cache_memory.h"
#include "core/copy_blocks.h"
#include "core/message.h"
#include "core/paged_call.h"
#include "core/scatter_pa.h"
#include "core/streaming_copy.h"

#ifdef __cplusplus
extern "C" {
#endif

// The version of this interface: a caller that was built for another one must not go on.
#define MSSP_INTERFACE_VERSION 2
int32_t MsspVersion(void);

// The instruction set in use: "portable", "avx2", "avx512" or "neon". The best that the machine has unless the
// environment variable MS_SCATTER_PA_CPU names another.
const char* MsspCpuFeatures(void);

// 1 when that set is now in use, 0 when there is none of the name here. NULL or "" chooses the best.
int32_t MsspSetCpuFeatures(const char* name);

// Threads for calls whose num_threads is 0; 0 goes back to MS_SCATTER_PA_NUM_THREADS, OMP_NUM_THREADS, the processors
// allowed.
void MsspSetNumThreads(int32_t num_threads);
int32_t MsspGetNumThreads(void);

// From how many bytes of cache rows are stored past the processor's caches, and how many bytes to write pay for one
// more thread. For measuring and testing; a negative number goes back to the built-in one.
void MsspSetThresholds(int64_t stream_cache_bytes, int64_t bytes_per_thread);

// Whether stores past the caches may be of part of a line: 1, or 0 where the processor is slow with it. Measured once
// per process, unless the environment variable MS_SCATTER_PA_PARTIAL_STORES is "streamed" or "ordinary".
int32_t MsspPartialStores(void);

// 0 or 1; a negative number goes back to what is measured.
void MsspSetPartialStores(int32_t streamed);

// Measures now, for about 0.3 milliseconds: nanoseconds of an ordinary store whose line was read ahead, and of a
// streamed one of part of a line. Zeros where the processor has no streamed stores.
void MsspMeasurePartialStores(double* ordinary, double* streamed);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_PLAIN_ENTRY_H_
