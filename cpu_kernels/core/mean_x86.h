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
  MSSP_TARGET static inline __m256 Load8(const char* from, const float*) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
};

struct WideFloat8E5M2 {  // the upper half of a float16
  using Column = FloatColumn<uint8_t, Float8E5M2>;
  static const float* Table() { return nullptr; }
  MSSP_TARGET static inline __m256 Load8(const char* from, const float*) {
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
  MSSP_TARGET static inline __m256 Load8(const char* from, const float* table) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(codes), 4);
  }
};

constexpr int64_t kSumRegisters = 8;

// All rows of a strip of columns while its sums stay in registers.
template <typename Wide>
MSSP_TARGET void AddWide(const MeanRows& rows, void* sums) {
  constexpr int64_t kSize = sizeof(typename Wide::Column::Element);
  constexpr int64_t kStrip = 8 * kSumRegisters;
  float* const totals = static_cast<float*>(sums);
  const float* const table = Wide::Table();
  int64_t begin = 0;
  for (; begin + kStrip <= rows.columns; begin += kStrip) {
    __m256 strip[kSumRegisters];
    for (int64_t g = 0; g < kSumRegisters; ++g) strip[g] = _mm256_loadu_ps(totals + begin + 8 * g);
    const char* row = rows.first + begin * kSize;
    for (int64_t r = 0; r < rows.count; ++r, row += rows.stride) {
      for (int64_t i = 0; i < kStrip * kSize; i += 64) _mm_prefetch(row + i + rows.prefetch, _MM_HINT_T1);
      for (int64_t g = 0; g < kSumRegisters; ++g) {
        strip[g] = _mm256_add_ps(strip[g], Wide::Load8(row + 8 * g * kSize, table));
      }
    }
    for (int64_t g = 0; g < kSumRegisters; ++g) _mm256_storeu_ps(totals + begin + 8 * g, strip[g]);
  }
  for (; begin + 8 <= rows.columns; begin += 8) {
    __m256 strip = _mm256_loadu_ps(totals + begin);
    const char* row = rows.first + begin * kSize;
    for (int64_t r = 0; r < rows.count; ++r, row += rows.stride) {
      strip = _mm256_add_ps(strip, Wide::Load8(row, table));
    }
    _mm256_storeu_ps(totals + begin, strip);
  }
  MeanRows rest = rows;
  rest.first += begin * kSize;
  rest.columns -= begin;
  AddColumns<typename Wide::Column>(rest, totals + begin);
}

template <typename Wide>
constexpr MeanKernel WideMean() {
  return {AddWide<Wide>, FinishColumns<typename Wide::Column>, sizeof(float)};
}

}  // namespace
}  // namespace mssp
