// The library's plain C interface beside scatter_pa.h, message.h and cache_memory.h.
#ifndef MS_SCATTER_PA_PLAIN_ENTRY_H_
#define MS_SCATTER_PA_PLAIN_ENTRY_H_

#include <stdint.h>

#include "core/cache_memory.h"
#include "core/message.h"
#include "core/scatter_pa.h"

#ifdef __cplusplus
extern "C" {
#endif

// The version of this interface: a caller that was built for another one must not go on.
#define MSSP_INTERFACE_VERSION 1
int32_t MsspVersion(void);

// The instruction set in use: "portable", "avx2", "avx512" or "neon".
const char* MsspCpuFeatures(void);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_PLAIN_ENTRY_H_
