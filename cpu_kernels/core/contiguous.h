// A contiguous copy of a strided tensor: what is read in place of rows whose innermost dimension is strided.
#ifndef MS_SCATTER_PA_CORE_CONTIGUOUS_H_
#define MS_SCATTER_PA_CORE_CONTIGUOUS_H_

#include <stdint.h>

#include "op_info.h"

#ifdef __cplusplus
extern "C" {
#endif

// Copies a tensor to contiguous memory that does not overlap it. Strides count elements, may be 0 or negative, and
// belong to up to MSSP_MAX_RANK dimensions; item_size is 1, 2, 4 or 8. Of numbers that cannot be nothing
// is copied. num_threads: the most; 0: chosen by the core.
void MsspCopyContiguous(void* to, const void* from, const int64_t* shape, const int64_t* strides, int64_t ndim,
                        int64_t item_size, int32_t num_threads);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_CONTIGUOUS_H_
