// Quantising with vectors, for inclusion by the x86 sets after quant_columns.h and after they define:
//   kWidth, Floats, Words (float32 and int32 lanes); Set(x), SetWords(x), LoadFloats(p), StoreFloats(p, x), Bits(x),
//   AsFloats(w);
//   Add, Sub, Mul, Div; Max(a, b), Min(a, b), which give b where either is NaN; Fused(a, b, c): a * b + c; AddWords,
//   SubWords, AndWords, OrWords, ShiftRight<n>, ShiftLeft<n>; SelectBelow(a, b, x, y): x where a < b as signed words,
//   else y; ZeroNan(x); Doubts: a flag for each lane; NotBelow(a, b): not a < b, as a NaN is not; WordsBelow(a, b),
//   signed; HasAny(d); ConvertWords(w): their values; StoreBytes(p, w): the low byte of every word; LoadBytes(p),
//   LoadSignedBytes(p), LoadHalves(p): widened to words; HalvesToFloats(p), StoreHalves(p, x): float16; StoreLow16(p,
//   w): the low half of every word; LoadWords(p), StoreWords(p, w); MaxHalves(a, b), MaxWords(a, b): of unsigned halves
//   and words.
#include <immintrin.h>

#include <cstdint>

namespace mssp {
namespace {

template <typename Rows>
inline Floats LoadRow(const char* from);
template <>
inline Floats LoadRow<Float16Rows>(const char* from) {
  return HalvesToFloats(from);
}
template <>
inline Floats LoadRow<Float32Rows>(const char* from) {
  return LoadFloats(reinterpret_cast<const float*>(from));
}
template <>
inline Floats LoadRow<BFloat16Rows>(const char* from) {
  return AsFloats(ShiftLeft<16>(LoadHalves(from)));
}

template <typename Rows>
inline void StoreRow(char* to, Floats x);
template <>
inline void StoreRow<Float16Rows>(char* to, Floats x) {
  StoreHalves(to, x);
}
template <>
inline void StoreRow<Float32Rows>(char* to, Floats x) {
  StoreFloats(reinterpret_cast<float*>(to), x);
}
template <>
inline void StoreRow<BFloat16Rows>(char* to, Floats x) {
  const Words bits = Bits(x);
  const Words rounded = AddWords(bits, AddWords(SetWords(0x7FFF), AndWords(ShiftRight<16>(bits), SetWords(1))));
  const Words magnitude = AndWords(bits, SetWords(0x7FFFFFFF));
  const Words quiet = OrWords(bits, SetWords(0x400000));
  StoreLow16(to, ShiftRight<16>(SelectBelow(SetWords(0x7F800000), magnitude, quiet, rounded)));
}

// A quotient is guessed as x * (1 / scale), three units in the last place off at most. Its code is right unless a
// rounding boundary lies so near that the quotient may be on the other side: then, in the rare vector that has such a
// lane, it is divided. A power of two has an exact inverse, and its products are the quotients.
struct Guesses {
  Floats surely;  // nearer to a whole number than this, nothing can be on the other side of a half
  Words near;     // as many units near a boundary, something can
};

constexpr int32_t kUnits = 4;

inline Guesses NewGuesses(const ScaleRow& scales, bool shifts) {
  const bool exact = scales.step == 0 && (FloatBits(scales.scale[0]) & 0x007FFFFF) == 0;
  return {Set(shifts ? 0.499f : exact ? 1.0f : 0.4999f), SetWords(exact ? 0 : 2 * kUnits + 1)};
}

template <typename Codes>
struct VectorCodes {  // 8-bit floats
  using Format = typename Codes::Converts;
  static constexpr int kMantissa = Codes::kMax > 1000 ? 2 : 3;

  // A value half way between two codes has one bit more than a code: the bits below are zero.
  static inline Words Guess(Floats guess, Floats, const Guesses& guesses, Doubts* doubts) {
    const Floats magnitude = Magnitude(guess);
    const Words below = AndWords(AddWords(Bits(magnitude), SetWords(kUnits)), SetWords((1 << (22 - kMantissa)) - 1));
    *doubts = OrDoubts(*doubts, WordsBelow(below, guesses.near));
    return FromMagnitude(magnitude, guess);
  }

  static inline Words FromFloat(Floats x, Floats) { return FromMagnitude(Magnitude(x), x); }

 private:
  // A NaN stays one: Min gives its second operand. What saturates becomes a number that rounds to the largest one and
  // is near no boundary.
  static inline Floats Magnitude(Floats x) {
    return Min(Set(Codes::kMax * 0.9999f), AsFloats(AndWords(Bits(x), SetWords(0x7FFFFFFF))));
  }

  static inline Words FromMagnitude(Floats magnitude, Floats signed_value) {
    const Words sign = AndWords(ShiftRight<24>(Bits(signed_value)), SetWords(0x80));
    const Words bits = Bits(magnitude);
    constexpr int kShift = 23 - kMantissa;
    constexpr int32_t kSmallestNormal = (128 - Format::kBias) << 23;
    constexpr int32_t kMagic = (127 + 23 + 1 - Format::kBias - kMantissa) << 23;
    const Words small = SubWords(Bits(Add(magnitude, AsFloats(SetWords(kMagic)))), SetWords(kMagic));
    const Words rounded =
        AddWords(bits, AddWords(SetWords((1 << (kShift - 1)) - 1), AndWords(ShiftRight<kShift>(bits), SetWords(1))));
    const Words normal = SubWords(ShiftRight<kShift>(rounded), SetWords((127 - Format::kBias) << kMantissa));
    const Words finite = SelectBelow(bits, SetWords(kSmallestNormal), small, normal);
    const Words code = SelectBelow(SetWords(0x7F800000), bits, SetWords(Format::kNan), finite);
    return OrWords(sign, code);
  }

 public:
  static inline Floats ToFloat(const char* from) {
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
  // Not sure of a NaN. What is off grows with the offset, which is kLargestOffset at most.
  static inline Words Guess(Floats guess, Floats lowest, const Guesses& guesses, Doubts* doubts) {
    const Floats x = Max(lowest, Min(Set(127.0f), guess));
    const Floats shifted = Add(x, Set(12582912.0f));
    const Floats rest = Sub(x, Sub(shifted, Set(12582912.0f)));
    *doubts = OrDoubts(*doubts, NotBelow(AsFloats(AndWords(Bits(rest), SetWords(0x7FFFFFFF))), guesses.surely));
    return Bits(shifted);
  }

  static inline Words FromFloat(Floats x, Floats lowest) {
    x = Max(Min(ZeroNan(x), Set(127.0f)), lowest);
    return Bits(Add(x, Set(12582912.0f)));
  }
  static inline Floats ToFloat(const char* from) { return ConvertWords(LoadSignedBytes(from)); }
};

// Processors fetch ahead within a page only, and rows go on behind it.
constexpr int64_t kAhead = 4096;

template <typename Rows, typename Codes>
void VectorQuantise(char* to, const char* from, int64_t columns, const ScaleRow& scales, int lowest) {
  using Vector = VectorCodes<Codes>;
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  constexpr int kVectors = 2;  // that are judged at once
  const Floats floor = Set(static_cast<float>(lowest));
  const bool shifts = Codes::kIsInteger && scales.offset != nullptr;
  const bool alone = scales.step == 0;
  const bool inverts =
      alone ? HasInverse(scales.scale[0], shifts ? scales.offset[0] : 0.0f) : scales.inverse != nullptr;
  const Guesses guesses = NewGuesses(scales, shifts);
  Floats inverse = Set(1.0f / scales.scale[0]);
  Floats offset = Set(shifts ? scales.offset[0] : 0.0f);
  int64_t i = 0;
  for (; i + kVectors * kWidth <= columns; i += kVectors * kWidth) {
    _mm_prefetch(from + i * kSize + kAhead, _MM_HINT_T0);
    Words codes[kVectors];
    Doubts doubts = NoDoubts();
    for (int v = 0; v < kVectors && inverts; ++v) {
      const int64_t column = i + v * kWidth;
      const Floats row = LoadRow<Rows>(from + column * kSize);
      if (!alone) inverse = LoadFloats(scales.inverse + column);
      if (shifts && !alone) offset = LoadFloats(scales.offset + column);
      codes[v] = Vector::Guess(shifts ? Fused(row, inverse, offset) : Mul(row, inverse), floor, guesses, &doubts);
    }
    if (!inverts || HasAny(doubts)) {
      for (int v = 0; v < kVectors; ++v) {
        const int64_t column = i + v * kWidth;
        const Floats scale = alone ? Set(scales.scale[0]) : LoadFloats(scales.scale + column);
        const Floats quotient = Div(LoadRow<Rows>(from + column * kSize), scale);
        if (shifts && !alone) offset = LoadFloats(scales.offset + column);
        codes[v] = Vector::FromFloat(shifts ? Add(quotient, offset) : quotient, floor);
      }
    }
    for (int v = 0; v < kVectors; ++v) StoreBytes(to + i + v * kWidth, codes[v]);
  }
  QuantiseColumns<Rows, Codes>(to, from, i, columns, scales, lowest);
}

template <typename Rows>
float VectorMaxAbs(const char* from, int64_t columns) {
  using Element = typename Rows::Element;
  constexpr bool kHalf = sizeof(Element) == 2;
  constexpr int64_t kLanes = kHalf ? 2 * kWidth : kWidth;
  const Words mask = SetWords(kHalf ? 0x7FFF7FFF : 0x7FFFFFFF);
  Words most = SetWords(0);
  int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    const char* const lane = from + i * static_cast<int64_t>(sizeof(Element));
    _mm_prefetch(lane + kAhead, _MM_HINT_T0);
    const Words magnitude = AndWords(LoadWords(lane), mask);
    most = kHalf ? MaxHalves(most, magnitude) : MaxWords(most, magnitude);
  }
  if (kHalf) most = MaxWords(ShiftRight<16>(most), AndWords(most, SetWords(0xFFFF)));
  const uint32_t vectors = LargestWord(most);
  const uint32_t rest = MaxBits<Rows>(from, i, columns);
  const uint32_t bits = vectors > rest ? vectors : rest;
  return Rows::Converts::ToFloat(bits);
}

template <typename Rows, typename Codes>
void VectorDequantise(char* to, const char* from, int64_t columns, const ScaleRow& scales) {
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

constexpr QuantKernels kQuant = MSSP_QUANT_KERNELS(VectorQuantise, VectorDequantise, VectorMaxAbs);

}  // namespace
}  // namespace mssp
