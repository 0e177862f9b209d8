// Memory for a cache: zeroed, whole pages, the last one begun for the bytes asked for. From 2 MiB on it begins on such
// a boundary, and the whole 2 MiB in it are huge pages where the system gives them.
#ifndef MS_SCATTER_PA_CORE_CACHE_MEMORY_H_
#define MS_SCATTER_PA_CORE_CACHE_MEMORY_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// NULL when there is no such memory or `bytes` is not positive.
void* MsspAllocCache(int64_t bytes);

// `memory` and `bytes` as given to and by MsspAllocCache; NULL is legal.
void MsspFreeCache(void* memory, int64_t bytes);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_CACHE_MEMORY_H_
