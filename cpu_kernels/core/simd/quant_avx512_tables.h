// Rows of 16 bits to 8-bit floats by a table of 32 numbers, without a product: for inclusion after
// quant_x86_products.h.
#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"
#include "../code_table.h"

namespace mssp {
namespace {

// Codes up to the first normal one: as many as borders that a row is not below.
template <typename Codes>
inline __m512i SmallCodes(__m512i magnitudes, const CodeTable& table) {
  constexpr int kCount = 1 << Codes::kMantissa;
  __m512i codes = _mm512_setzero_si512();
  for (int i = 0; i < kCount; ++i) {
    const __m512i border = _mm512_set1_epi16(static_cast<int16_t>(table.small[i]));
    codes = _mm512_mask_add_epi16(codes, _mm512_cmpge_epu16_mask(magnitudes, border), codes, _mm512_set1_epi16(1));
  }
  return codes;
}

template <typename Rows, typename Codes, bool kComputed>
struct ByTable {
  const __m512i add;
  const __m512i most;
  const __m512i least;           // what is below has no normal code
  const __m512i range;           // from there to what is odd
  const CodeTable* const small;  // null: what is below the least, but zeros, has no code here

  explicit ByTable(const CodeTable& table)
      : add(LoadWords(table.add)),
        most(SetHalves(table.most)),
        least(SetHalves(table.least)),
        range(SetHalves(static_cast<uint32_t>(table.odd - table.least))),
        small(table.has_small ? &table : nullptr) {}

  // Of a computed scale, whose row has a largest magnitude of the bits `largest`: nothing is odd, and nothing beyond
  // the largest code.
  ByTable(uint32_t largest, const uint16_t* tables)
      : add(_mm512_sub_epi16(LoadWords(tables + (largest & (kMantissas - 1)) * CodeTable::kCells),
                             SetHalves(largest & ~(kMantissas - 1)))),
        most(SetWords(0)),
        least(SetHalves(largest > (kNormal + 1) * kMantissas ? largest - kNormal * kMantissas : kMantissas)),
        range(SetWords(0)),
        small(nullptr) {}

  // Far from where scales or quotients are subnormal.
  static bool Has(uint32_t largest) {
    constexpr uint32_t kBias = (0x7FFFu >> Rows::kMantissa) / 2;
    constexpr uint32_t kRange = kBias < 30 ? kBias : 30;
    return largest >= (kBias + 1 - kRange) * kMantissas && largest < (kBias + kRange + 1) * kMantissas;
  }

  MSSP_ALWAYS_INLINE bool Make(const char* from, int64_t, Words* codes) const {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i rows[] = {LoadWords(from), LoadWords(from + kLine)};
    __mmask32 exceptions[2];
    __m512i halves[2];
    for (int h = 0; h < 2; ++h) halves[h] = Magnitudes(rows[h], &exceptions[h]);
    bool good = true;
    if (__builtin_expect(_kortestz_mask32_u8(exceptions[0], exceptions[1]) == 0, 0)) {
      for (int h = 0; h < 2; ++h) good &= AddSmall(rows[h], exceptions[h], &halves[h]);
    }
    const __m512i magnitudes = _mm512_packus_epi16(halves[0], halves[1]);
    const __m512i signs = _mm512_packs_epi16(rows[0], rows[1]);
    *codes = _mm512_maskz_permutexvar_epi64(0xFF, order, SelectBits(SetWords(0x7F7F7F7F), magnitudes, signs));
    return good;
  }

 private:
  static constexpr uint32_t kMantissas = 1u << Rows::kMantissa;
  // What is so many exponents below has a normal code: the largest code is 2**8.8 or 2**15.8.
  static constexpr uint32_t kNormal = Codes::kMantissa == 2 ? 29 : 14;

  // Of 32 codes, in halves; *exceptions are the rows that are below the least or odd.
  MSSP_ALWAYS_INLINE __m512i Magnitudes(__m512i rows, __mmask32* exceptions) const {
    constexpr int kCell = Rows::kMantissa - 5;
    constexpr int kShift = Rows::kMantissa - Codes::kMantissa;
    const __m512i magnitudes = _mm512_and_si512(rows, SetHalves(0x7FFF));
    __m512i within = magnitudes;
    if (kComputed) {
      *exceptions = _mm512_cmplt_epu16_mask(magnitudes, least);
    } else {
      *exceptions = _mm512_cmpgt_epu16_mask(_mm512_sub_epi16(magnitudes, least), range);
      within = _mm512_maskz_min_epu16(~0u, magnitudes, most);
    }
    const __m512i cells = _mm512_maskz_permutexvar_epi16(~0u, _mm512_maskz_srli_epi16(~0u, within, kCell), add);
    return _mm512_maskz_srli_epi16(~0u, _mm512_add_epi16(within, cells), kShift);
  }

  // Codes of the exceptions. False where some of them have none in the table, or are odd.
  bool AddSmall(__m512i rows, __mmask32 exceptions, __m512i* codes) const {
    const __m512i magnitudes = _mm512_and_si512(rows, SetHalves(0x7FFF));
    const __mmask32 are_small = _mm512_cmplt_epu16_mask(magnitudes, least);
    if (are_small != exceptions) return false;
    __m512i few = _mm512_setzero_si512();
    if (small != nullptr) {
      few = SmallCodes<Codes>(magnitudes, *small);
    } else if ((_mm512_test_epi16_mask(magnitudes, magnitudes) & are_small) != 0) {
      return false;
    }
    *codes = _mm512_mask_blend_epi16(are_small, *codes, few);
    return true;
  }
};

}  // namespace
}  // namespace mssp
