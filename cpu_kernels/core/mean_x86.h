// Means with F16C and gathers, for inclusion after mean_columns.h by the files of the x86 sets.
// NOLINTNEXTLINE(build/header_guard): included once by each set
#include <immintrin.h>

namespace mssp {
namespace {

// The values of the 256 codes of an 8-bit float format.
template <typename Format>
const float* DecodeTable() {
  static const struct Table {
    Table() {
      for (uint32_t code = 0; code < 256; ++code) values[code] = Format::ToFloat(code);
    }
    float values[256];
  } table;
  return table.values;
}

// How eight elements become floats and how one float becomes an element.
struct WideFloat16 {
  using Element = uint16_t;
  using Format = Float16;
  static const float* Table() { return nullptr; }
  MSSP_TARGET static inline __m256 Load8(const char* from, const float*) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
};

struct WideFloat8E5M2 {  // the upper half of a float16
  using Element = uint8_t;
  using Format = Float8E5M2;
  static const float* Table() { return nullptr; }
  MSSP_TARGET static inline __m256 Load8(const char* from, const float*) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), codes));
  }
};

template <typename Format8>
struct WideByTable {
  using Element = uint8_t;
  using Format = Format8;
  static const float* Table() { return DecodeTable<Format>(); }
  MSSP_TARGET static inline __m256 Load8(const char* from, const float* table) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(codes), 4);
  }
};

template <typename Wide>
MSSP_TARGET void MeanWide(const char* rows, int64_t stride, int64_t count, int64_t columns, char* out) {
  using Element = typename Wide::Element;
  constexpr int64_t kSize = sizeof(Element);
  constexpr int64_t kAhead = 16;  // rows; they are a stride apart, which hardware does not foresee across pages
  const float* const table = Wide::Table();
  int64_t begin = 0;
  for (; begin + 8 <= columns; begin += 64) {
    const int64_t groups = std::min<int64_t>(8, (columns - begin) / 8);
    const char* row = rows + begin * kSize;
    __m256 sums[8];
    for (int g = 0; g < 8; ++g) sums[g] = _mm256_setzero_ps();
    for (int64_t r = 0; r < count; ++r, row += stride) {
      if (r + kAhead < count) {
        for (int64_t i = 0; i < groups * 8 * kSize; i += 64) {
          _mm_prefetch(row + kAhead * stride + i, _MM_HINT_T0);
        }
      }
      if (groups == 8) {
        for (int g = 0; g < 8; ++g) sums[g] = _mm256_add_ps(sums[g], Wide::Load8(row + g * 8 * kSize, table));
      } else {
        for (int64_t g = 0; g < groups; ++g) {
          sums[g] = _mm256_add_ps(sums[g], Wide::Load8(row + g * 8 * kSize, table));
        }
      }
    }
    const __m256 divisor = _mm256_set1_ps(static_cast<float>(count));
    for (int64_t g = 0; g < groups; ++g) {
      alignas(32) float means[8];
      _mm256_store_ps(means, _mm256_div_ps(sums[g], divisor));
      for (int64_t i = 0; i < 8; ++i) {
        const Element element = static_cast<Element>(Wide::Format::FromFloat(means[i]));
        std::memcpy(out + (begin + g * 8 + i) * kSize, &element, kSize);
      }
    }
  }
  begin = columns / 8 * 8;
  MeanColumns<FloatMean<Element, typename Wide::Format>>(rows + begin * kSize, stride, count, columns - begin,
                                                         out + begin * kSize);
}

}  // namespace
}  // namespace mssp

#define MSSP_MEANS_X86                         \
  {MeanWide<WideFloat16>,                      \
   MeanColumns<FloatMean<uint32_t, Float32>>,  \
   MeanColumns<FloatMean<uint16_t, BFloat16>>, \
   MeanColumns<IntegerMean<int8_t>>,           \
   MeanColumns<IntegerMean<uint8_t>>,          \
   MeanColumns<IntegerMean<int16_t>>,          \
   MeanColumns<IntegerMean<uint16_t>>,         \
   MeanColumns<IntegerMean<int32_t>>,          \
   MeanColumns<IntegerMean<uint32_t>>,         \
   MeanWide<WideByTable<HiFloat8>>,            \
   MeanWide<WideFloat8E5M2>,                   \
   MeanWide<WideByTable<Float8E4M3FN>>}
