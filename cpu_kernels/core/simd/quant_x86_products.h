// Rows of 16 bits to codes by one multiplication, and the table of all of quantising, for inclusion after quant_x86.h.
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

// Four vectors of rows as products.
template <typename Rows, bool kAlone>
inline void MultiplyFour(const char* from, const float* inverses, Floats inverse, Floats products[4]) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  for (int v = 0; v < 4; ++v) {
    const Floats x = LoadRow<Rows>(from + v * kWidth * kSize);
    products[v] = Mul(x, kAlone ? inverse : LoadFloats(inverses + v * kWidth));
  }
}

// Gathers rows that are infinite or NaN: their exponents overflow into the sign.
template <typename Rows>
inline Words NotFinite(Words found, const char* from) {
  const Words carry = SetHalves(1u << Rows::kMantissa);
  for (int half = 0; half < 2; ++half) {
    const Words rows = LoadWords(from + half * 4 * kWidth);
    found = OrChanges(found, rows, AddHalves(rows, carry));
  }
  return found;
}

// Codes of whole lines that are to go past the caches are made here first: of some it is found afterwards that they are
// to be made again.
constexpr int64_t kBuffer = 512;

inline void StreamCodes(char* to, const char* codes, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 4 * kWidth) StreamWords(to + i, LoadWords(codes + i));
}

inline bool HasSigns(Words halves) { return AnyBits(halves, SetHalves(0x8000)); }

// False where a row is not finite; computed scales have none. What saturates goes to the side where it belongs.
template <typename Rows, bool kAlone, bool kComputed>
bool ProductsToInt8(char* to, const char* from, int64_t columns, const float* inverses) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  const Floats inverse = Set(inverses[0]);
  Words odd = SetWords(0);
  for (int64_t i = 0; i < columns; i += 4 * kWidth) {
    const char* const row = from + i * kSize;
    if (!kComputed) PrefetchAhead(row, 4 * kWidth * kSize);
    Floats products[4];
    MultiplyFour<Rows, kAlone>(row, inverses + (kAlone ? 0 : i), inverse, products);
    if (!kComputed) odd = NotFinite<Rows>(odd, row);
    Words words[4];
    for (int v = 0; v < 4; ++v) {
      words[v] = RoundWords(kComputed ? products[v] : Min(products[v], Set(kCodeTypes[0].largest)));
    }
    StoreWords(to + i, PackBytes(words));
  }
  return kComputed || !HasSigns(odd);
}

// False where a row is a NaN or infinite, or a code is no normal one.
template <typename Rows, typename Codes, bool kAlone, bool kComputed, bool kEven>
bool ProductsToFloat8(char* to, const char* from, int64_t columns, const float* inverses) {
  using Layout = Float8Bits<Codes>;
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  constexpr int kShift = Layout::kShift - 16;
  // From the exponent of the smallest normal number on; what is below borrows from the sign.
  constexpr int32_t kBegin = (kEven ? 0 : Layout::kHalf >> 16) - (Layout::kSmallestNormal >> 16);
  const Words begin = SetHalves(static_cast<uint32_t>(kBegin));
  const Words largest = SetHalves(FloatBits(Codes::kMax) >> 16);
  const Words magnitudes = SetHalves(0x7FFF);
  const Words code_bits = SetHalves(0x007F);
  const Floats inverse = Set(inverses[0]);
  Words odd = SetWords(0);
  Words small = SetWords(0);
  for (int64_t i = 0; i < columns; i += 4 * kWidth) {
    const char* const row = from + i * kSize;
    if (!kComputed) PrefetchAhead(row, 4 * kWidth * kSize);
    Floats products[4];
    MultiplyFour<Rows, kAlone>(row, inverses + (kAlone ? 0 : i), inverse, products);
    if (!kComputed) odd = NotFinite<Rows>(odd, row);
    Words halves[2];
    for (int pair = 0; pair < 2; ++pair) {
      Words bits[2];
      for (int v = 0; v < 2; ++v) {
        bits[v] = Bits(products[2 * pair + v]);
        if (kEven) {
          const Words is_odd = AndWords(ShiftRight<Layout::kShift - 5>(bits[v]), SetWords(2 * Layout::kNear));
          bits[v] = AddWords(bits[v], AddWords(is_odd, SetWords(Layout::kHalf - Layout::kNear)));
        }
      }
      const Words high = SelectBits(SetWords(static_cast<int32_t>(0xFFFF0000)), bits[1], ShiftRight<16>(bits[0]));
      const Words magnitude = MinHalves(AndWords(high, magnitudes), largest);
      const Words above = AddHalves(kComputed ? high : magnitude, begin);
      // Of a computed scale the sign is still there, and all between it and the code must be zero.
      small = OrWords(small, above);
      halves[pair] = SelectBits(code_bits, ShiftRightHalves<kShift>(above), ShiftRightHalves<8>(high));
    }
    StoreWords(to + i, AddBytes(PackHalves(halves), SetWords(0x01010101 << Layout::kMantissa)));
  }
  constexpr uint32_t kBetween = kComputed ? 0x7FFF & ~((0x80u << kShift) - 1) : 0x8000;
  return !AnyBits(small, SetHalves(kBetween)) && (kComputed || !HasSigns(odd));
}

// `columns` are whole groups. False where some codes are still to be made.
template <typename Rows, typename Codes, bool kAlone, bool kComputed>
bool QuantiseByProducts(char* to, const char* from, int64_t columns, const float* inverses, Products products) {
  if (products == Products::kNone) return false;
  if constexpr (Codes::kIsInteger) {
    return ProductsToInt8<Rows, kAlone, kComputed>(to, from, columns, inverses);
  } else if (products == Products::kEven) {
    return ProductsToFloat8<Rows, Codes, kAlone, kComputed, true>(to, from, columns, inverses);
  } else {
    return ProductsToFloat8<Rows, Codes, kAlone, kComputed, false>(to, from, columns, inverses);
  }
}

inline float Moved(float x, int32_t units) { return BitsFloat(FloatBits(x) + static_cast<uint32_t>(units)); }

// Of kWidth largest magnitudes.
template <typename Codes>
inline Floats ComputedScales(Floats most) {
  const Words quotients = Bits(Div(most, Set(Codes::kMax)));
  return AsFloats(SelectBelow(quotients, SetWords(1), Bits(Set(1.0f)), quotients));
}

// The inverses of computed scales, and what the products of the first `count` are good for.
template <typename Codes>
inline void PlanComputed(Floats most, Floats scale, int64_t count, float* inverses, Products* products) {
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
  StoreFloats(inverses, AsFloats(inverse));
  alignas(kLine) int32_t rests[kWidth];
  StoreWords(rests, rest);
  alignas(kLine) float scales[kWidth];
  StoreFloats(scales, scale);
  for (int64_t lane = 0; lane < count; ++lane) {
    const bool is_multiple = rests[lane] == 0;
    products[lane] = !is_multiple ? Products::kNearest : Codes::kIsInteger ? Products::kNone : Products::kEven;
    if (!HasInverse(scales[lane], 0.0f)) products[lane] = Products::kNone;
  }
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

constexpr int64_t kMost = 2 * kPlanColumns;  // columns that are made again where one row is odd
constexpr int64_t kRest = 16 * kMost;        // where rows are often odd nothing is made twice for so long
static_assert(kMost <= kBuffer);

// By tables, for the sets that have them.
template <typename Rows, typename Codes>
void QuantiseAllByTable(char* to, const char* from, int64_t columns, const ScaleRow& row, int lowest, bool stream);
template <typename Rows, typename Codes>
bool QuantiseComputedByTable(char* to, const char* from, int64_t columns, uint32_t most, const uint16_t* tables,
                             bool stream);

template <typename Rows, typename Codes>
void VectorQuantise(char* to, const char* from, int64_t columns, const ScaleRow& row, int lowest, bool stream) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(typename Rows::Element));
  if constexpr (kHasTables && Rows::kIsHalf && !Codes::kIsInteger) {
    if (row.table != nullptr) return QuantiseAllByTable<Rows, Codes>(to, from, columns, row, lowest, stream);
  }
  alignas(kLine) char buffer[kBuffer];
  const bool alone = row.step == 0;
  const bool plans = Rows::kIsHalf && row.products != nullptr;
  for (int64_t i = 0, next; i < columns; i = next) {
    const char* const rows = from + i * kSize;
    char* const codes = stream ? buffer : to + i;
    const bool rests = plans && row.attempts->rest > 0;
    int64_t most = stream ? kBuffer : columns;
    if (rests && row.attempts->rest < most) most = row.attempts->rest;
    next = columns - i < most ? columns : i + most;
    bool done = false;
    if constexpr (Rows::kIsHalf) {
      if (plans && !rests && columns - i >= kPlanColumns) {
        const Products products = row.products[alone ? 0 : i / kPlanColumns];
        next = i + kPlanColumns;
        while (columns - next >= kPlanColumns && next - i < kMost &&
               (alone || row.products[next / kPlanColumns] == products)) {
          next += kPlanColumns;
        }
        done = alone ? QuantiseByProducts<Rows, Codes, true, false>(codes, rows, next - i, row.inverse, products)
                     : QuantiseByProducts<Rows, Codes, false, false>(codes, rows, next - i, row.inverse + i, products);
        ++row.attempts->made;
        if (!done && alone && ++row.attempts->failed * 4 > row.attempts->made) row.attempts->rest = kRest;
      }
    }
    if (rests) row.attempts->rest -= next - i;
    if (!done) QuantiseByQuotients<Rows, Codes>(codes, rows, next - i, row.From(i), lowest);
    if (stream) StreamCodes(to + i, buffer, next - i);
  }
}

template <typename Rows, typename Codes>
void VectorDynamic(char* to, int64_t to_stride, const char* from, int64_t head_size, int64_t num_head, int64_t stride,
                   float* scales, int64_t step, const uint16_t* tables, bool stream) {
  using Element = typename Rows::Element;
  constexpr auto kSize = static_cast<int64_t>(sizeof(Element));
  constexpr int64_t kHeads = 8;  // whose scales are computed at once
  static_assert(kHeads <= kWidth);
  const bool by_tables = kHasTables && tables != nullptr;
  alignas(kLine) char buffer[kBuffer];
  for (int64_t first = 0; first < num_head; first += kHeads) {
    const int64_t heads = num_head - first < kHeads ? num_head - first : kHeads;
    alignas(kLine) uint16_t most[kHeads];
    alignas(kLine) float scale[kWidth];
    alignas(kLine) float inverses[kWidth];
    Products products[kWidth] = {};
    if constexpr (Rows::kIsHalf) {
      const __m128i halves = LargestHalves<Rows>(from + first * stride, head_size, stride, heads);
      _mm_store_si128(reinterpret_cast<__m128i*>(most), halves);
      const Floats largest = EightRows<Rows>(halves);
      const Floats computed = ComputedScales<Codes>(largest);
      StoreFloats(scale, computed);
      if (!by_tables) PlanComputed<Codes>(largest, computed, heads, inverses, products);
    } else {
      for (int64_t h = 0; h < heads; ++h) {
        scale[h] = DynamicScale(LargestFloat(from + (first + h) * stride, head_size), Codes::kMax);
      }
    }
    for (int64_t h = 0; h < heads; ++h) scales[(first + h) * step] = scale[h];
    for (int64_t h = 0; h < heads; ++h) {
      const char* const row = from + (first + h) * stride;
      char* const target = to + (first + h) * to_stride;
      if constexpr (kHasTables && Rows::kIsHalf && !Codes::kIsInteger) {
        if (by_tables && QuantiseComputedByTable<Rows, Codes>(target, row, head_size, most[h], tables, stream)) {
          continue;
        }
      }
      for (int64_t i = 0, next; i < head_size; i = next) {
        next = stream && head_size - i > kBuffer ? i + kBuffer : head_size;
        char* const codes = stream ? buffer : target + i;
        int64_t done = 0;
        if constexpr (Rows::kIsHalf) {
          const int64_t whole = (next - i) / (4 * kWidth) * (4 * kWidth);
          const char* const rows = row + i * kSize;
          if (QuantiseByProducts<Rows, Codes, true, true>(codes, rows, whole, &inverses[h], products[h])) done = whole;
        }
        if (i + done < next) {
          QuantiseByQuotients<Rows, Codes>(codes + done, row + (i + done) * kSize, next - i - done,
                                           {&scale[h], nullptr, 0}, kLowestDynamic);
        }
        if (stream) StreamCodes(target + i, buffer, next - i);
      }
    }
  }
}

constexpr QuantKernels kQuant =
    MSSP_QUANT_KERNELS(VectorQuantise, VectorDequantise, VectorDynamic, VectorPlan, kHasTables);

}  // namespace
}  // namespace mssp
