// Float arithmetic on bit patterns, in integers: exact on every part, whatever its vector unit does with divisions,
// subnormals and roundings, and whatever 8-bit types its compiler knows.
#ifndef MS_SCATTER_PA_FLOAT_H_
#define MS_SCATTER_PA_FLOAT_H_

#include "ms_scatter_pa_tiling_data.h"

namespace mssp {

constexpr uint32_t kInfinity = 0x7F800000U;
constexpr uint32_t kQuietNan = 0x7FC00000U;

// Index of the highest set bit; `x` is not 0.
MSSP_FN int32_t HighestBit(uint64_t x) {
  int32_t bit = 0;
  for (int32_t step = 32; step > 0; step /= 2) {
    if ((x >> (bit + step)) != 0) {
      bit += step;
    }
  }
  return bit;
}

// x / 2**shift rounded to nearest, ties to even; 0 < shift < 64.
MSSP_FN uint64_t ShiftRoundEven(uint64_t x, int32_t shift) {
  const uint64_t half = 1ULL << (shift - 1);
  const uint64_t rest = x & ((half << 1) - 1);
  const uint64_t whole = x >> shift;
  return rest > half || (rest == half && (whole & 1) != 0) ? whole + 1 : whole;
}

// A positive integer rounded to the 24 bits that float32 holds.
MSSP_FN uint64_t RoundToFloat(uint64_t n) {
  const int32_t excess = HighestBit(n) - 23;
  return excess <= 0 ? n : ShiftRoundEven(n, excess) << excess;
}

// The float32 nearest to a / n, ties to even, where n > 0 is first rounded to float32 itself.
MSSP_FN uint32_t DivideFloat(uint32_t a, int64_t n) {
  const uint32_t sign = a & 0x80000000U;
  const uint32_t magnitude = a & 0x7FFFFFFFU;
  if (magnitude >= kInfinity) {
    return magnitude > kInfinity ? kQuietNan : a;
  }
  if (magnitude == 0) {
    return a;
  }
  const uint64_t field = magnitude >> 23;
  uint64_t significand = magnitude & 0x7FFFFFU;
  int32_t exponent = -149;  // the value is significand * 2**exponent
  if (field > 0) {
    significand |= 0x800000U;
    exponent = static_cast<int32_t>(field) - 150;
  }
  uint64_t divisor = RoundToFloat(static_cast<uint64_t>(n));
  const int32_t surplus = HighestBit(divisor) - 23;
  if (surplus > 0) {
    divisor >>= surplus;
    exponent -= surplus;
  }
  // A dividend of 63 bits leaves a quotient of at least 39; its last bit stands for all that was cut off.
  const int32_t up = 62 - HighestBit(significand);
  const uint64_t dividend = significand << up;
  exponent -= up;
  uint64_t quotient = dividend / divisor;
  if (quotient * divisor != dividend) {
    quotient |= 1;
  }
  int32_t cut = HighestBit(quotient) - 23;
  if (exponent + cut < -149) {
    cut = -149 - exponent;
  }
  if (cut > 63) {
    return sign;
  }
  const uint64_t rounded = ShiftRoundEven(quotient, cut);
  exponent += cut;
  if (rounded < 0x800000U) {
    return sign | static_cast<uint32_t>(rounded);
  }
  // `rounded` may be 2**24, whose hidden bit then carries into the exponent as it should.
  return sign | static_cast<uint32_t>((static_cast<uint64_t>(exponent + 149) << 23) + rounded);
}

// Float8 with `mantissa_bits` and IEEE's layout. Infinities and NaN as e5m2 has them, or as e4m3fn, which has only NaN.
MSSP_FN uint32_t DecodeFloat8(uint32_t code, int32_t mantissa_bits) {
  const uint32_t sign = (code & 0x80U) << 24;
  const uint32_t magnitude = code & 0x7FU;
  const uint32_t mantissa = magnitude & ((1U << mantissa_bits) - 1);
  const uint32_t field = magnitude >> mantissa_bits;
  if (mantissa_bits == 2 && field == 31) {
    return mantissa == 0 ? sign | kInfinity : kQuietNan;
  }
  if (mantissa_bits == 3 && magnitude == 0x7FU) {
    return kQuietNan;
  }
  const int32_t bias = mantissa_bits == 2 ? 15 : 7;
  if (field == 0) {
    if (mantissa == 0) {
      return sign;
    }
    const int32_t top = HighestBit(mantissa);
    const int32_t exponent = 1 - bias - mantissa_bits + top + 127;
    return sign | (static_cast<uint32_t>(exponent) << 23) | ((mantissa << (23 - top)) & 0x7FFFFFU);
  }
  return sign | (static_cast<uint32_t>(static_cast<int32_t>(field) - bias + 127) << 23) |
         (mantissa << (23 - mantissa_bits));
}

MSSP_FN uint32_t EncodeFloat8(uint32_t bits, int32_t mantissa_bits) {
  const uint32_t sign = (bits >> 24) & 0x80U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  const uint32_t overflow = mantissa_bits == 2 ? 0x7CU : 0x7FU;
  if (magnitude > kInfinity) {
    return sign | 0x7FU;
  }
  const int32_t bias = mantissa_bits == 2 ? 15 : 7;
  const int32_t exponent = static_cast<int32_t>(magnitude >> 23) - 127;
  if (exponent < -bias - mantissa_bits) {
    return sign;
  }
  const uint64_t significand = (magnitude & 0x7FFFFFU) | 0x800000U;
  const int32_t field = exponent + bias;
  const int32_t cut = 23 - mantissa_bits + (field < 1 ? 1 - field : 0);
  const uint64_t rounded = ShiftRoundEven(significand, cut);
  const uint64_t code = field < 1 ? rounded : (static_cast<uint64_t>(field - 1) << mantissa_bits) + rounded;
  return sign | static_cast<uint32_t>(code >= overflow ? overflow : code);
}

// HiFloat8: a prefix tells how many of the seven bits are exponent.
MSSP_FN uint32_t DecodeHifloat8(uint32_t code) {
  const uint32_t sign = (code & 0x80U) << 24;
  const uint32_t magnitude = code & 0x7FU;
  if (magnitude == 0) {
    return sign != 0 ? kQuietNan : 0;
  }
  if (magnitude == 0x6FU) {
    return sign | kInfinity;
  }
  if (magnitude < 8) {  // denormal: 2**(magnitude - 23)
    return sign | ((magnitude + 104) << 23);
  }
  int32_t exponent_bits = 0;
  if (magnitude >= 0x60U) {
    exponent_bits = 4;
  } else if (magnitude >= 0x40U) {
    exponent_bits = 3;
  } else if (magnitude >= 0x20U) {
    exponent_bits = 2;
  } else if (magnitude >= 0x10U) {
    exponent_bits = 1;
  }
  const int32_t mantissa_bits = exponent_bits == 4 ? 1 : exponent_bits == 3 ? 2 : 3;
  const uint32_t mantissa = magnitude & ((1U << mantissa_bits) - 1);
  int32_t exponent = 0;
  if (exponent_bits > 0) {
    const uint32_t field = (magnitude >> mantissa_bits) & ((1U << exponent_bits) - 1);
    const uint32_t top = 1U << (exponent_bits - 1);
    const int32_t size = static_cast<int32_t>(top | (field & (top - 1)));
    exponent = (field & top) != 0 ? -size : size;
  }
  return sign | (static_cast<uint32_t>(exponent + 127) << 23) | (mantissa << (23 - mantissa_bits));
}

// The code of 2**exponent with an empty mantissa, for -15 <= exponent <= 15.
MSSP_FN uint32_t Hifloat8Prefix(int32_t exponent, int32_t mantissa_bits) {
  if (exponent == 0) {
    return 0x08U;
  }
  const int32_t size = exponent < 0 ? -exponent : exponent;
  const int32_t exponent_bits = HighestBit(static_cast<uint64_t>(size)) + 1;
  const uint32_t top = 1U << (exponent_bits - 1);
  const uint32_t field = (exponent < 0 ? top : 0) | (static_cast<uint32_t>(size) & (top - 1));
  const uint32_t dot = exponent_bits == 4 ? 0x60U : exponent_bits == 3 ? 0x40U : exponent_bits == 2 ? 0x20U : 0x10U;
  return dot | (field << mantissa_bits);
}

// Rounds halves away from zero; what overflows becomes infinite.
MSSP_FN uint32_t EncodeHifloat8(uint32_t bits) {
  const uint32_t sign = (bits >> 24) & 0x80U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > kInfinity) {
    return 0x80U;
  }
  const int32_t exponent = static_cast<int32_t>(magnitude >> 23) - 127;
  // 1.25 * 2**15 is where infinity begins.
  if (magnitude >= 0x47200000U) {
    return sign | 0x6FU;
  }
  if (exponent < -15) {
    // Denormals are powers of two; halfway between 2**k and 2**(k+1) is 1.5 * 2**k, between 0 and 2**-22 2**-23.
    if (exponent < -23) {
      return 0;
    }
    if (exponent == -23) {
      return sign | 1U;
    }
    const bool up = (magnitude & 0x400000U) != 0;
    if (exponent == -16 && up) {
      return sign | Hifloat8Prefix(-15, 1);
    }
    return sign | (static_cast<uint32_t>(exponent + 23) + (up ? 1U : 0U));
  }
  const int32_t size = exponent < 0 ? -exponent : exponent;
  const int32_t mantissa_bits = size >= 8 ? 1 : size >= 4 ? 2 : 3;
  const int32_t cut = 23 - mantissa_bits;
  const uint32_t mantissa = ((magnitude & 0x7FFFFFU) + (1U << (cut - 1))) >> cut;
  if ((mantissa >> mantissa_bits) == 0) {
    return sign | Hifloat8Prefix(exponent, mantissa_bits) | mantissa;
  }
  // Carried into the next power of two, whose mantissa may have another width.
  const int32_t next = exponent + 1;
  const int32_t next_size = next < 0 ? -next : next;
  return sign | Hifloat8Prefix(next, next_size >= 8 ? 1 : next_size >= 4 ? 2 : 3);
}

// float32 of an 8-bit float, by MsspElementType, and the other way.
MSSP_FN uint32_t DecodeCode(uint32_t code, int32_t element_type) {
  if (element_type == MSSP_HIFLOAT8) {
    return DecodeHifloat8(code);
  }
  return DecodeFloat8(code, element_type == MSSP_FLOAT8_E5M2 ? 2 : 3);
}

MSSP_FN uint32_t EncodeCode(uint32_t bits, int32_t element_type) {
  if (element_type == MSSP_HIFLOAT8) {
    return EncodeHifloat8(bits);
  }
  return EncodeFloat8(bits, element_type == MSSP_FLOAT8_E5M2 ? 2 : 3);
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_FLOAT_H_
