// Rope's mean row.
#ifndef MS_SCATTER_PA_CORE_MEAN_H_
#define MS_SCATTER_PA_CORE_MEAN_H_

#include <cstdint>

namespace mssp {

// Writes the mean of `count` >= 1 rows of `columns` elements, `stride` bytes apart. Float types: a float32 accumulator
// per column that starts at +0.0, rows in order, one division, one rounding. Integers: 64-bit sum, truncating division.
// Rows may have any alignment. The caller holds an IeeeScope.
void MeanRow(int32_t element_type, const char* rows, int64_t stride, int64_t count, int64_t columns, char* out);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_MEAN_H_
