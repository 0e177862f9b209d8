// Rows of 16 bits to 8-bit floats by a table of 32 numbers, without a product: for inclusion after
// quant_x86_products.h.
#include <immintrin.h>

#include <cstdint>

#include "../call_sizes.h"
#include "../code_table.h"

namespace mssp {
namespace {

struct TableVectors {
  __m512i add;
  __m512i most;
  uint16_t odd;
  uint16_t least;
  const CodeTable* small;  // null: what is below `least`, but zeros, has no code here
};

inline __m512i WithSigns(__m512i codes, __m512i rows) {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi16(0x7F), codes, _mm512_maskz_srli_epi16(~0u, rows, 8), 0xCA);
}

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

// Codes of the rows that `small` says. False where some of them have none in the table, or are odd.
template <typename Codes>
bool AddSmall(__m512i rows, const TableVectors& table, __mmask32 exceptions, __m512i* codes) {
  const __m512i magnitudes = _mm512_and_si512(rows, _mm512_set1_epi16(0x7FFF));
  const __mmask32 small = _mm512_cmplt_epu16_mask(magnitudes, _mm512_set1_epi16(static_cast<int16_t>(table.least)));
  if (small != exceptions) return false;
  __m512i few = _mm512_setzero_si512();
  if (table.small != nullptr) {
    few = SmallCodes<Codes>(magnitudes, *table.small);
  } else if ((_mm512_test_epi16_mask(magnitudes, magnitudes) & small) != 0) {
    return false;
  }
  *codes = _mm512_mask_blend_epi16(small, *codes, WithSigns(few, rows));
  return true;
}

// 32 codes in halves; *exceptions are the rows that are below the least or odd. Of a computed scale nothing is odd and
// nothing is beyond the largest code.
template <typename Rows, typename Codes, bool kComputed>
inline __m512i TableCodes(__m512i rows, const TableVectors& table, __m512i least, __m512i range,
                          __mmask32* exceptions) {
  constexpr int kCell = Rows::kMantissa - 5;
  constexpr int kShift = Rows::kMantissa - Codes::kMantissa;
  const __m512i magnitudes = _mm512_and_si512(rows, _mm512_set1_epi16(0x7FFF));
  __m512i within = magnitudes;
  if (kComputed) {
    *exceptions = _mm512_cmplt_epu16_mask(magnitudes, least);
  } else {
    *exceptions = _mm512_cmpgt_epu16_mask(_mm512_sub_epi16(magnitudes, least), range);
    within = _mm512_maskz_min_epu16(~0u, magnitudes, table.most);
  }
  const __m512i cells = _mm512_maskz_permutexvar_epi16(~0u, _mm512_maskz_srli_epi16(~0u, within, kCell), table.add);
  return WithSigns(_mm512_maskz_srli_epi16(~0u, _mm512_add_epi16(within, cells), kShift), rows);
}

// `columns` are whole groups of 64. False where some codes are still to be made.
template <typename Rows, typename Codes, bool kComputed>
MSSP_ALWAYS_INLINE bool QuantiseByTable(char* to, const char* from, int64_t columns, const TableVectors& table,
                                        bool stream) {
  const __m512i least = _mm512_set1_epi16(static_cast<int16_t>(table.least));
  const __m512i range = _mm512_set1_epi16(static_cast<int16_t>(table.odd - table.least));
  const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  for (int64_t i = 0; i < columns; i += 64) {
    const char* const row = from + i * 2;
    if (!kComputed) PrefetchAhead(row, 2 * kLine);
    const __m512i rows[] = {LoadWords(row), LoadWords(row + kLine)};
    __mmask32 exceptions[2];
    __m512i codes[2];
    for (int h = 0; h < 2; ++h) {
      codes[h] = TableCodes<Rows, Codes, kComputed>(rows[h], table, least, range, &exceptions[h]);
    }
    if (__builtin_expect(_kortestz_mask32_u8(exceptions[0], exceptions[1]) == 0, 0)) {
      for (int h = 0; h < 2; ++h) {
        if (!AddSmall<Codes>(rows[h], table, exceptions[h], &codes[h])) return false;
      }
    }
    const __m512i bytes = _mm512_maskz_permutexvar_epi64(0xFF, order, _mm512_packus_epi16(codes[0], codes[1]));
    if (stream) {
      StreamWords(to + i, bytes);
    } else {
      StoreWords(to + i, bytes);
    }
  }
  return true;
}

template <typename Rows, typename Codes>
void QuantiseAllByTable(char* to, const char* from, int64_t columns, const ScaleRow& row, int lowest, bool stream) {
  const CodeTable& table = *row.table;
  const TableVectors vectors = {LoadWords(table.add), _mm512_set1_epi16(static_cast<int16_t>(table.most)), table.odd,
                                table.least, table.has_small ? &table : nullptr};
  alignas(kLine) char buffer[kMost];
  for (int64_t i = 0, next; i < columns; i = next) {
    const char* const rows = from + i * 2;
    next = columns - i < kMost ? columns : i + kMost;
    const bool rests = row.attempts->rest > 0;
    if (rests) {
      row.attempts->rest -= next - i;
    } else if ((next - i) % kPlanColumns == 0) {
      ++row.attempts->made;
      if (QuantiseByTable<Rows, Codes, false>(to + i, rows, next - i, vectors, stream)) continue;
      if (++row.attempts->failed * 4 > row.attempts->made) row.attempts->rest = kRest;
    }
    QuantiseByQuotients<Rows, Codes>(stream ? buffer : to + i, rows, next - i, row, lowest);
    if (stream) StreamCodes(to + i, buffer, next - i);
  }
}

// By the computed scale of rows whose largest magnitude has the bits `most`.
template <typename Rows, typename Codes>
inline bool QuantiseComputedByTable(char* to, const char* from, int64_t columns, uint32_t most, const uint16_t* tables,
                                    bool stream) {
  constexpr uint32_t kMantissas = 1u << Rows::kMantissa;
  // What is so many exponents below has a normal code: the largest code is 2**8.8 or 2**15.8.
  constexpr uint32_t kNormal = Codes::kMantissa == 2 ? 29 : 14;
  constexpr uint32_t kBias = (0x7FFFu >> Rows::kMantissa) / 2;
  constexpr uint32_t kRange = kBias < 30 ? kBias : 30;  // far from where scales or quotients are subnormal
  constexpr uint32_t kFirst = (kBias + 1 - kRange) * kMantissas;
  constexpr uint32_t kEnd = (kBias + kRange + 1) * kMantissas;
  if (columns % kPlanColumns != 0 || most < kFirst || most >= kEnd) return false;
  const uint32_t exponent = most & ~(kMantissas - 1);
  const uint16_t* const add = tables + (most - exponent) * CodeTable::kCells;
  const uint32_t least = most > (kNormal + 1) * kMantissas ? most - kNormal * kMantissas : kMantissas;
  const TableVectors vectors = {_mm512_sub_epi16(LoadWords(add), _mm512_set1_epi16(static_cast<int16_t>(exponent))),
                                _mm512_setzero_si512(), 0, static_cast<uint16_t>(least), nullptr};
  return QuantiseByTable<Rows, Codes, true>(to, from, columns, vectors, stream);
}

}  // namespace
}  // namespace mssp
