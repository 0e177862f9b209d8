#include "mean.h"

#include <algorithm>
#include <cstring>

#include "hifloat8.h"
#include "scatter_pa.h"
#include "small_float.h"

namespace mssp {
namespace {

constexpr int64_t kColumns = 128;  // accumulators that stay in the nearest cache

template <typename Storage>
Storage Load(const char* row, int64_t i) {
  Storage value;
  std::memcpy(&value, row + i * static_cast<int64_t>(sizeof(Storage)), sizeof(Storage));
  return value;
}

template <typename Storage>
void Store(char* row, int64_t i, Storage value) {
  std::memcpy(row + i * static_cast<int64_t>(sizeof(Storage)), &value, sizeof(Storage));
}

struct Float32 {
  static uint32_t FromFloat(float x) { return FloatBits(x); }
  static float ToFloat(uint32_t bits) { return BitsFloat(bits); }
};

template <typename Storage, typename Format>
struct FloatMean {
  using Sum = float;
  static Sum Widen(Storage x) { return Format::ToFloat(x); }
  static Storage Finish(Sum sum, int64_t count) {
    return static_cast<Storage>(Format::FromFloat(sum / static_cast<float>(count)));
  }
  using Element = Storage;
};

template <typename Storage>
struct IntegerMean {
  using Sum = int64_t;
  static Sum Widen(Storage x) { return x; }
  static Storage Finish(Sum sum, int64_t count) { return static_cast<Storage>(sum / count); }
  using Element = Storage;
};

template <typename Mean>
void MeanColumns(const char* rows, int64_t stride, int64_t count, int64_t columns, char* out) {
  using Element = typename Mean::Element;
  for (int64_t begin = 0; begin < columns; begin += kColumns) {
    const int64_t width = std::min(kColumns, columns - begin);
    const char* row = rows + begin * static_cast<int64_t>(sizeof(Element));
    typename Mean::Sum sums[kColumns] = {};
    for (int64_t r = 0; r < count; ++r, row += stride) {
      for (int64_t c = 0; c < width; ++c) sums[c] += Mean::Widen(Load<Element>(row, c));
    }
    for (int64_t c = 0; c < width; ++c) Store<Element>(out, begin + c, Mean::Finish(sums[c], count));
  }
}

using MeanFunction = void (*)(const char*, int64_t, int64_t, int64_t, char*);

// In the order of MsspElementType.
constexpr MeanFunction kMeans[] = {
    MeanColumns<FloatMean<uint16_t, Float16>>,   MeanColumns<FloatMean<uint32_t, Float32>>,
    MeanColumns<FloatMean<uint16_t, BFloat16>>,  MeanColumns<IntegerMean<int8_t>>,
    MeanColumns<IntegerMean<uint8_t>>,           MeanColumns<IntegerMean<int16_t>>,
    MeanColumns<IntegerMean<uint16_t>>,          MeanColumns<IntegerMean<int32_t>>,
    MeanColumns<IntegerMean<uint32_t>>,          MeanColumns<FloatMean<uint8_t, HiFloat8>>,
    MeanColumns<FloatMean<uint8_t, Float8E5M2>>, MeanColumns<FloatMean<uint8_t, Float8E4M3FN>>,
};

}  // namespace

void MeanRow(int32_t element_type, const char* rows, int64_t stride, int64_t count, int64_t columns, char* out) {
  kMeans[element_type](rows, stride, count, columns, out);
}

}  // namespace mssp
