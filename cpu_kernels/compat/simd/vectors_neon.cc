// AArch64: NEON converts float16 by itself.
#if defined(__aarch64__)

#include <arm_neon.h>

#define MSSP_LANES 4
#define MSSP_SUMS 16
#define MSSP_TABLE kNeonVectors
#define MSSP_TABLE_NAME "neon"
#include "vector_types.h"

namespace mssp {
namespace compat {
namespace {

MSSP_INLINE Floats LoadHalf(const uint16_t* from) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }

MSSP_INLINE Shorts NarrowHalf(Floats x) { return (Shorts)vreinterpret_u16_f16(vcvt_f16_f32(x)); }

// Ordinary stores: intrinsics have no others.
MSSP_INLINE void StreamVector(Floats x, float* to) { vst1q_f32(to, x); }
MSSP_INLINE void StreamVector(Shorts x, uint16_t* to) { vst1_u16(to, (uint16x4_t)x); }

}  // namespace
}  // namespace compat
}  // namespace mssp

#include "vector_body.h"

#endif  // __aarch64__
