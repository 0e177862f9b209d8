// Any processor: four numbers at once as far as the compiler's baseline goes, float16 one by one.
#include "../../core/small_float.h"

#define MSSP_LANES 4
#define MSSP_SUMS 8
#define MSSP_TABLE kPortableVectors
#define MSSP_TABLE_NAME "portable"
#include "vector_types.h"

namespace mssp {
namespace compat {
namespace {

MSSP_INLINE Floats LoadHalf(const uint16_t* from) {
  return Floats{Float16::ToFloat(from[0]), Float16::ToFloat(from[1]), Float16::ToFloat(from[2]),
                Float16::ToFloat(from[3])};
}

MSSP_INLINE Shorts NarrowHalf(Floats x) {
  Shorts codes;
  for (int i = 0; i < MSSP_LANES; ++i) codes[i] = static_cast<uint16_t>(Float16::FromFloat(x[i]));
  return codes;
}

MSSP_INLINE void StreamVector(Floats x, float* to) { __builtin_memcpy(to, &x, sizeof(x)); }
MSSP_INLINE void StreamVector(Shorts x, uint16_t* to) { __builtin_memcpy(to, &x, sizeof(x)); }

}  // namespace
}  // namespace compat
}  // namespace mssp

#include "vector_body.h"
