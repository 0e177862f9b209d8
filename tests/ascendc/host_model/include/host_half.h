// float16 and bfloat16 as bits, with conversions that round to nearest even and keep subnormals.
#ifndef MS_SCATTER_PA_HOST_MODEL_HALF_H_
#define MS_SCATTER_PA_HOST_MODEL_HALF_H_

#include <cmath>
#include <cstdint>
#include <cstring>

struct half {
  uint16_t bits;
};

struct bfloat16_t {
  uint16_t bits;
};

namespace host_model {

inline uint32_t BitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

inline float FloatOf(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

inline float BfloatToFloat(uint16_t bits) { return FloatOf(static_cast<uint32_t>(bits) << 16); }

inline uint16_t FloatToBfloat(float x) {
  const uint32_t bits = BitsOf(x);
  if (std::isnan(x)) {
    return static_cast<uint16_t>((bits >> 16) | 0x40U);
  }
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

inline float HalfToFloat(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  float magnitude;
  if (exponent == 31) {
    magnitude = mantissa == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

inline uint16_t FloatToHalf(float x) {
  const uint16_t sign = static_cast<uint16_t>((BitsOf(x) >> 16) & 0x8000U);
  const float magnitude = std::fabs(x);
  if (std::isnan(x)) {
    return static_cast<uint16_t>(sign | 0x7E00U);
  }
  if (magnitude == 0.0F) {
    return sign;
  }
  if (magnitude >= 65520.0F) {
    return static_cast<uint16_t>(sign | 0x7C00U);
  }
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // The spacing of float16 around x; nearbyint rounds ties to even.
  const int step = exponent - 11 < -24 ? -24 : exponent - 11;
  const int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -step)));
  const int code = step == -24 ? units : ((step + 24) << 10) + units;
  return static_cast<uint16_t>(sign | static_cast<uint16_t>(code));
}

}  // namespace host_model

#endif  // MS_SCATTER_PA_HOST_MODEL_HALF_H_
