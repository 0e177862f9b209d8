// Sums of narrow floats with F16C and gathers, for inclusion after mean_columns.h by the files of the x86 sets.
#include <immintrin.h>

namespace mssp {
namespace {

// The values of the 256 codes of an 8-bit float format.
template <typename Format>
struct DecodeTable {
  DecodeTable() {
    for (uint32_t code = 0; code < 256; ++code) values[code] = Format::ToFloat(code);
  }
  float values[256];
};

// How eight elements become floats.
struct WideFloat16 {
  using Column = FloatColumn<uint16_t, Float16>;
  static const float* Table() { return nullptr; }
  static inline __m256 Load8(const char* from, const float*) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
};

struct WideFloat8E5M2 {  // the upper half of a float16
  using Column = FloatColumn<uint8_t, Float8E5M2>;
  static const float* Table() { return nullptr; }
  static inline __m256 Load8(const char* from, const float*) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtph_ps(_mm_unpacklo_epi8(_mm_setzero_si128(), codes));
  }
};

template <typename Format>
struct WideByTable {
  using Column = FloatColumn<uint8_t, Format>;
  static const float* Table() {
    static const DecodeTable<Format> table;
    return table.values;
  }
  static inline __m256 Load8(const char* from, const float* table) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(codes), 4);
  }
};

template <typename Wide>
void AddWide(const char* row, int64_t columns, int64_t prefetch, void* sums) {
  constexpr int64_t kSize = sizeof(typename Wide::Column::Element);
  constexpr int64_t kInLine = kLine / kSize;
  float* totals = static_cast<float*>(sums);
  const float* const table = Wide::Table();
  for (; columns >= kInLine; columns -= kInLine, row += kLine, totals += kInLine) {
    _mm_prefetch(row + prefetch, _MM_HINT_T1);
    for (int64_t i = 0; i < kInLine; i += 8) {
      _mm256_storeu_ps(totals + i, _mm256_add_ps(_mm256_loadu_ps(totals + i), Wide::Load8(row + i * kSize, table)));
    }
  }
  AddColumns<typename Wide::Column>(row, columns, prefetch, totals);
}

template <typename Wide>
constexpr MeanKernel WideMean() {
  return {AddWide<Wide>, FinishColumns<typename Wide::Column>, sizeof(float)};
}

template <>
constexpr MeanKernel MeanOf<MSSP_FLOAT16>() {
  return WideMean<WideFloat16>();
}
template <>
constexpr MeanKernel MeanOf<MSSP_HIFLOAT8>() {
  return WideMean<WideByTable<HiFloat8>>();
}
template <>
constexpr MeanKernel MeanOf<MSSP_FLOAT8_E5M2>() {
  return WideMean<WideFloat8E5M2>();
}
template <>
constexpr MeanKernel MeanOf<MSSP_FLOAT8_E4M3FN>() {
  return WideMean<WideByTable<Float8E4M3FN>>();
}

}  // namespace
}  // namespace mssp
