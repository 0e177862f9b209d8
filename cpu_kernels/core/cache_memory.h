// Memory for a cache: zeroed, on a 2 MiB boundary and on huge pages where the system gives them.
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
