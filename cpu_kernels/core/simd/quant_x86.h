// Quantising with vectors, for inclusion by the x86 sets after quant_columns.h and after they define:
//   kWidth, Floats, Words (float32 and int32 lanes); Set(x), SetWords(x), LoadFloats(p), StoreFloats(p, x), Bits(x),
//   AsFloats(w);
//   Add, Sub, Mul, Div; Max(a, b), Min(a, b), which give b where either is NaN; Fused(a, b, c): a * b + c; AddWords,
//   SubWords, AndWords, OrWords, ShiftRight<n>, ShiftLeft<n>; SelectBelow(a, b, x, y): x where a < b as signed words,
//   else y; ZeroNan(x); Doubts: a flag for each lane; WordsBelow(a, b), signed; HasAny(d); RoundWords(x): to nearest,
//   the least integer for a NaN and for what no word holds; PackBytes(w[4]): words in order as saturated bytes;
//   BytesDiffer(a, b); ConvertWords(w): their values; StoreBytes(p, w): the low byte of every word; LoadBytes(p),
//   LoadSignedBytes(p), LoadHalves(p): widened to words; HalvesToFloats(p), StoreHalves(p, x): float16; StoreLow16(p,
//   w): the low half of every word; LoadWords(p), StoreWords(p, w), StreamWords(p, w), past the caches; MaxHalves(a,
//   b), MaxWords(a, b): of unsigned halves and words; FoldHalves(w): the larger ones of eight, LargestWord(w);
//   EightFloat16(x), EightWords(x): eight halves as floats and words, zeros behind them; DoubtBits(d): a bit for each
//   lane; AddHalves(a, b), MinHalves(a, b), unsigned, ShiftRightHalves<n>(w); AddBytes(a, b); OrChanges(a, b, c): a |
//   (b ^ c); SelectBits(mask, a, b): bits of a where the mask has one, else of b; AnyBits(a, b): whether they share a
//   bit; PackHalves(h[2]): bytes, in order, of halves up to 255, which are those of four vectors, two and two in turn.
#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"

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
  const ScaleRow& row;
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

template <typename Rows, typename Codes>
inline Words DividedCodes(const char* from, int64_t i, const VectorScales& scales, Floats lowest) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  const Floats quotient = Div(LoadRow<Rows>(from + i * kSize), scales.Scale(i));
  return VectorCodes<Codes>::FromFloat(scales.shifts ? Add(quotient, scales.Offset(i)) : quotient, lowest);
}

// Both bounds of a quotient, and with an offset of the sum, have its code if they have the same one. A NaN and what no
// integer holds becomes the least integer: high, not low. A dynamic scale leaves nothing below `lowest`.
template <typename Rows, bool kAlone>
int64_t QuantiseToInt8(char* to, const char* from, int64_t columns, const VectorScales& scales, Floats lowest) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  constexpr int kVectors = 4;  // that are judged at once
  const Floats below = Set(scales.exact ? 1.0f : 1.0f - 0x1p-22f);
  const Floats above = Set(scales.exact ? 1.0f : 1.0f + 0x1p-22f);
  const Floats bounds[] = {kAlone ? Mul(scales.inverse, below) : below, kAlone ? Mul(scales.inverse, above) : above};
  const Floats one_offset = scales.offset;
  const bool shifts = scales.shifts;
  const Floats largest = Set(kCodeTypes[0].largest);
  int64_t i = 0;
  for (; i + kVectors * kWidth <= columns; i += kVectors * kWidth) {
    PrefetchAhead(from + i * kSize, kVectors * kWidth * kSize);
    Words low[kVectors];
    Words high[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const int64_t column = i + v * kWidth;
      Floats x = LoadRow<Rows>(from + column * kSize);
      if (!kAlone) x = Mul(x, LoadFloats(scales.row.inverse + column));
      const Floats offset = kAlone || !shifts ? one_offset : LoadFloats(scales.row.offset + column);
      low[v] = RoundWords(Min(Fused(x, bounds[0], offset), largest));
      high[v] = RoundWords(Fused(x, bounds[1], offset));
    }
    const Words codes = PackBytes(low);
    if (!BytesDiffer(codes, PackBytes(high))) {
      StoreWords(to + i, codes);
    } else {
      for (int v = 0; v < kVectors; ++v) {
        StoreBytes(to + i + v * kWidth, DividedCodes<Rows, Int8Codes>(from, i + v * kWidth, scales, lowest));
      }
    }
  }
  return i;
}

template <typename Rows, typename Codes>
int64_t QuantiseToFloat8(char* to, const char* from, int64_t columns, const VectorScales& scales) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  constexpr int kVectors = 2;  // that are judged at once
  const Words near = SetWords(scales.exact ? 0 : 2 * kUnits + 1);
  int64_t i = 0;
  for (; i + kVectors * kWidth <= columns; i += kVectors * kWidth) {
    PrefetchAhead(from + i * kSize, kVectors * kWidth * kSize);
    Words codes[kVectors];
    Doubts doubts = NoDoubts();
    for (int v = 0; v < kVectors; ++v) {
      const int64_t column = i + v * kWidth;
      const Floats guess = Mul(LoadRow<Rows>(from + column * kSize), scales.Inverse(column));
      codes[v] = VectorCodes<Codes>::Guess(guess, near, &doubts);
    }
    for (int v = 0; v < kVectors; ++v) {
      const int64_t column = i + v * kWidth;
      if (HasAny(doubts)) codes[v] = DividedCodes<Rows, Codes>(from, column, scales, Set(0.0f));
      StoreBytes(to + column, codes[v]);
    }
  }
  return i;
}

template <typename Rows, typename Codes>
void QuantiseByQuotients(char* to, const char* from, int64_t columns, const ScaleRow& row, int lowest) {
  const Floats floor = Set(static_cast<float>(lowest));
  const VectorScales scales = {row, Codes::kIsInteger && row.offset != nullptr};
  int64_t i = 0;
  if (scales.inverts) {
    if constexpr (Codes::kIsInteger) {
      i = scales.alone ? QuantiseToInt8<Rows, true>(to, from, columns, scales, floor)
                       : QuantiseToInt8<Rows, false>(to, from, columns, scales, floor);
    } else {
      i = QuantiseToFloat8<Rows, Codes>(to, from, columns, scales);
    }
  }
  for (; i + kWidth <= columns; i += kWidth) {
    StoreBytes(to + i, DividedCodes<Rows, Codes>(from, i, scales, floor));
  }
  QuantiseColumns<Rows, Codes>(to, from, i, columns, row, lowest);
}

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
  const uint32_t vectors = LargestWord(LargestMagnitudes<Float32Rows>(from, columns, &done));
  const uint32_t rest = MaxBits<Float32Rows>(from, done, columns);
  return BitsFloat(vectors > rest ? vectors : rest);
}

// The largest magnitudes of up to eight rows. They stay in registers: a load of what narrower stores wrote would wait
// for all stores before them, and those that go past the caches are slow.
template <typename Rows>
inline __m128i LargestHalves(const char* from, int64_t columns, int64_t stride, int64_t count) {
  const __m128i ones = _mm_set1_epi16(-1);
  __m128i least[8];  // of their complements
  for (int64_t h = 0; h < 8; ++h) {
    least[h] = ones;
    if (h >= count) continue;
    int64_t done;
    __m128i most = FoldHalves(LargestMagnitudes<Rows>(from + h * stride, columns, &done));
    if (done < columns) {
      most =
          _mm_max_epu16(most, _mm_cvtsi32_si128(static_cast<int32_t>(MaxBits<Rows>(from + h * stride, done, columns))));
    }
    least[h] = _mm_minpos_epu16(_mm_xor_si128(most, ones));
  }
  __m128i pairs[4];
  for (int i = 0; i < 4; ++i) pairs[i] = _mm_unpacklo_epi16(least[2 * i], least[2 * i + 1]);
  const __m128i low = _mm_unpacklo_epi32(pairs[0], pairs[1]);
  const __m128i high = _mm_unpacklo_epi32(pairs[2], pairs[3]);
  return _mm_xor_si128(_mm_unpacklo_epi64(low, high), ones);
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
  DequantiseColumns<Rows, Codes>(to, from, i, columns, scales);
}

}  // namespace
}  // namespace mssp
