// float32 to and from the narrow float types, one element at a time; the same bits as NumPy, ml_dtypes and
// ms_scatter_pa.hifloat8.
#ifndef MS_SCATTER_PA_CORE_SMALL_FLOAT_H_
#define MS_SCATTER_PA_CORE_SMALL_FLOAT_H_

#include <cstdint>
#include <cstring>

namespace mssp {

inline uint32_t FloatBits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

inline float BitsFloat(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// An IEEE-like format of 1 sign, Exponent and Mantissa bits. Codes above kMaxFinite are infinity (when kHasInfinity)
// and NaN.
template <int Exponent, int Mantissa, bool HasInfinity>
struct SmallFloat {
  static constexpr int kBits = 1 + Exponent + Mantissa;
  static constexpr int kBias = (1 << (Exponent - 1)) - 1;
  static constexpr uint32_t kSign = 1u << (kBits - 1);
  static constexpr uint32_t kExponentMask = ((1u << Exponent) - 1) << Mantissa;
  static constexpr uint32_t kInfinity = HasInfinity ? kExponentMask : kSign - 1;  // without one: the NaN code
  static constexpr uint32_t kNan = HasInfinity ? kExponentMask | (1u << (Mantissa - 1)) : kSign - 1;

  // Rounds to nearest even. Flush-to-zero must be off.
  static uint32_t FromFloat(float x) {
    constexpr int kShift = 23 - Mantissa;
    const uint32_t sign = FloatBits(x) >> 31 ? kSign : 0;
    const uint32_t magnitude = FloatBits(x) & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return sign | kNan;
    constexpr uint32_t kSmallestNormal = static_cast<uint32_t>(128 - kBias) << 23;
    if (magnitude < kSmallestNormal) {
      // Adding 1.5 * 2**k leaves the subnormal code in the low bits, rounded by the addition itself.
      constexpr uint32_t kMagic = static_cast<uint32_t>(127 + 23 + 1 - kBias - Mantissa) << 23;
      return sign | (FloatBits(BitsFloat(magnitude) + BitsFloat(kMagic)) - kMagic);
    }
    const uint32_t rounded = magnitude + ((1u << (kShift - 1)) - 1) + ((magnitude >> kShift) & 1);
    const uint32_t code = (rounded >> kShift) - (static_cast<uint32_t>(127 - kBias) << Mantissa);
    return sign | (code < kInfinity ? code : kInfinity);
  }

  static float ToFloat(uint32_t code) {
    const uint32_t sign = (code & kSign) ? 0x80000000u : 0;
    const uint32_t magnitude = code & (kSign - 1);
    if (HasInfinity ? magnitude >= kExponentMask : magnitude == kSign - 1) {
      const uint32_t payload = HasInfinity ? (magnitude & ~kExponentMask) << (23 - Mantissa) : 0x00400000u;
      return BitsFloat(sign | 0x7F800000u | payload);
    }
    if (magnitude < (1u << Mantissa)) {
      constexpr uint32_t kUnit = static_cast<uint32_t>(127 + 1 - kBias - Mantissa) << 23;
      const float value = static_cast<float>(magnitude) * BitsFloat(kUnit);
      return BitsFloat(sign | FloatBits(value));
    }
    return BitsFloat(sign | ((magnitude << (23 - Mantissa)) + (static_cast<uint32_t>(127 - kBias) << 23)));
  }
};

using Float16 = SmallFloat<5, 10, true>;
using Float8E5M2 = SmallFloat<5, 2, true>;
using Float8E4M3FN = SmallFloat<4, 3, false>;

struct BFloat16 {
  static uint32_t FromFloat(float x) {
    const uint32_t bits = FloatBits(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (bits >> 16) | 0x40u;
    return (bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16;
  }
  static float ToFloat(uint32_t code) { return BitsFloat(code << 16); }
};

struct Float32 {
  static uint32_t FromFloat(float x) { return FloatBits(x); }
  static float ToFloat(uint32_t bits) { return BitsFloat(bits); }
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SMALL_FLOAT_H_
