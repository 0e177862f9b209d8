// Vectors of MSSP_LANES numbers, in GCC's and clang's own spelling.
#ifndef MS_SCATTER_PA_COMPAT_SIMD_VECTOR_TYPES_H_
#define MS_SCATTER_PA_COMPAT_SIMD_VECTOR_TYPES_H_

#include <cstdint>

#define MSSP_INLINE static inline __attribute__((always_inline))

namespace mssp {
namespace compat {
namespace {

typedef float Floats __attribute__((vector_size(4 * MSSP_LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * MSSP_LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * MSSP_LANES)));
typedef uint16_t Shorts __attribute__((vector_size(2 * MSSP_LANES)));

}  // namespace
}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_SIMD_VECTOR_TYPES_H_
