// Quantising with vectors, for inclusion by the x86 sets after quant_columns.h and after they define:
//   kWidth, Floats, Words (float32 and int32 lanes); Set(x), SetWords(x), LoadFloats(p), StoreFloats(p, x), Bits(x),
//   AsFloats(w);
//   Add, Sub, Mul, Div; Max(a, b), Min(a, b), which give b where either is NaN; Fused(a, b, c): a * b + c; AddWords,
//   SubWords, AndWords, OrWords, ShiftRight<n>, ShiftLeft<n>; SelectBelow(a, b, x, y): x where a < b as signed words,
//   else y; ZeroNan(x); Doubts: a flag for each lane; WordsBelow(a, b), signed; HasAny(d); RoundWords(x): to nearest,
//   the least integer for a NaN and for what no word holds;
//   BytesDiffer(a, b); ConvertWords(w): their values; StoreBytes(p, w): the low byte of every word; LoadBytes(p),
//   LoadSignedBytes(p), LoadHalves(p): widened to words; HalvesToFloats(p), StoreHalves(p, x): float16; StoreLow16(p,
//   w): the low half of every word; LoadWords(p), StoreWords(p, w), StreamWords(p, w), past the caches; MaxHalves(a,
//   b), MaxWords(a, b): of unsigned halves and words; FoldHalves(w): the larger ones of eight, LargestWord(w);
//   EightFloat16(x), EightWords(x): eight halves as floats and words, zeros behind them; DoubtBits(d): a bit for each
//   lane; AddHalves(a, b), ShiftRightHalves<n>(w); AddBytes(a, b), MinBytes(a, b), unsigned; SelectBits(mask, a, b):
//   bits of a where the mask has one, else of b; SaturatedHalves(a, b),
//   SaturatedUnsignedHalves(a, b): of signed words; AnyHalf(a, b, x): whether one of them is x; SaturatedBytes(a, b),
//   SaturatedUnsigned(a, b): of halves, signed ones; AnyByte(a, x); InOrder(w): bytes in order whose words became
//   halves and then bytes; InOrderOfPairs(w): bytes whose halves were those of four vectors, two and two in turn;
//   StreamPairOfUnits(to, stride, a, b): units of two rows as whole lines, past the caches.
#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"

namespace mssp {
namespace {

// In a loop over what is left of a row: compilers make kilobytes of vectors of one that has fewer steps than a vector.
inline void KeepOneByOne(int64_t* i) { asm volatile("" : "+r"(*i)); }

// Words as saturated bytes, and their low bytes, in order.
inline Words PackBytes(const Words words[4]) {
  return InOrder(SaturatedBytes(SaturatedHalves(words[0], words[1]), SaturatedHalves(words[2], words[3])));
}
inline Words PackLowBytes(const Words words[4]) {
  const Words mask = SetWords(0xFF);
  Words halves[2];
  for (int i = 0; i < 2; ++i) {
    halves[i] = SaturatedUnsignedHalves(AndWords(words[2 * i], mask), AndWords(words[2 * i + 1], mask));
  }
  return InOrder(SaturatedUnsigned(halves[0], halves[1]));
}

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

// Quotients are guessed as x * (1 / scale), three units in the last place off at most. A power of two has an exact
// inverse, and its products are the quotients.
constexpr int32_t kUnits = 4;

template <typename Codes>
struct VectorCodes {  // 8-bit floats
  using Format = typename Codes::Converts;
  static constexpr int kMantissa = Codes::kMantissa;

  // A code is right unless a boundary lies so near that the quotient may be on the other side: as many units as `near`.
  // A value half way between two codes has one bit more than a code: the bits below are zero.
  static inline Words Guess(Floats guess, Words near, Doubts* doubts) {
    const Floats magnitude = Magnitude(guess);
    const Words below = AndWords(AddWords(Bits(magnitude), SetWords(kUnits)), SetWords((1 << (22 - kMantissa)) - 1));
    *doubts = OrDoubts(*doubts, WordsBelow(below, near));
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
  static inline Words FromFloat(Floats x, Floats lowest) {
    x = Max(Min(ZeroNan(x), Set(127.0f)), lowest);
    return Bits(Add(x, Set(12582912.0f)));
  }
  static inline Floats ToFloat(const char* from) { return ConvertWords(LoadSignedBytes(from)); }
};

// Has two lines on their way for each two of the row: four pages on, side by side. One page after another would be read
// no faster than one stream of memory is, and first-level misses are too few for it.
MSSP_ALWAYS_INLINE void PrefetchAhead(const char* row, int64_t bytes) {
  constexpr uintptr_t kPage = 4096;
  constexpr uintptr_t kPages = 4;
  const auto ahead = [](uintptr_t at) {
    const uintptr_t line = (at / kPages) & (kPage - kLine);
    return reinterpret_cast<const char*>((at | (kPages * kPage - 1)) + 1 + line);
  };
  int64_t i = 0;
  for (; i + 4 * kLine <= bytes; i += 4 * kLine) {
    const char* const to = ahead(reinterpret_cast<uintptr_t>(row + i));
    for (uintptr_t page = 0; page < kPages; ++page) _mm_prefetch(to + page * kPage, _MM_HINT_T1);
  }
  for (; i < bytes; i += 2 * kLine) {
    const auto at = reinterpret_cast<uintptr_t>(row + i);
    const char* const to = ahead(at) + at / (2 * kLine) % 2 * (2 * kPage);
    _mm_prefetch(to, _MM_HINT_T1);
    _mm_prefetch(to + kPage, _MM_HINT_T1);
  }
}

// Where the scales of a row are, a vector of columns at a time.
struct VectorScales {
  const ScaleRow row;
  const bool shifts;
  const bool alone = row.step == 0;
  const bool exact = alone && (FloatBits(row.scale[0]) & 0x007FFFFF) == 0;  // the inverse
  const bool inverts = alone ? HasInverse(row.scale[0], shifts ? row.offset[0] : 0.0f) : row.inverse != nullptr;
  const Floats scale = Set(row.scale[0]);
  const Floats inverse = Set(1.0f / row.scale[0]);
  const Floats offset = Set(shifts ? row.offset[0] : 0.0f);

  Floats Scale(int64_t i) const { return alone ? scale : LoadFloats(row.scale + i); }
  Floats Inverse(int64_t i) const { return alone ? inverse : LoadFloats(row.inverse + i); }
  Floats Offset(int64_t i) const { return alone || !shifts ? offset : LoadFloats(row.offset + i); }
};

constexpr int64_t kGroup = 4 * kWidth;  // columns whose codes are a vector

// Makes codes by quotients, which are guessed where scales have inverses, and divided where the guess is in doubt.
template <typename Rows, typename Codes>
struct ByQuotients {
  static constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));

  const VectorScales scales;
  const int lowest;

  ByQuotients(const ScaleRow& row, int lowest)
      : scales{row, Codes::kIsInteger && row.offset != nullptr}, lowest(lowest) {}

  // Of a group of columns, the first of which is in `from`.
  MSSP_ALWAYS_INLINE bool Make(const char* from, int64_t column, Words* codes) const {
    if (scales.inverts && Guess(from, column, codes)) return true;
    Words words[4];
    for (int64_t v = 0; v < 4; ++v) words[v] = DividedCodes(from + v * kWidth * kSize, column + v * kWidth);
    *codes = PackLowBytes(words);
    return true;
  }

  // Of columns that are no group.
  void MakeRest(char* to, const char* from, int64_t columns) const {
    int64_t i = 0;
    for (; i + kWidth <= columns; i += kWidth) StoreBytes(to + i, DividedCodes(from + i * kSize, i));
    for (; i < columns; ++i) {
      QuantiseColumns<Rows, Codes>(to, from, i, i + 1, scales.row, lowest);
      KeepOneByOne(&i);
    }
  }

 private:
  MSSP_ALWAYS_INLINE Words DividedCodes(const char* from, int64_t column) const {
    const Floats quotient = Div(LoadRow<Rows>(from), scales.Scale(column));
    return VectorCodes<Codes>::FromFloat(scales.shifts ? Add(quotient, scales.Offset(column)) : quotient,
                                         Set(static_cast<float>(lowest)));
  }

  MSSP_ALWAYS_INLINE bool Guess(const char* from, int64_t column, Words* codes) const {
    if constexpr (Codes::kIsInteger) {
      return scales.alone ? GuessInt8<true>(from, column, codes) : GuessInt8<false>(from, column, codes);
    } else {
      const Words near = SetWords(scales.exact ? 0 : 2 * kUnits + 1);
      Doubts doubts = NoDoubts();
      Words words[4];
      for (int64_t v = 0; v < 4; ++v) {
        const Floats x = LoadRow<Rows>(from + v * kWidth * kSize);
        words[v] = VectorCodes<Codes>::Guess(Mul(x, scales.Inverse(column + v * kWidth)), near, &doubts);
      }
      *codes = PackLowBytes(words);
      return !HasAny(doubts);
    }
  }

  // Both bounds of a quotient, and with an offset of the sum, have its code if they have the same one. A NaN and what
  // no integer holds becomes the least integer: high, not low. A dynamic scale leaves nothing below `lowest`.
  template <bool kAlone>
  MSSP_ALWAYS_INLINE bool GuessInt8(const char* from, int64_t column, Words* codes) const {
    const Floats below = Set(scales.exact ? 1.0f : 1.0f - 0x1p-22f);
    const Floats above = Set(scales.exact ? 1.0f : 1.0f + 0x1p-22f);
    const Floats bounds[] = {kAlone ? Mul(scales.inverse, below) : below, kAlone ? Mul(scales.inverse, above) : above};
    const Floats largest = Set(kCodeTypes[0].largest);
    Words low[4];
    Words high[4];
    for (int64_t v = 0; v < 4; ++v) {
      Floats x = LoadRow<Rows>(from + v * kWidth * kSize);
      if (!kAlone) x = Mul(x, scales.Inverse(column + v * kWidth));
      const Floats offset = scales.Offset(column + v * kWidth);
      low[v] = RoundWords(Min(Fused(x, bounds[0], offset), largest));
      high[v] = RoundWords(Fused(x, bounds[1], offset));
    }
    *codes = PackBytes(low);
    return !BytesDiffer(*codes, PackBytes(high));
  }
};

template <typename Rows>
inline Words LargestMagnitudes(const char* from, int64_t columns, int64_t* done) {
  using Element = typename Rows::Element;
  constexpr auto kSize = static_cast<int64_t>(sizeof(Element));
  constexpr int64_t kLanes = kWidth * 4 / kSize;
  const Words mask = SetWords(Rows::kIsHalf ? 0x7FFF7FFF : 0x7FFFFFFF);
  Words most = SetWords(0);
  int64_t i = 0;
  PrefetchAhead(from, columns * kSize);
  for (; i + kLanes <= columns; i += kLanes) {
    const Words magnitude = AndWords(LoadWords(from + i * kSize), mask);
    most = Rows::kIsHalf ? MaxHalves(most, magnitude) : MaxWords(most, magnitude);
  }
  *done = i;
  return most;
}

inline float LargestFloat(const char* from, int64_t columns) {
  int64_t done;
  uint32_t most = LargestWord(LargestMagnitudes<Float32Rows>(from, columns, &done));
  for (; done < columns; ++done) {
    const uint32_t bits = MaxBits<Float32Rows>(from, done, done + 1);
    most = bits > most ? bits : most;
    KeepOneByOne(&done);
  }
  return BitsFloat(most);
}

// The largest magnitude of a row of 16 bits.
template <typename Rows>
inline uint16_t LargestHalf(const char* from, int64_t columns) {
  const __m128i ones = _mm_set1_epi16(-1);
  int64_t done;
  __m128i most = FoldHalves(LargestMagnitudes<Rows>(from, columns, &done));
  for (; done < columns; ++done) {
    most = _mm_max_epu16(most, _mm_cvtsi32_si128(static_cast<int32_t>(MaxBits<Rows>(from, done, done + 1))));
    KeepOneByOne(&done);
  }
  return static_cast<uint16_t>(~_mm_cvtsi128_si32(_mm_minpos_epu16(_mm_xor_si128(most, ones))));
}

// One by one, as they were stored.
inline __m128i LoadEight(const uint16_t* from) {
  __m128i x = _mm_cvtsi32_si128(from[0]);
  x = _mm_insert_epi16(x, from[1], 1);
  x = _mm_insert_epi16(x, from[2], 2);
  x = _mm_insert_epi16(x, from[3], 3);
  x = _mm_insert_epi16(x, from[4], 4);
  x = _mm_insert_epi16(x, from[5], 5);
  x = _mm_insert_epi16(x, from[6], 6);
  return _mm_insert_epi16(x, from[7], 7);
}

template <typename Rows>
inline Floats EightRows(__m128i x);
template <>
inline Floats EightRows<Float16Rows>(__m128i x) {
  return EightFloat16(x);
}
template <>
inline Floats EightRows<BFloat16Rows>(__m128i x) {
  return AsFloats(ShiftLeft<16>(EightWords(x)));
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
  for (; i < columns; ++i) {
    DequantiseColumns<Rows, Codes>(to, from, i, i + 1, scales);
    KeepOneByOne(&i);
  }
}

}  // namespace
}  // namespace mssp
