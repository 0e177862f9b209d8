// HiFloat8: a sign, a prefix-coded "dot" field that says how many exponent bits follow, a sign-magnitude exponent whose
// leading magnitude bit is implied, and a mantissa. ms_scatter_pa/hifloat8.py has the table of the format.
#ifndef MS_SCATTER_PA_CORE_HIFLOAT8_H_
#define MS_SCATTER_PA_CORE_HIFLOAT8_H_

#include <cstdint>
#include <limits>

#include "small_float.h"

namespace mssp {

struct HiFloat8 {
  static constexpr uint32_t kNan = 0x80;
  static constexpr uint32_t kInfinity = 0x6F;

  // How the codes of exponents with magnitude [low, 2 * low) look: dot field in place, bits of exponent and mantissa.
  struct Binades {
    int low;
    uint32_t prefix;
    int mantissa_bits;
  };
  static constexpr Binades kBinades[] = {{8, 0x60, 1}, {4, 0x40, 2}, {2, 0x20, 3}, {1, 0x10, 3}, {0, 0x08, 3}};

  static constexpr const Binades& BinadesOf(int magnitude) {
    int i = 0;
    while (magnitude < kBinades[i].low) ++i;
    return kBinades[i];
  }

  // Rounds to nearest, halves away from zero.
  static uint32_t FromFloat(float x) {
    const uint32_t bits = FloatBits(x);
    const uint32_t sign = bits >> 31 ? 0x80 : 0;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return kNan;
    constexpr uint32_t kOverflow = (static_cast<uint32_t>(127 + 15) << 23) | 0x00200000u;  // 1.25 * 2**15
    constexpr uint32_t kUnderflow = static_cast<uint32_t>(127 - 23) << 23;                 // half of the least code
    if (magnitude >= kOverflow) return sign | kInfinity;
    if (magnitude < kUnderflow) return 0;
    int mantissa_bits = MantissaBits(static_cast<int>(magnitude >> 23) - 127);
    magnitude += 1u << (22 - mantissa_bits);
    const int exponent = static_cast<int>(magnitude >> 23) - 127;
    if (exponent < -15) return sign | static_cast<uint32_t>(exponent + 23 > 0 ? exponent + 23 : 1);
    const int size = exponent < 0 ? -exponent : exponent;
    const Binades& binades = BinadesOf(size);
    mantissa_bits = binades.mantissa_bits;
    const uint32_t mantissa = (magnitude & 0x007FFFFFu) >> (23 - mantissa_bits);
    uint32_t field = 0;
    if (size != 0)
      field = static_cast<uint32_t>(size - binades.low) | (exponent < 0 ? static_cast<uint32_t>(binades.low) : 0);
    return sign | binades.prefix | (field << mantissa_bits) | mantissa;
  }

  static float ToFloat(uint32_t code) {
    const uint32_t sign = (code & 0x80) ? 0x80000000u : 0;
    const uint32_t magnitude = code & 0x7F;
    if (magnitude == 0) return code == kNan ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
    if (magnitude == kInfinity) return BitsFloat(sign | 0x7F800000u);
    if (magnitude < 8) return BitsFloat(sign | ((magnitude - 23 + 127) << 23));
    int i = 0;
    while (magnitude < kBinades[i].prefix) ++i;
    const Binades& binades = kBinades[i];
    const uint32_t mantissa = magnitude & ((1u << binades.mantissa_bits) - 1);
    const uint32_t field = (magnitude - binades.prefix) >> binades.mantissa_bits;
    const uint32_t low = static_cast<uint32_t>(binades.low);
    int exponent = static_cast<int>(low + (low ? field & (low - 1) : 0));
    if (low && (field & low)) exponent = -exponent;
    return BitsFloat(sign | (static_cast<uint32_t>(exponent + 127) << 23) | (mantissa << (23 - binades.mantissa_bits)));
  }

 private:
  static int MantissaBits(int exponent) {
    return exponent < -15 ? 0 : BinadesOf(exponent < 0 ? -exponent : exponent).mantissa_bits;
  }
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_HIFLOAT8_H_
