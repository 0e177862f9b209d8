// Quantising with vectors, for inclusion by the x86 sets after quant_columns.h and after they define:
//   kWidth, Floats, Words (float32 and int32 lanes); Set(x), SetWords(x), LoadFloats(p), StoreFloats(p, x), Bits(x),
//   AsFloats(w);
//   Add, Sub, Mul, Div; Max(a, b), Min(a, b), which give b where either is NaN; FusedNegative(a, b, c): c - a * b;
//   Fused(a, b, c); AddWords, SubWords, AndWords, OrWords, ShiftRight<n>, ShiftLeft<n>; SelectBelow(a, b, x, y): x
//   where a < b as signed words, else y; ZeroNan(x); AnyOutside(x, low, high): whether the magnitude's bits are so in a
//   lane; AnyOutsideOrZero: the same, where a zero is inside; ConvertWords(w): their values; StoreBytes(p, w): the low
//   byte of every word; LoadBytes(p), LoadSignedBytes(p), LoadHalves(p): widened to words; HalvesToFloats(p),
//   StoreHalves(p, x): float16; StoreLow16(p, w): the low half of every word.
#include <immintrin.h>

#include <cstdint>

namespace mssp {
namespace {

template <typename Rows>
MSSP_TARGET inline Floats LoadRow(const char* from);
template <>
MSSP_TARGET inline Floats LoadRow<Float16Rows>(const char* from) {
  return HalvesToFloats(from);
}
template <>
MSSP_TARGET inline Floats LoadRow<Float32Rows>(const char* from) {
  return LoadFloats(reinterpret_cast<const float*>(from));
}
template <>
MSSP_TARGET inline Floats LoadRow<BFloat16Rows>(const char* from) {
  return AsFloats(ShiftLeft<16>(LoadHalves(from)));
}

template <typename Rows>
MSSP_TARGET inline void StoreRow(char* to, Floats x);
template <>
MSSP_TARGET inline void StoreRow<Float16Rows>(char* to, Floats x) {
  StoreHalves(to, x);
}
template <>
MSSP_TARGET inline void StoreRow<Float32Rows>(char* to, Floats x) {
  StoreFloats(reinterpret_cast<float*>(to), x);
}
template <>
MSSP_TARGET inline void StoreRow<BFloat16Rows>(char* to, Floats x) {
  const Words bits = Bits(x);
  const Words rounded = AddWords(bits, AddWords(SetWords(0x7FFF), AndWords(ShiftRight<16>(bits), SetWords(1))));
  const Words magnitude = AndWords(bits, SetWords(0x7FFFFFFF));
  const Words quiet = OrWords(bits, SetWords(0x400000));
  StoreLow16(to, ShiftRight<16>(SelectBelow(SetWords(0x7F800000), magnitude, quiet, rounded)));
}

// The correctly rounded quotient by two corrections of x * (1 / scale), where nothing on the way can leave the range
// of normal numbers; elsewhere, in the rare vector that has such a lane, the division itself.
struct Divisor {
  Floats scale;
  Floats inverse;
  bool ordinary;
};

constexpr int32_t kLeastOrdinary = (127 - 40) << 23;
constexpr int32_t kMostOrdinary = (127 + 40) << 23;

MSSP_TARGET inline Divisor NewDivisor(Floats scale) {
  return {scale, Div(Set(1.0f), scale), !AnyOutside(scale, kLeastOrdinary, kMostOrdinary)};
}

MSSP_TARGET inline Floats Quotient(Floats x, const Divisor& by) {
  if (!by.ordinary || AnyOutsideOrZero(x, kLeastOrdinary, kMostOrdinary)) return Div(x, by.scale);
  const Floats first = Mul(x, by.inverse);
  const Floats second = Fused(FusedNegative(first, by.scale, x), by.inverse, first);
  const Floats third = Fused(FusedNegative(second, by.scale, x), by.inverse, second);
  return AsFloats(OrWords(Bits(third), AndWords(Bits(x), SetWords(INT32_MIN))));  // a zero keeps its sign
}

template <typename Codes>
struct VectorCodes {  // 8-bit floats
  using Format = typename Codes::Converts;
  static constexpr int kMantissa = Codes::kMax > 1000 ? 2 : 3;

  MSSP_TARGET static inline Words FromFloat(Floats x, Floats) {
    const Words sign = AndWords(ShiftRight<24>(Bits(x)), SetWords(0x80));
    const Words any = AndWords(Bits(x), SetWords(0x7FFFFFFF));
    // A NaN stays one: Min gives its second operand.
    const Floats magnitude = Min(Set(Codes::kMax), AsFloats(any));
    const Words bits = Bits(magnitude);
    constexpr int kShift = 23 - kMantissa;
    constexpr int32_t kSmallestNormal = (128 - Format::kBias) << 23;
    constexpr int32_t kMagic = (127 + 23 + 1 - Format::kBias - kMantissa) << 23;
    const Words small = SubWords(Bits(Add(magnitude, AsFloats(SetWords(kMagic)))), SetWords(kMagic));
    const Words rounded =
        AddWords(bits, AddWords(SetWords((1 << (kShift - 1)) - 1), AndWords(ShiftRight<kShift>(bits), SetWords(1))));
    const Words normal = SubWords(ShiftRight<kShift>(rounded), SetWords((127 - Format::kBias) << kMantissa));
    const Words finite = SelectBelow(bits, SetWords(kSmallestNormal), small, normal);
    const Words code = SelectBelow(SetWords(0x7F800000), any, SetWords(Format::kNan), finite);
    return OrWords(sign, code);
  }

  MSSP_TARGET static inline Floats ToFloat(const char* from) {
    const Words codes = LoadBytes(from);
    const Words sign = ShiftLeft<24>(AndWords(codes, SetWords(0x80)));
    const Words magnitude = AndWords(codes, SetWords(0x7F));
    constexpr int32_t kUnit = (127 + 1 - Format::kBias - kMantissa) << 23;
    const Words small = Bits(Mul(ConvertWords(magnitude), AsFloats(SetWords(kUnit))));
    const Words normal = AddWords(ShiftLeft<23 - kMantissa>(magnitude), SetWords((127 - Format::kBias) << 23));
    const Words finite = SelectBelow(magnitude, SetWords(1 << kMantissa), small, normal);
    // The first code that is no finite number is e5m2's infinity or e4m3fn's NaN.
    const Words beyond = kMantissa == 2 ? OrWords(SetWords(0x7F800000), ShiftLeft<21>(AndWords(magnitude, SetWords(3))))
                                        : SetWords(0x7FC00000);
    const Words bits = SelectBelow(magnitude, SetWords(kMantissa == 2 ? 0x7C : 0x7F), finite, beyond);
    return AsFloats(OrWords(sign, bits));
  }
};

template <>
struct VectorCodes<Int8Codes> {
  MSSP_TARGET static inline Words FromFloat(Floats x, Floats lowest) {
    x = Max(Min(ZeroNan(x), Set(127.0f)), lowest);
    return Bits(Add(x, Set(12582912.0f)));
  }
  MSSP_TARGET static inline Floats ToFloat(const char* from) { return ConvertWords(LoadSignedBytes(from)); }
};

template <typename Rows, typename Codes>
MSSP_TARGET void VectorQuantise(char* to, const char* from, int64_t columns, const ScaleRow& scales, int lowest) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  const Floats floor = Set(static_cast<float>(lowest));
  const bool shifts = Codes::kIsInteger && scales.offset != nullptr;
  Floats offset = Set(shifts ? scales.offset[0] : 0.0f);
  Divisor divisor = NewDivisor(Set(scales.scale[0]));
  int64_t i = 0;
  for (; i + kWidth <= columns; i += kWidth) {
    if (scales.step != 0) {
      divisor = NewDivisor(LoadFloats(scales.scale + i));
      if (shifts) offset = LoadFloats(scales.offset + i);
    }
    Floats x = Quotient(LoadRow<Rows>(from + i * kSize), divisor);
    if (shifts) x = Add(x, offset);
    StoreBytes(to + i, VectorCodes<Codes>::FromFloat(x, floor));
  }
  QuantiseColumns<Rows, Codes>(to, from, i, columns, scales, lowest);
}

template <typename Rows, typename Codes>
MSSP_TARGET void VectorDequantise(char* to, const char* from, int64_t columns, const ScaleRow& scales) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  const bool shifts = Codes::kIsInteger && scales.offset != nullptr;
  Floats offset = Set(shifts ? scales.offset[0] : 0.0f);
  Floats scale = Set(scales.scale[0]);
  int64_t i = 0;
  for (; i + kWidth <= columns; i += kWidth) {
    if (scales.step != 0) {
      scale = LoadFloats(scales.scale + i);
      if (shifts) offset = LoadFloats(scales.offset + i);
    }
    Floats x = VectorCodes<Codes>::ToFloat(from + i);
    if (shifts) x = Sub(x, offset);
    StoreRow<Rows>(to + i * kSize, Mul(x, scale));
  }
  DequantiseColumns<Rows, Codes>(to, from, i, columns, scales);
}

constexpr QuantKernels kQuant = MSSP_QUANT_KERNELS(VectorQuantise, VectorDequantise, PortableMaxAbs);

}  // namespace
}  // namespace mssp
