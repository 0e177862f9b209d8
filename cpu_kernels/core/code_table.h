// The codes of 8-bit floats of rows of 16 bits by one scale, as 32 numbers: what is added to a row's bits before the
// last ones of them are dropped.
//
// From one exponent of a row to the next the normal codes repeat, and within one there are as many borders between
// codes as a code has mantissas, further apart than a 32nd of the row's mantissas. So each 32nd has one border at most,
// and one number that carries the rows beyond it into the next code. Borders are found by dividing.
#ifndef MS_SCATTER_PA_CORE_CODE_TABLE_H_
#define MS_SCATTER_PA_CORE_CODE_TABLE_H_

#include <cstdint>

namespace mssp {

struct alignas(64) CodeTable {
  static constexpr int kCells = 32;
  static constexpr int kMostSmall = 8;

  uint16_t add[kCells];
  // Of the bits without the sign:
  uint16_t most;               // what is above has its code
  uint16_t odd;                // what is above is no number, or infinite where nothing else saturates
  uint16_t least;              // what is below has no normal quotient, or is no normal row
  uint16_t small[kMostSmall];  // the first row of each code from 1 up to the first normal one
  bool has_small;              // they are complete
};

// False where there is none. Types are places in kNumFloatTypes and kCodeTypes. The caller holds an IeeeScope.
bool MakeCodeTable(int rows_type, int code_type, float scale, CodeTable* table);

// CodeTable::add for computed scales: kCells for each mantissa of the largest magnitude, whose exponent is to be
// subtracted from each of them. Null where there are none.
const uint16_t* ComputedCodeTables(int rows_type, int code_type);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_CODE_TABLE_H_
