// Numbers as they are, along one dimension: mint.cumsum, index_select, repeat_interleave, argmax, slices, and a copy.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../core/small_float.h"
#include "arguments.h"
#include "parallel.h"

namespace mssp {
namespace compat {
namespace {

constexpr int kInput = 0;
constexpr int kDim = 1;

struct HalfItem {
  uint16_t code;
  operator float() const { return Float16::ToFloat(code); }
};
struct BrainItem {
  uint16_t code;
  operator float() const { return BFloat16::ToFloat(code); }
};

template <typename Item>
using NumberOf = std::conditional_t<std::is_arithmetic_v<Item>, Item, float>;

// Calls work(item) with an object of the C++ type behind `type`; false where a dtype has none.
template <typename Work>
bool WithItem(int32_t type, const Work& work) {
  switch (type) {
    case MSSP_BUILTIN_FLOAT32:
      work(float{});
      return true;
    case MSSP_BUILTIN_FLOAT16:
      work(HalfItem{});
      return true;
    case MSSP_BUILTIN_BFLOAT16:
      work(BrainItem{});
      return true;
    case MSSP_BUILTIN_FLOAT64:
      work(double{});
      return true;
    case MSSP_BUILTIN_BOOL:
    case MSSP_BUILTIN_UINT8:
      work(uint8_t{});
      return true;
    case MSSP_BUILTIN_INT8:
      work(int8_t{});
      return true;
    case MSSP_BUILTIN_INT16:
      work(int16_t{});
      return true;
    case MSSP_BUILTIN_INT32:
      work(int32_t{});
      return true;
    case MSSP_BUILTIN_INT64:
      work(int64_t{});
      return true;
    default:
      return false;
  }
}

// A shape as [before, the dimension, behind].
struct AxisSplit {
  int64_t outer, count, inner;
};

AxisSplit SplitAt(const Arguments& call, int argument) {
  int64_t dim = call.Int(argument);
  const auto& tensor = call.In(kInput);
  const int64_t rank = std::max<int64_t>(1, tensor.rank);
  if (dim < -rank || dim >= rank) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, argument, std::to_string(dim),
                std::to_string(-rank) + " to " + std::to_string(rank - 1));
  }
  if (tensor.rank == 0) return {1, 1, 1};
  if (dim < 0) dim += rank;
  AxisSplit split{1, tensor.shape[dim], 1};
  for (int64_t d = 0; d < dim; ++d) split.outer *= tensor.shape[d];
  for (int64_t d = dim + 1; d < rank; ++d) split.inner *= tensor.shape[d];
  return split;
}

// An item of float16 or bfloat16 from float32.
template <typename Item>
Item MakeItem(float value) {
  if constexpr (std::is_same_v<Item, HalfItem>) return HalfItem{static_cast<uint16_t>(Float16::FromFloat(value))};
  if constexpr (std::is_same_v<Item, BrainItem>) return BrainItem{static_cast<uint16_t>(BFloat16::FromFloat(value))};
  if constexpr (std::is_same_v<Item, float>) return value;
}

// What a number is in the dtype of the sums: integers wrap; of floats they take what is before the point, the nearest
// number there is, and 0 for no number.
template <typename To, typename From>
To Converted(From from) {
  if constexpr (std::is_same_v<To, double>) {
    return static_cast<double>(from);
  } else if constexpr (!std::is_integral_v<To>) {
    return MakeItem<To>(static_cast<float>(from));
  } else if constexpr (std::is_integral_v<From>) {
    return static_cast<To>(from);
  } else {
    using Limits = std::numeric_limits<To>;
    const auto value = static_cast<double>(from);
    if (!(value == value)) return 0;
    if (value <= static_cast<double>(Limits::min())) return Limits::min();
    return value >= static_cast<double>(Limits::max()) ? Limits::max() : static_cast<To>(value);
  }
}

// float16, bfloat16 and float32 add up in float32, integers in 64 bits that wrap.
template <typename Item>
using SumOf = std::conditional_t<std::is_integral_v<Item>, uint64_t,
                                 std::conditional_t<std::is_same_v<Item, double>, double, float>>;

template <typename From, typename To>
void Accumulate(const AxisSplit& split, const From* from, To* to) {
  for (int64_t o = 0; o < split.outer; ++o) {
    for (int64_t i = 0; i < split.inner; ++i) {
      SumOf<To> sum = 0;
      for (int64_t k = 0; k < split.count; ++k) {
        const int64_t at = (o * split.count + k) * split.inner + i;
        sum += static_cast<SumOf<To>>(Converted<To>(static_cast<NumberOf<From>>(from[at])));
        if constexpr (std::is_arithmetic_v<To>) {
          to[at] = static_cast<To>(sum);
        } else {
          to[at] = MakeItem<To>(sum);
        }
      }
    }
  }
}

[[noreturn]] void RefuseDtype(const Arguments& call) {
  call.Refuse(MSSP_BUILTIN_TYPE_ERROR, kInput, TypeName(call.In(kInput).type),
              "float16, bfloat16, float32, float64, bool, uint8, int8, int16, int32 or int64");
}

}  // namespace

// Numbers become the output's dtype first and are added up there, as mint.cumsum's `dtype` says.
void CumsumExt(const Arguments& call) {
  constexpr int kDtype = 2;
  const auto& input = call.In(kInput);
  const AxisSplit split = SplitAt(call, kDim);
  const auto& out = call.Out(0);
  call.ExpectOutput(0, CountOf(input), out.type);
  bool known_out = out.type != MSSP_BUILTIN_BOOL;
  const bool known = WithItem(input.type, [&](auto item) {
    using From = decltype(item);
    known_out = known_out && WithItem(out.type, [&](auto result) {
                  using To = decltype(result);
                  Accumulate(split, static_cast<const From*>(input.data), static_cast<To*>(out.data));
                });
  });
  if (!known) RefuseDtype(call);
  if (!known_out) {
    call.Refuse(MSSP_BUILTIN_TYPE_ERROR, kDtype, TypeName(out.type),
                "float16, bfloat16, float32, float64, uint8, int8, int16, int32 or int64");
  }
}

void IndexSelect(const Arguments& call) {
  constexpr int kIndex = 2;
  const auto& input = call.In(kInput);
  if (ItemBytes(input.type) == 0) RefuseDtype(call);
  const AxisSplit split = SplitAt(call, kDim);
  call.ExpectRank(kIndex, 0, 1, "[n]");
  const std::vector<int64_t> index = call.Ints(kIndex);
  for (size_t k = 0; k < index.size(); ++k) {
    if (index[k] >= 0 && index[k] < split.count) continue;
    call.Refuse(MSSP_BUILTIN_INDEX_ERROR, kIndex, std::to_string(index[k]) + " at " + std::to_string(k),
                split.count == 0 ? "no index: input has no rows along dim" : "0 to " + std::to_string(split.count - 1));
  }
  const auto chosen = static_cast<int64_t>(index.size());
  call.ExpectOutput(0, split.outer * chosen * split.inner, input.type);
  const int64_t bytes = split.inner * ItemBytes(input.type);
  if (chosen * bytes == 0) return;
  ForEachPiece(split.outer * chosen, 2 * split.outer * chosen * bytes, 0,
               [&](int64_t begin, int64_t end, float* /*own*/) {
                 for (int64_t r = begin; r < end; ++r) {
                   const int64_t from = r / chosen * split.count + index[static_cast<size_t>(r % chosen)];
                   std::memcpy(static_cast<char*>(call.Out(0).data) + r * bytes,
                               static_cast<const char*>(input.data) + from * bytes, static_cast<size_t>(bytes));
                 }
               });
}

// Every row along dim `repeats` times, as MindFormers' attention layer repeats heads; without dim, every number.
void RepeatInterleaveInt(const Arguments& call) {
  constexpr int kRepeats = 1;
  constexpr int kRepeatDim = 2;
  constexpr int kOutputSize = 3;
  const auto& input = call.In(kInput);
  if (ItemBytes(input.type) == 0) RefuseDtype(call);
  const int64_t repeats = call.Int(kRepeats);
  if (repeats < 0) call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kRepeats, std::to_string(repeats), "0 or more");
  const AxisSplit split = call.Has(kRepeatDim) ? SplitAt(call, kRepeatDim) : AxisSplit{1, CountOf(input), 1};
  const int64_t rows = split.outer * split.count;
  const int64_t repeated = Product(split.count, repeats);
  if (call.Has(kOutputSize) && call.Int(kOutputSize) != repeated) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kOutputSize, std::to_string(call.Int(kOutputSize)),
                std::to_string(repeated) + ", the rows that repeats makes along dim, or None");
  }
  call.ExpectOutput(0, Product(CountOf(input), repeats), input.type);
  const int64_t bytes = split.inner * ItemBytes(input.type);
  if (rows * bytes == 0 || repeats == 0) return;
  ForEachPiece(rows, 2 * rows * repeats * bytes, 0, [&](int64_t begin, int64_t end, float* /*own*/) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < repeats; ++i) {
        std::memcpy(static_cast<char*>(call.Out(0).data) + (r * repeats + i) * bytes,
                    static_cast<const char*>(input.data) + r * bytes, static_cast<size_t>(bytes));
      }
    }
  });
}

// Bounds are Python's: from the end where they are negative, and never outside. In PyNative MindSpore makes a view
// instead.
void SliceExt(const Arguments& call) {
  constexpr int kStart = 2;
  constexpr int kEnd = 3;
  constexpr int kSliceStep = 4;
  const auto& input = call.In(kInput);
  if (ItemBytes(input.type) == 0) RefuseDtype(call);
  const AxisSplit split = SplitAt(call, kDim);
  const int64_t step = call.Int(kSliceStep);
  if (step < 1) call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kSliceStep, std::to_string(step), "1 or more");
  const auto bound = [&](int i) {
    const int64_t at = call.Int(i);
    return std::min(std::max<int64_t>(at < 0 ? at + split.count : at, 0), split.count);
  };
  const int64_t start = bound(kStart);
  const int64_t length = std::max<int64_t>(0, bound(kEnd) - start);
  const int64_t chosen = length == 0 ? 0 : (length - 1) / step + 1;
  call.ExpectOutput(0, split.outer * chosen * split.inner, input.type);
  const int64_t together = step == 1 ? chosen : 1;  // of one copy
  const int64_t bytes = together * split.inner * ItemBytes(input.type);
  if (split.outer * bytes == 0) return;
  const int64_t copies = chosen / together;
  ForEachPiece(split.outer * copies, 2 * split.outer * copies * bytes, 0,
               [&](int64_t begin, int64_t end, float* /*own*/) {
                 for (int64_t r = begin; r < end; ++r) {
                   const int64_t from = r / copies * split.count + start + r % copies * step;
                   std::memcpy(static_cast<char*>(call.Out(0).data) + r * bytes,
                               static_cast<const char*>(input.data) + from * split.inner * ItemBytes(input.type),
                               static_cast<size_t>(bytes));
                 }
               });
}

// The first of the largest numbers; the first NaN where there is one.
void ArgMaxExt(const Arguments& call) {
  const auto& input = call.In(kInput);
  const int64_t count = CountOf(input);
  const AxisSplit split = call.Has(kDim) ? SplitAt(call, kDim) : AxisSplit{1, count, 1};
  call.ExpectOutput(0, split.outer * split.inner, MSSP_BUILTIN_INT64);
  if (split.count == 0 && split.outer * split.inner > 0) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kInput, ShapeText(input), "one number or more along dim");
  }
  auto* to = static_cast<int64_t*>(call.Out(0).data);
  const bool known = WithItem(input.type, [&](auto item) {
    using Item = decltype(item);
    const auto* from = static_cast<const Item*>(input.data);
    ForEachPiece(split.outer, count * ItemBytes(input.type), 0, [&](int64_t begin, int64_t end, float* /*own*/) {
      for (int64_t o = begin; o < end; ++o) {
        for (int64_t i = 0; i < split.inner; ++i) {
          const Item* line = from + o * split.count * split.inner + i;
          NumberOf<Item> most = line[0];
          int64_t best = 0;
          for (int64_t k = 1; k < split.count && most == most; ++k) {
            const NumberOf<Item> next = line[k * split.inner];
            if (next > most || next != next) {
              most = next;
              best = k;
            }
          }
          to[o * split.inner + i] = best;
        }
      }
    });
  });
  if (!known) RefuseDtype(call);
}

// Everything is on the host already.
void MoveTo(const Arguments& call) {
  const auto& input = call.In(kInput);
  if (ItemBytes(input.type) == 0) RefuseDtype(call);
  call.ExpectOutput(0, CountOf(input), input.type);
  if (call.Out(0).data == input.data || CountOf(input) == 0) return;
  std::memcpy(call.Out(0).data, input.data, static_cast<size_t>(CountOf(input) * ItemBytes(input.type)));
}

}  // namespace compat
}  // namespace mssp
