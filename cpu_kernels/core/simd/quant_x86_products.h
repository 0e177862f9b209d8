// Rows of 16 bits to codes by one multiplication, for inclusion after quant_x86.h.
//
// A product p = x * inverse is some units in the last place beside the quotient x / scale. It has another code only
// where the quotient lies so near half way between two codes, at a tie; and rows of 16 bits are so coarse that few
// scales have such an x at all. A plan looks for them once for a scale, and for an inverse that is right for all of
// them.
//
// Computed scales need no search. With x and m = max|x| of 11 bits, x / scale = qmax * x / m, up to 2**-24, where qmax
// is 127, or 7 times a power of two. It is a tie, (2k + 1) / 2 times a power of two, only where qmax * x = (2k + 1) * m
// / 2 times that: where 127 or 7 divides m or 2k + 1. Otherwise it is 2**-19 of itself away from one, or more. If m is
// no such multiple, what is left is k = 63 for int8, and 21 / 16 for float8_e4m3fn: one tie, whose side one division
// tells.
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace mssp {
namespace {

// An inverse that was moved lies beyond its own rounding, that of the scale and that of the product.
constexpr int32_t kMoved = 4;

template <typename Codes>
struct Float8Bits {
  static constexpr int kMantissa = Codes::kMantissa;
  static constexpr int kShift = 23 - kMantissa;  // of a code in the bits of a float32
  static constexpr int32_t kHalf = 1 << (kShift - 1);
  static constexpr int32_t kNear = 16;  // units about a tie that go to the even code
  static constexpr int32_t kSmallestNormal = (128 - Codes::Converts::kBias) << 23;
};

inline Words SetHalves(uint32_t x) { return SetWords(static_cast<int32_t>((x & 0xFFFF) * 0x10001u)); }

template <typename Rows, typename Codes, bool kAlone, bool kComputed, bool kEven>
struct ByProducts {
  static constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  using Layout = Float8Bits<std::conditional_t<Codes::kIsInteger, E4M3Codes, Codes>>;  // of int8: not used

  const float* const inverses;
  const Floats inverse;
  const Words odd;       // where ties go to the even code
  const Words rounding;  // a little less than half a code then

  // `is_even`: of kEven, which takes scales that are Products::kNearest too.
  explicit ByProducts(const float* inverses, bool is_even = true)
      : inverses(inverses),
        inverse(Set(inverses[0])),
        odd(SetWords(is_even ? 2 * Layout::kNear : 0)),
        rounding(SetWords(is_even ? Layout::kHalf - Layout::kNear : Layout::kHalf)) {}

  // Of a group of columns, the first of which is in `from`. False where a code may be wrong: of a row that is no number
  // or too large, and in float8 of a code that is no normal one. Computed scales have no such int8.
  MSSP_ALWAYS_INLINE bool Make(const char* from, int64_t column, Words* codes) const {
    Floats products[4];
    for (int64_t v = 0; v < 4; ++v) {
      const Floats x = LoadRow<Rows>(from + v * kWidth * kSize);
      products[v] = Mul(x, kAlone ? inverse : LoadFloats(inverses + column + v * kWidth));
    }
    if constexpr (Codes::kIsInteger) {
      return Int8(products, codes);
    } else {
      return Float8(products, codes);
    }
  }

 private:
  MSSP_ALWAYS_INLINE static bool Int8(const Floats products[4], Words* codes) {
    Words halves[2];
    for (int i = 0; i < 2; ++i)
      halves[i] = SaturatedHalves(RoundWords(products[2 * i]), RoundWords(products[2 * i + 1]));
    *codes = InOrder(SaturatedBytes(halves[0], halves[1]));
    return kComputed || !AnyHalf(halves[0], halves[1], INT16_MIN);
  }

  MSSP_ALWAYS_INLINE bool Float8(const Floats products[4], Words* codes) const {
    constexpr int kShift = Layout::kShift - 16;
    // From the exponent of the smallest normal number on: what is below wraps around, and has a byte of ones as what is
    // far too large has.
    constexpr int32_t kBegin = (kEven ? 0 : Layout::kHalf >> 16) - (Layout::kSmallestNormal >> 16);
    constexpr int32_t kLargest = Codes::Converts::kInfinity - 1 - (1 << Layout::kMantissa);
    Words high[2];
    Words above[2];
    for (int pair = 0; pair < 2; ++pair) {
      Words bits[2];
      for (int v = 0; v < 2; ++v) {
        bits[v] = Bits(products[2 * pair + v]);
        if (kEven) {
          const Words is_odd = AndWords(ShiftRight<Layout::kShift - 5>(bits[v]), odd);
          bits[v] = AddWords(bits[v], AddWords(is_odd, rounding));
        }
      }
      high[pair] = SelectBits(SetWords(static_cast<int32_t>(0xFFFF0000)), bits[1], ShiftRight<16>(bits[0]));
      const Words magnitude = AndWords(high[pair], SetHalves(0x7FFF));
      above[pair] = ShiftRightHalves<kShift>(AddHalves(magnitude, SetHalves(static_cast<uint32_t>(kBegin))));
    }
    const Words packed = SaturatedUnsigned(above[0], above[1]);
    const Words magnitude =
        AddBytes(MinBytes(packed, SetWords(0x01010101 * kLargest)), SetWords(0x01010101 << Layout::kMantissa));
    *codes = InOrderOfPairs(SelectBits(SetWords(0x7F7F7F7F), magnitude, SaturatedBytes(high[0], high[1])));
    return !AnyByte(packed, 0xFF);
  }
};

inline float Moved(float x, int32_t units) { return BitsFloat(FloatBits(x) + static_cast<uint32_t>(units)); }

// Of kWidth largest magnitudes.
template <typename Codes>
inline Floats ComputedScales(Floats most) {
  const Words quotients = Bits(Div(most, Set(Codes::kMax)));
  return AsFloats(SelectBelow(quotients, SetWords(1), Bits(Set(1.0f)), quotients));
}

// Some heads with computed scales.
struct HeadScales {
  alignas(kLine) uint16_t most[8];  // of rows of 16 bits: the bits of the largest magnitudes
  alignas(kLine) float scale[kWidth];
  alignas(kLine) float inverse[kWidth];
  uint32_t have_products;  // a bit for each head
  uint32_t are_even;       // Products::kEven, not kNearest
};

// The inverses of computed scales of rows of 16 bits, and what their products are good for.
template <typename Codes>
inline void PlanComputed(Floats most, Floats scale, HeadScales* heads) {
  // Of 11 bits, all that a row of 16 bits has.
  const Words significands = OrWords(AndWords(ShiftRight<13>(Bits(most)), SetWords(0x3FF)), SetWords(0x400));
  constexpr int kFactor = Codes::kIsInteger ? 127 : 7;
  constexpr int kBit = Codes::kIsInteger ? 7 : 3;  // of kFactor + 1
  const Words times = RoundWords(Mul(ConvertWords(significands), Set(1.0f / kFactor)));
  const Words rest = SubWords(significands, SubWords(ShiftLeft<kBit>(times), times));
  Words inverse = Bits(Div(Set(1.0f), scale));
  if constexpr (Codes::kIsInteger) {
    const Words tie = Bits(Div(Mul(most, Set(0.5f)), scale));
    inverse = AddWords(inverse, SelectBelow(tie, Bits(Set(63.5f)), SetWords(-kMoved), SetWords(kMoved)));
  } else if constexpr (Float8Bits<Codes>::kMantissa == 3) {
    const Words tie = Bits(Div(Mul(most, Set(3.0f / 64)), scale));
    const Words moved = SelectBelow(Bits(Set(21.0f)), tie, SetWords(kMoved), SetWords(-kMoved));
    const Words none = SetWords(0);
    inverse = AddWords(inverse, SelectBelow(rest, none, moved, SelectBelow(none, rest, moved, none)));
  }
  StoreFloats(heads->inverse, AsFloats(inverse));
  const Words bits = Bits(scale);
  const uint32_t too_small = DoubtBits(WordsBelow(bits, Bits(Set(kSmallestInverted))));
  const uint32_t too_large = DoubtBits(WordsBelow(Bits(Set(kLargestInverted)), bits));
  const uint32_t is_no_multiple = DoubtBits(WordsBelow(rest, SetWords(0))) | DoubtBits(WordsBelow(SetWords(0), rest));
  heads->have_products = ~(too_small | too_large) & (Codes::kIsInteger ? is_no_multiple : ~0u);
  heads->are_even = Codes::kIsInteger ? 0 : ~is_no_multiple;
}

// Ties of int8; of float8 those of one exponent, as codes repeat with the exponent.
template <typename Codes>
constexpr int NumTies() {
  if constexpr (Codes::kIsInteger) {
    return 128;
  } else {
    return 1 << Codes::kMantissa;
  }
}
template <typename Codes>
inline float Tie(int k) {
  if constexpr (Codes::kIsInteger) {
    return static_cast<float>(k) + 0.5f;
  } else {
    return static_cast<float>((NumTies<Codes>() + k) * 2 + 1);
  }
}

constexpr int kCandidates = 3;  // the inverse, and the numbers beside it

inline float Candidate(float inverse, int i) { return Moved(inverse, i == 2 ? -1 : i); }

// The float8 code of a product, as the vectors have it.
template <typename Codes>
inline uint32_t ProductCode(float product, bool even) {
  using Layout = Float8Bits<Codes>;
  const auto bits = static_cast<int32_t>(FloatBits(product));
  const int32_t is_odd = bits >> (Layout::kShift - 5) & (2 * Layout::kNear);
  const int32_t rounding = even ? Layout::kHalf - Layout::kNear + is_odd : Layout::kHalf;
  const int32_t above = (bits + rounding - Layout::kSmallestNormal) >> Layout::kShift;
  return static_cast<uint32_t>(above + (1 << Layout::kMantissa));
}

// Of the ways `good`, a bit for each, those that have the quotient's code for the row nearest to a tie.
template <typename Rows, typename Codes>
uint32_t GoodWays(uint32_t good, float scale, float inverse, float tie) {
  constexpr int kDropped = 23 - Rows::kMantissa;
  const uint32_t bits = FloatBits(scale * tie) + (1u << (kDropped - 1));
  const float x = BitsFloat(bits >> kDropped << kDropped);
  // Of int8 the negative row, which has a code beyond the last tie too.
  const float quotient = Codes::kIsInteger ? -x / scale : x / scale;
  constexpr auto kLowest = static_cast<float>(kLowestStatic);
  const uint32_t code = Codes::FromFloat(quotient, kLowest);
  for (int way = 0; way < 2 * kCandidates; ++way) {
    if ((good >> way & 1) == 0) continue;
    const float product = x * Candidate(inverse, way / 2);
    uint32_t other;
    if constexpr (Codes::kIsInteger) {
      other = Codes::FromFloat(-product, kLowest);
    } else {
      other = ProductCode<Codes>(product, way % 2 != 0);
    }
    if (other != code) good &= ~(1u << way);
  }
  return good;
}

// `count` scales, at most kWidth. Of scales of few digits, such as 0.75, many ties are rows: `*searches` says how many
// may still be looked at.
template <typename Rows, typename Codes>
void PlanVector(const float* scales, int64_t count, int64_t* searches, float* inverses, Products* products) {
  // Units: more than any error, and than what counts as a tie.
  constexpr int32_t kZone = Codes::kIsInteger ? 8 : 2 * Float8Bits<E4M3Codes>::kNear;
  constexpr int32_t kRest = (1 << (23 - Rows::kMantissa)) - 1;
  constexpr uint32_t kAll = (Codes::kIsInteger ? 0x15 : 0x3F);
  float all[kWidth];
  float inverse[kWidth];
  uint32_t good[kWidth];
  uint32_t alive = 0;
  for (int64_t lane = 0; lane < kWidth; ++lane) {
    all[lane] = scales[lane < count ? lane : 0];
    good[lane] = HasInverse(all[lane], 0.0f) ? kAll : 0;
    inverse[lane] = 1.0f / all[lane];
    // A power of two has an exact inverse: products are the quotients, ties too.
    const bool is_exact = (FloatBits(all[lane]) & 0x007FFFFF) == 0;
    if (is_exact && !Codes::kIsInteger) good[lane] &= 2;
    const bool is_repeated = lane > 0 && all[lane] == all[lane - 1];
    if (lane < count && !is_exact && !is_repeated && good[lane] != 0) alive |= 1u << lane;
  }
  const Floats vector = LoadFloats(all);
  for (int k = 0; k < NumTies<Codes>() && alive != 0; ++k) {
    const Words bits = Bits(Mul(vector, Set(Tie<Codes>(k))));
    const Words rest = AndWords(AddWords(bits, SetWords(kZone)), SetWords(kRest));
    for (uint32_t near = DoubtBits(WordsBelow(rest, SetWords(2 * kZone + 1))) & alive; near != 0; near &= near - 1) {
      const int lane = __builtin_ctz(near);
      good[lane] = --*searches < 0 ? 0 : GoodWays<Rows, Codes>(good[lane], all[lane], inverse[lane], Tie<Codes>(k));
      if (good[lane] == 0) alive &= ~(1u << lane);
    }
  }
  for (int64_t lane = 0; lane < count; ++lane) {
    if (lane > 0 && all[lane] == all[lane - 1]) good[lane] = good[lane - 1];
    products[lane] = Products::kNone;
    inverses[lane] = inverse[lane];
    for (int way = 2 * kCandidates - 1; way >= 0; --way) {
      if ((good[lane] >> way & 1) == 0 || (way % 2 != 0 && products[lane] == Products::kNearest)) continue;
      products[lane] = way % 2 != 0 ? Products::kEven : Products::kNearest;
      inverses[lane] = Candidate(inverse[lane], way / 2);
    }
  }
}

template <typename Rows, typename Codes>
void VectorPlan(const float* scales, int64_t count, int64_t group, float* inverses, Products* products) {
  if constexpr (Rows::kIsHalf) {
    int64_t searches = NumTies<Codes>() + 4 * count;
    Products good[kWidth];
    for (int64_t i = 0; i < count; i += kWidth) {
      const int64_t here = count - i < kWidth ? count - i : kWidth;
      const auto bytes = static_cast<size_t>(here) * sizeof(float);
      if (i > 0 && std::memcmp(scales + i, scales + i - kWidth, bytes) == 0) {  // all channels have one scale
        std::memcpy(inverses + i, inverses + i - kWidth, bytes);
      } else {
        PlanVector<Rows, Codes>(scales + i, here, &searches, inverses + i, good);
      }
      for (int64_t lane = 0; lane < here; ++lane) {
        Products& all = products[(i + lane) / group];
        const bool is_first = (i + lane) % group == 0;
        all = is_first || all == good[lane] ? good[lane] : Products::kNone;
      }
    }
  } else {
    PortablePlan<Rows, Codes>(scales, count, group, inverses, products);
  }
}

}  // namespace
}  // namespace mssp
