#include "code_table.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simd/quant.h"
#include "simd/quant_columns.h"
#include "small_float.h"

namespace mssp {
namespace {

// Rows of 16 bits with their codes by one scale; codes do not fall as magnitudes grow.
template <typename Rows, typename Codes>
class Coder {
 public:
  static constexpr int kMantissa = Rows::kMantissa;
  static constexpr int kShift = kMantissa - Codes::kMantissa;
  static constexpr uint32_t kInfinity = 0x7FFFu >> kMantissa << kMantissa;
  static constexpr uint32_t kLargestCode = Codes::Converts::kInfinity - 1;

  explicit Coder(float scale) : scale_(scale) {}

  float Quotient(uint32_t bits) const {
    return Rows::Converts::ToFloat(static_cast<typename Rows::Element>(bits)) / scale_;
  }

  uint32_t Code(uint32_t bits) const { return Codes::FromFloat(Quotient(bits), 0.0f); }

  // The first of magnitudes [low, high] that has this code or a larger one; high + 1: none has.
  uint32_t First(uint32_t code, uint32_t low, uint32_t high) const {
    return FirstThat(low, high, [&](uint32_t bits) { return Code(bits) >= code; });
  }

  // The first one whose quotient is as large as the smallest normal code: from there on the codes repeat.
  uint32_t FirstNormal() const {
    const float normal = Codes::ToFloat(1u << Codes::kMantissa);
    return FirstThat(0, kInfinity, [&](uint32_t bits) { return Quotient(bits) >= normal; });
  }

  // Of the rows from `begin` on, which has an empty mantissa; up to twice as much all codes are normal.
  void Fill(uint32_t begin, uint16_t* add) const {
    constexpr uint32_t kCell = (1u << kMantissa) / CodeTable::kCells;
    uint32_t code = Code(begin);
    uint32_t border = First(code + 1, begin, begin + (1u << kMantissa));
    for (int cell = 0; cell < CodeTable::kCells; ++cell) {
      const uint32_t first = begin + static_cast<uint32_t>(cell) * kCell;
      uint32_t at = first;
      if (border < first + kCell) {
        at = border;
        ++code;
        border = First(code + 1, border, border + (1u << kMantissa));
      }
      add[cell] = static_cast<uint16_t>((code << kShift) - at);
    }
  }

 private:
  template <typename Is>
  uint32_t FirstThat(uint32_t low, uint32_t high, const Is& is) const {
    for (++high; low < high;) {
      const uint32_t middle = (low + high) / 2;
      if (is(middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  const float scale_;
};

template <typename Rows, typename Codes>
bool MakeTable(float scale, CodeTable* table) {
  using Of = Coder<Rows, Codes>;
  if (!HasInverse(scale, 0.0f)) return false;
  const Of coder(scale);
  constexpr uint32_t kFirstNormal = 1u << Of::kMantissa;
  constexpr uint32_t kNormalCode = 1u << Codes::kMantissa;
  // The rows whose codes are those of 1 to 4.
  const uint32_t begin = coder.First(coder.kLargestCode, 0, Of::kInfinity);
  const uint32_t normal = coder.FirstNormal();
  const uint32_t least = normal > kFirstNormal ? normal : kFirstNormal;
  const uint32_t first = (least + kFirstNormal - 1) & ~(kFirstNormal - 1);
  if (first + 2 * kFirstNormal > begin) return false;
  coder.Fill(first, table->add);
  table->most = static_cast<uint16_t>(begin < Of::kInfinity ? begin : Of::kInfinity - 1);
  table->odd = static_cast<uint16_t>(begin < Of::kInfinity ? Of::kInfinity : Of::kInfinity - 1);
  table->least = static_cast<uint16_t>(least);
  table->has_small = normal >= kFirstNormal;
  for (uint32_t code = 1; code <= kNormalCode; ++code) {
    table->small[code - 1] = static_cast<uint16_t>(coder.First(code, 0, Of::kInfinity));
  }
  return true;
}

template <typename Rows, typename Codes>
const uint16_t* ComputedTables() {
  using Of = Coder<Rows, Codes>;
  // Never destroyed: workers outlive what is.
  static const std::vector<uint16_t>& tables = *new std::vector<uint16_t>([] {
    constexpr uint32_t kCount = 1u << Of::kMantissa;
    std::vector<uint16_t> made(std::size_t{kCount} * CodeTable::kCells);
    for (uint32_t significand = 0; significand < kCount; ++significand) {
      const float most = BitsFloat(0x3F800000u | significand << (23 - Of::kMantissa));
      // Two exponents below the largest magnitude nothing is beyond the largest code.
      const uint32_t one = Rows::Converts::FromFloat(1.0f);
      uint16_t* const add = made.data() + std::size_t{significand} * CodeTable::kCells;
      Of(most / Codes::kMax).Fill(one - 2 * kCount, add);
      for (int cell = 0; cell < CodeTable::kCells; ++cell) add[cell] = static_cast<uint16_t>(add[cell] + one);
    }
    return made;
  }());
  return tables.data();
}

}  // namespace

bool MakeCodeTable(int rows_type, int code_type, float scale, CodeTable* table) {
  constexpr bool (*kMakers[2][2])(float, CodeTable*) = {
      {MakeTable<Float16Rows, E5M2Codes>, MakeTable<Float16Rows, E4M3Codes>},
      {MakeTable<BFloat16Rows, E5M2Codes>, MakeTable<BFloat16Rows, E4M3Codes>}};
  if (rows_type == MSSP_FLOAT32 || code_type == 0) return false;
  return kMakers[rows_type == MSSP_BFLOAT16 ? 1 : 0][code_type - 1](scale, table);
}

const uint16_t* ComputedCodeTables(int rows_type, int code_type) {
  constexpr const uint16_t* (*kTables[2][2])() = {
      {ComputedTables<Float16Rows, E5M2Codes>, ComputedTables<Float16Rows, E4M3Codes>},
      {ComputedTables<BFloat16Rows, E5M2Codes>, ComputedTables<BFloat16Rows, E4M3Codes>}};
  if (rows_type == MSSP_FLOAT32 || code_type == 0) return nullptr;
  return kTables[rows_type == MSSP_BFLOAT16 ? 1 : 0][code_type - 1]();
}

}  // namespace mssp
