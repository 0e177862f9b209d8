// Rows of floats to codes of 8 bits and back. The caller holds an IeeeScope.
#ifndef MS_SCATTER_PA_CORE_SIMD_QUANT_H_
#define MS_SCATTER_PA_CORE_SIMD_QUANT_H_

#include <cstdint>

#include "../call_sizes.h"
#include "../code_table.h"
#include "../op_info.h"

namespace mssp {

// How products with the inverse of a scale become the codes of the quotients, for every number of 16 bits.
enum class Products : uint8_t {
  kNone,     // they do not
  kNearest,  // rounded to nearest: int8 as always, float8 with ties away from zero
  kEven,     // float8: what lies within a few units of a tie is one, and goes to the even code
};

inline constexpr int64_t kPlanColumns = 64;

// How often products were not enough, with a scale for all columns: then so many columns are left without a try.
struct Attempts {
  int64_t made = 8;
  int64_t failed = 0;
  int64_t rest = 0;
};

// The scale and the offset of a row: one number for all columns (step 0) or one for each (step 1). Many rows with the
// same scales have their inverses: of columns, where each HasInverse; and what their products are good for, of all
// columns or of kPlanColumns at a time.
struct ScaleRow {
  const float* scale;
  const float* offset;
  int64_t step;
  const float* inverse = nullptr;
  const Products* products = nullptr;
  Attempts* attempts = nullptr;      // with products or a table
  const CodeTable* table = nullptr;  // of the only scale

  // The same of the columns from one on, without what products are good for.
  MSSP_ALWAYS_INLINE ScaleRow From(int64_t column) const {
    const int64_t at = column * step;
    return {scale + at, offset == nullptr ? nullptr : offset + at, step, inverse == nullptr ? nullptr : inverse + at};
  }
};

inline constexpr float kLargestOffset = 1024.0f;
inline constexpr float kSmallestInverted = 0x1p-40f;
inline constexpr float kLargestInverted = 0x1p40f;

// Whether x * (1 / scale) + offset is near enough to the quotient for any x that does not saturate.
inline bool HasInverse(float scale, float offset) {
  return scale >= kSmallestInverted && scale <= kLargestInverted && offset >= -kLargestOffset &&
         offset <= kLargestOffset;
}

inline constexpr int kLowestStatic = -128;
inline constexpr int kLowestDynamic = -127;

inline constexpr int kNumFloatTypes = 3;  // float16, float32, bfloat16: MsspElementType 0 to 2

// What rows are quantised to, with the largest number that has a code.
struct CodeType {
  int32_t element_type;
  float largest;
};

inline constexpr CodeType kCodeTypes[] = {
    {MSSP_INT8, 127.0f}, {MSSP_FLOAT8_E5M2, 57344.0f}, {MSSP_FLOAT8_E4M3FN, 448.0f}};
inline constexpr int kNumCodeTypes = sizeof(kCodeTypes) / sizeof(kCodeTypes[0]);

// The place of one of them.
inline int CodeIndex(int32_t element_type) {
  int i = 0;
  while (i + 1 < kNumCodeTypes && kCodeTypes[i].element_type != element_type) ++i;
  return i;
}

// A row, whose codes follow one another, or two rows of PA_NZ whose slots do: their codes lie side by side in units
// that are `unit_stride` bytes apart, on whole lines. Rows may have several heads.
struct CodeRows {
  const char* from;
  char* to;
  bool stream;  // past the caches: codes are whole lines then, as those of two rows are
  int64_t num_head = 1;
  int64_t head_stride = 0;  // bytes from head to head
  int64_t to_stride = 0;    // bytes between their codes
  int64_t next_row = 0;     // bytes to the second row
  int64_t unit_stride = 0;  // 0: one row

  // Heads from one on.
  MSSP_ALWAYS_INLINE CodeRows Heads(int64_t first, int64_t count) const {
    CodeRows rows = *this;
    rows.from += first * head_stride;
    rows.to += first * to_stride;
    rows.num_head = count;
    return rows;
  }
};

// Where a row is, or the first of two, and what it becomes: of its first head. Scales of heads, and of the second row,
// follow at steps of their own.
struct RowPlace {
  const char* from;
  char* to;
  float* scales;
};

struct ScaleSteps {
  int64_t head;
  int64_t next_row;
};

struct QuantKernels {
  // Codes are saturate(round(row / scale + offset)); `lowest` is the least int8. Heads of `head_size` columns have one
  // scale, or one for each of all columns.
  using Quantise = void (*)(const CodeRows& rows, int64_t head_size, const ScaleRow& scales, int lowest);
  // to[i] = (from[i] - offset) * scale, rounded once.
  using Dequantise = void (*)(char* to, const char* from, int64_t columns, const ScaleRow& scales);
  // Rows at `places`, which are else as `rows` are, with a scale for each head: max|x| / qmax, 1.0 where that is 0.
  // `tables`: ComputedCodeTables, or null.
  using Dynamic = void (*)(const CodeRows& rows, const RowPlace* places, int64_t count, int64_t head_size,
                           const ScaleSteps& steps, const uint16_t* tables);
  // Inverses of scales without offsets, and what the products of each `group` of them are good for.
  using Plan = void (*)(const float* scales, int64_t count, int64_t group, float* inverses, Products* products);

  Quantise quantise[kNumFloatTypes][kNumCodeTypes];
  Dequantise dequantise[kNumFloatTypes][kNumCodeTypes];
  Dynamic dynamic[kNumFloatTypes][kNumCodeTypes];
  Plan plan[kNumFloatTypes][kNumCodeTypes];
  bool has_tables;       // quantise and dynamic make use of CodeTable
  int64_t pair_columns;  // quantise and dynamic take two rows of whole groups of so many columns; 0: one row only
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_QUANT_H_
