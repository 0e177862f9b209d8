// RmsNorm and AddRmsNorm: y = x * rsqrt(mean(x**2) + epsilon) * gamma over gamma's dimensions, in float32.
#include <cmath>
#include <cstring>

#include "../core/simd/cpu_features.h"
#include "arguments.h"
#include "parallel.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

constexpr int kX = 0;

// gamma's shape is the end of x's; returns its count.
int64_t CheckGamma(const Arguments& call, int gamma) {
  call.ExpectType(kX, {MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16});
  call.ExpectType(gamma, {MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16});
  const auto& x = call.In(kX);
  const auto& weight = call.In(gamma);
  bool fits = weight.rank >= 1 && weight.rank <= x.rank;
  for (int32_t d = 1; fits && d <= weight.rank; ++d) fits = weight.shape[weight.rank - d] == x.shape[x.rank - d];
  if (!fits) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, gamma, ShapeText(weight), "the last dimensions of x, " + ShapeText(x));
  }
  return CountOf(weight);
}

// What gamma's dimensions leave of x's.
int64_t RowsOf(const Arguments& call, int gamma) {
  const auto& x = call.In(kX);
  int64_t rows = 1;
  for (int32_t d = 0; d < x.rank - call.In(gamma).rank; ++d) rows = Product(rows, x.shape[d]);
  return rows;
}

double CheckEpsilon(const Arguments& call, int epsilon) {
  const double value = call.Float(epsilon);
  if (!(value >= 0)) call.Refuse(MSSP_BUILTIN_VALUE_ERROR, epsilon, std::to_string(value), "a number >= 0");
  return value;
}

}  // namespace

void RmsNorm(const Arguments& call) {
  constexpr int kGamma = 1;
  const auto epsilon = static_cast<float>(CheckEpsilon(call, 2));
  const int64_t width = CheckGamma(call, kGamma);
  const auto& x = call.In(kX);
  const int64_t count = CountOf(x);
  const int64_t rows = RowsOf(call, kGamma);
  call.ExpectOutput(0, count, x.type);
  call.ExpectOutput(1, rows, MSSP_BUILTIN_FLOAT32);
  const VectorKernels& vectors = ActiveVectors();
  std::vector<float> gamma(static_cast<size_t>(width));
  vectors.widen(call.In(kGamma).type, call.In(kGamma).data, width, gamma.data());
  const int64_t row_bytes = width * ItemBytes(x.type);
  const auto* from = static_cast<const char*>(x.data);
  auto* to = static_cast<char*>(call.Out(0).data);
  auto* factors = static_cast<float*>(call.Out(1).data);
  const bool stream = StreamsTo(to, count * ItemBytes(x.type), row_bytes);
  ForEachPiece(rows, 2 * count * ItemBytes(x.type), 0, [&](int64_t begin, int64_t end, float* /*own*/) {
    for (int64_t r = begin; r < end; ++r) {
      const char* row = from + r * row_bytes;
      const char* ahead = r + 1 < rows ? row + row_bytes : nullptr;
      const char* later = stream ? nullptr : to + r * row_bytes;
      const float squares = vectors.sum_of_squares(x.type, row, width, ahead, later);
      const float factor = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
      factors[r] = factor;
      vectors.normalize(x.type, row, gamma.data(), factor, width, to + r * row_bytes, ahead, stream);
    }
    if (stream) ActiveKernels().fence();
  });
}

// The sum is rounded into x1's dtype, as it leaves the operator, and normalized from there.
void AddRmsNorm(const Arguments& call) {
  constexpr int kX2 = 1;
  constexpr int kGamma = 2;
  const auto epsilon = static_cast<float>(CheckEpsilon(call, 3));
  const int64_t width = CheckGamma(call, kGamma);
  const auto& x = call.In(kX);
  call.ExpectSameType(kX2, kX);
  const auto& x2 = call.In(kX2);
  if (x2.rank != x.rank || !std::equal(x.shape, x.shape + x.rank, x2.shape)) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kX2, ShapeText(x2), ShapeText(x) + " as x1 has");
  }
  const int64_t count = CountOf(x);
  const int64_t rows = RowsOf(call, kGamma);
  call.ExpectOutput(0, count, x.type);
  call.ExpectOutput(1, rows, MSSP_BUILTIN_FLOAT32);
  call.ExpectOutput(2, count, x.type);
  const VectorKernels& vectors = ActiveVectors();
  std::vector<float> gamma(static_cast<size_t>(width));
  vectors.widen(call.In(kGamma).type, call.In(kGamma).data, width, gamma.data());
  const int64_t row_bytes = width * ItemBytes(x.type);
  ForEachPiece(rows, 4 * count * ItemBytes(x.type), 2 * width, [&](int64_t begin, int64_t end, float* row) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * row_bytes;
      vectors.widen(x.type, static_cast<const char*>(x.data) + at, width, row);
      vectors.widen(x.type, static_cast<const char*>(x2.data) + at, width, row + width);
      for (int64_t i = 0; i < width; ++i) row[i] += row[width + i];
      char* sum = static_cast<char*>(call.Out(2).data) + at;
      vectors.narrow(x.type, row, 1.0f, width, sum);
      const float squares = vectors.sum_of_squares(x.type, sum, width, nullptr, nullptr);
      const float factor = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
      static_cast<float*>(call.Out(1).data)[r] = factor;
      char* out = static_cast<char*>(call.Out(0).data) + at;
      vectors.normalize(x.type, sum, gamma.data(), factor, width, out, nullptr, false);
    }
  });
}

}  // namespace compat
}  // namespace mssp
