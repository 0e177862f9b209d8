// Quantising column by column, for inclusion by the file of each instruction set after mean_columns.h. Everything has
// internal linkage.
#include <cstdint>
#include <cstring>

#include "../small_float.h"
#include "quant.h"

namespace mssp {
namespace {

template <typename Storage, typename Format, int Mantissa>
struct FloatRows {
  using Element = Storage;
  using Converts = Format;
  static constexpr bool kIsHalf = sizeof(Storage) == 2;
  static constexpr int kMantissa = Mantissa;
};
using Float16Rows = FloatRows<uint16_t, Float16, 10>;
using Float32Rows = FloatRows<uint32_t, Float32, 23>;
using BFloat16Rows = FloatRows<uint16_t, BFloat16, 7>;

// Integers on the way are floats that hold them: adding 1.5 * 2**23 rounds to nearest even.
struct Int8Codes {
  static constexpr float kMax = kCodeTypes[0].largest;
  static constexpr bool kIsInteger = true;
  static inline uint8_t FromFloat(float x, float lowest) {
    x = x > lowest ? x : (x == x ? lowest : 0.0f);
    x = x < kMax ? x : kMax;
    return static_cast<uint8_t>(FloatBits(x + 12582912.0f));
  }
  static inline float ToFloat(uint8_t code) { return static_cast<float>(static_cast<int8_t>(code)); }
};

template <typename Format, int kType>
struct Float8Codes {
  static constexpr float kMax = kCodeTypes[kType].largest;
  static constexpr int kMantissa = kMax > 1000 ? 2 : 3;
  static constexpr bool kIsInteger = false;
  using Converts = Format;
  static inline uint8_t FromFloat(float x, float) {
    x = x > kMax ? kMax : x;
    x = x < -kMax ? -kMax : x;
    return static_cast<uint8_t>(Format::FromFloat(x));
  }
  static inline float ToFloat(uint8_t code) { return Format::ToFloat(code); }
};
using E5M2Codes = Float8Codes<Float8E5M2, 1>;
using E4M3Codes = Float8Codes<Float8E4M3FN, 2>;

template <typename Rows>
inline float LoadFloat(const char* from, int64_t i) {
  typename Rows::Element element;
  std::memcpy(&element, from + i * static_cast<int64_t>(sizeof(element)), sizeof(element));
  return Rows::Converts::ToFloat(element);
}

template <typename Rows, typename Codes>
void QuantiseColumns(char* to, const char* from, int64_t begin, int64_t columns, const ScaleRow& scales, int lowest) {
  for (int64_t i = begin; i < columns; ++i) {
    float x = LoadFloat<Rows>(from, i) / scales.scale[i * scales.step];
    if (Codes::kIsInteger && scales.offset != nullptr) x += scales.offset[i * scales.step];
    to[i] = static_cast<char>(Codes::FromFloat(x, static_cast<float>(lowest)));
  }
}

template <typename Rows, typename Codes>
void DequantiseColumns(char* to, const char* from, int64_t begin, int64_t columns, const ScaleRow& scales) {
  using Element = typename Rows::Element;
  for (int64_t i = begin; i < columns; ++i) {
    float x = Codes::ToFloat(static_cast<uint8_t>(from[i]));
    if (Codes::kIsInteger && scales.offset != nullptr) x -= scales.offset[i * scales.step];
    const auto element = static_cast<Element>(Rows::Converts::FromFloat(x * scales.scale[i * scales.step]));
    std::memcpy(to + i * static_cast<int64_t>(sizeof(Element)), &element, sizeof(Element));
  }
}

// Magnitudes are ordered as their bits are, and every NaN is above infinity.
template <typename Rows>
uint32_t MaxBits(const char* from, int64_t begin, int64_t columns) {
  using Element = typename Rows::Element;
  constexpr auto kMask = static_cast<Element>(Element(~Element{0}) >> 1);
  Element most = 0;
  for (int64_t i = begin; i < columns; ++i) {
    Element element;
    std::memcpy(&element, from + i * static_cast<int64_t>(sizeof(Element)), sizeof(Element));
    element = static_cast<Element>(element & kMask);
    most = element > most ? element : most;
  }
  return most;
}

template <typename Rows, typename Codes>
void PortableQuantise(const CodeRows& rows, int64_t head_size, const ScaleRow& scales, int lowest) {
  for (int64_t h = 0; h < rows.num_head; ++h) {
    const CodeRows head = rows.Heads(h, 1);
    QuantiseColumns<Rows, Codes>(head.to, head.from, 0, head_size, scales.From(h * head_size), lowest);
  }
}

template <typename Rows, typename Codes>
void PortableDequantise(char* to, const char* from, int64_t columns, const ScaleRow& scales) {
  DequantiseColumns<Rows, Codes>(to, from, 0, columns, scales);
}

inline float DynamicScale(float most, float largest) {
  const float scale = most / largest;
  return FloatBits(scale) == 0 ? 1.0f : scale;
}

template <typename Rows, typename Codes>
void PortableDynamic(const CodeRows& rows, const RowPlace* places, int64_t count, int64_t head_size,
                     const ScaleSteps& steps, const uint16_t*) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t h = 0; h < rows.num_head; ++h) {
      const char* const from = places[i].from + h * rows.head_stride;
      const float most = Rows::Converts::ToFloat(MaxBits<Rows>(from, 0, head_size));
      float& scale = places[i].scales[h * steps.head];
      scale = DynamicScale(most, Codes::kMax);
      QuantiseColumns<Rows, Codes>(places[i].to + h * rows.to_stride, from, 0, head_size, {&scale, nullptr, 0},
                                   kLowestDynamic);
    }
  }
}

template <typename Rows, typename Codes>
void PortablePlan(const float* scales, int64_t count, int64_t group, float* inverses, Products* products) {
  for (int64_t i = 0; i < count; ++i) inverses[i] = 1.0f / scales[i];
  for (int64_t i = 0; i < count; i += group) products[i / group] = Products::kNone;
}

#define MSSP_QUANT_ROW(Function, Rows) {Function<Rows, Int8Codes>, Function<Rows, E5M2Codes>, Function<Rows, E4M3Codes>}
#define MSSP_QUANT_TABLE(Function) \
  {MSSP_QUANT_ROW(Function, Float16Rows), MSSP_QUANT_ROW(Function, Float32Rows), MSSP_QUANT_ROW(Function, BFloat16Rows)}
#define MSSP_QUANT_KERNELS(Quantise, Dequantise, Dynamic, Plan, has_tables, pair_columns) \
  {MSSP_QUANT_TABLE(Quantise),                                                            \
   MSSP_QUANT_TABLE(Dequantise),                                                          \
   MSSP_QUANT_TABLE(Dynamic),                                                             \
   MSSP_QUANT_TABLE(Plan),                                                                \
   has_tables,                                                                            \
   pair_columns}

}  // namespace
}  // namespace mssp
