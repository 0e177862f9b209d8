// QuantV2: int8 of x * scale + offset, rounded half to even and kept within -128..127. Where the offset is int8, as the
// kernel behind MindSpore's infer_boost has it: the scale divides, and the offset is added to what is rounded.
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "arguments.h"
#include "parallel.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

constexpr int kX = 0;
constexpr int kScale = 1;
constexpr int kOffset = 2;
constexpr int kSqrtMode = 3;
constexpr int kRoundingMode = 4;

// One number, or one for each channel.
std::vector<float> Channels(const Arguments& call, int i, int64_t width) {
  const auto& tensor = call.In(i);
  call.ExpectType(i, {MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_INT8});
  const int64_t count = CountOf(tensor);
  if (count != 1 && (count != width || tensor.shape[tensor.rank - 1] != width)) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(tensor),
                "one number, or " + std::to_string(width) + ", one for each of x's last dimension");
  }
  std::vector<float> numbers(static_cast<size_t>(width));
  std::vector<float> given(static_cast<size_t>(count));
  ActiveVectors().widen(tensor.type, tensor.data, count, given.data());
  for (int64_t c = 0; c < width; ++c) numbers[static_cast<size_t>(c)] = given[count == 1 ? 0 : static_cast<size_t>(c)];
  return numbers;
}

// MindSpore hands the kernel a number in place of the name that was given.
std::string RoundingName(int64_t mode) {
  constexpr std::array<const char*, 4> kNames = {"ROUND", "TRUNC", "FLOOR", "CEIL"};
  return mode >= 0 && mode < 4 ? kNames[static_cast<size_t>(mode)] : std::to_string(mode);
}

}  // namespace

void QuantV2(const Arguments& call) {
  const auto& x = call.In(kX);
  call.ExpectType(kX, {MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16});
  call.ExpectRank(kX, 1, 8, "one dimension or more");
  const int64_t width = x.shape[x.rank - 1];
  const int64_t rows = width == 0 ? 0 : CountOf(x) / width;
  if (call.Int(kSqrtMode) != 0) call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kSqrtMode, "True", "False, as MindSpore says");
  if (const int64_t mode = call.Int(kRoundingMode); mode != 0) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kRoundingMode, RoundingName(mode), "ROUND, as MindSpore says");
  }
  call.ExpectOutput(0, CountOf(x), MSSP_BUILTIN_INT8);
  if (rows == 0) return;
  const std::vector<float> scale = Channels(call, kScale, width);
  const std::vector<float> offset = Channels(call, kOffset, width);
  const bool divides = call.In(kOffset).type == MSSP_BUILTIN_INT8;
  auto* to = static_cast<int8_t*>(call.Out(0).data);
  const VectorKernels& vectors = ActiveVectors();
  ForEachPiece(rows, 4 * CountOf(x), width, [&](int64_t begin, int64_t end, float* row) {
    for (int64_t r = begin; r < end; ++r) {
      vectors.widen(x.type, static_cast<const char*>(x.data) + r * width * ItemBytes(x.type), width, row);
      for (int64_t c = 0; c < width; ++c) {
        const auto at = static_cast<size_t>(c);
        const float number =
            divides ? std::nearbyint(row[c] / scale[at]) + offset[at] : std::nearbyint(row[c] * scale[at] + offset[at]);
        const float kept = number < -128.0f ? -128.0f : number > 127.0f ? 127.0f : number;
        to[r * width + c] = kept == kept ? static_cast<int8_t>(kept) : int8_t{0};
      }
    }
  });
}

}  // namespace compat
}  // namespace mssp
