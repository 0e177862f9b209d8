// Vector instructions on float32, int32 and 8-bit codes: what the gather and the quantising write use. Included by
// kernel_operator.h. Maxima and clips of a NaN give a wrong number on purpose: kernels must not rely on them.
#ifndef MS_SCATTER_PA_HOST_MODEL_VECTOR_H_
#define MS_SCATTER_PA_HOST_MODEL_VECTOR_H_

struct fp8_e4m3fn_t {
  uint8_t bits;
};

struct fp8_e5m2_t {
  uint8_t bits;
};

namespace AscendC {

enum class CMPMODE { EQ };
enum class SELMODE { VSEL_TENSOR_SCALAR_MODE };
enum class ReduceOrder { ORDER_ONLY_VALUE };
enum class DivAlgo { INTRINSIC, PRECISION_0ULP_FTZ_FALSE };

struct DivConfig {
  DivAlgo algo = DivAlgo::INTRINSIC;
};

struct BinaryRepeatParams {
  uint8_t dstBlkStride = 1;
  uint8_t src0BlkStride = 1;
  uint8_t src1BlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t src0RepStride = 8;
  uint8_t src1RepStride = 8;
};

struct BrcbRepeatParams {
  uint16_t dstBlkStride = 1;
  uint16_t dstRepStride = 8;
};

namespace host_detail {

inline void CheckCount(int64_t count) {
  if (count <= 0) {
    throw host_model::Fault("vector instruction: count is not positive");
  }
}

template <typename T>
T Read(const LocalTensor<T>& tensor, int64_t i) {
  T value;
  std::memcpy(&value, tensor.HostModelData() + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void Put(const LocalTensor<T>& tensor, int64_t i, T value) {
  std::memcpy(tensor.HostModelData() + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

template <typename T, typename Function>
void Binary(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, int32_t count,
            Function function) {
  CheckCount(count);
  host_model::Current().Vector(
      {to.HostModelOperand(count, true), a.HostModelOperand(count, false), b.HostModelOperand(count, false)});
  for (int32_t i = 0; i < count; ++i) {
    Put(to, i, function(Read(a, i), Read(b, i)));
  }
}

// Of one repetition: the bytes of 32-byte block `block` that `mask` leaves.
inline int64_t MaskedBytes(int64_t mask, int64_t block, int64_t width) {
  const int64_t left = mask * width - block * 32;
  return left < 0 ? 0 : left > 32 ? 32 : left;
}

template <typename T>
void AddRepeats(std::vector<host_model::Machine::Operand>* operands, const LocalTensor<T>& tensor, int64_t mask,
                int64_t repeats, int64_t block_stride, int64_t repeat_stride, bool write) {
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (int64_t block = 0; block < 8; ++block) {
      const int64_t bytes = MaskedBytes(mask, block, sizeof(T));
      const int64_t offset = tensor.HostModelOffset() + (repeat * repeat_stride + block * block_stride) * 32;
      if (bytes > 0) {
        operands->push_back({tensor.HostModelHandle(), offset, tensor.HostModelLimit(), bytes, write});
      }
    }
  }
}

inline int64_t Lane(int64_t i, int64_t repeat, int64_t block_stride, int64_t repeat_stride, int64_t per_block) {
  return (repeat * repeat_stride + i / per_block * block_stride) * per_block + i % per_block;
}

template <typename T, typename Function>
void BinaryRepeats(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, int64_t mask,
                   int64_t repeats, const BinaryRepeatParams& params, Function function) {
  if (mask < 1 || mask > static_cast<int64_t>(256 / sizeof(T)) || repeats < 1 || repeats > 255) {
    throw host_model::Fault("vector instruction: mask or repeatTime is out of range");
  }
  std::vector<host_model::Machine::Operand> operands;
  AddRepeats(&operands, to, mask, repeats, params.dstBlkStride, params.dstRepStride, true);
  AddRepeats(&operands, a, mask, repeats, params.src0BlkStride, params.src0RepStride, false);
  AddRepeats(&operands, b, mask, repeats, params.src1BlkStride, params.src1RepStride, false);
  host_model::Current().Vector(operands);
  const int64_t per_block = static_cast<int64_t>(32 / sizeof(T));
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (int64_t i = 0; i < mask; ++i) {
      const T x = Read(a, Lane(i, repeat, params.src0BlkStride, params.src0RepStride, per_block));
      const T y = Read(b, Lane(i, repeat, params.src1BlkStride, params.src1RepStride, per_block));
      Put(to, Lane(i, repeat, params.dstBlkStride, params.dstRepStride, per_block), function(x, y));
    }
  }
}

template <typename T, typename Function>
void Unary(const LocalTensor<T>& to, const LocalTensor<T>& from, int32_t count, Function function) {
  CheckCount(count);
  Map(to, from, static_cast<uint32_t>(count), function);
}

template <typename T>
T Larger(T a, T b) {
  return a > b ? a : b;
}

template <typename T>
T Smaller(T a, T b) {
  return a < b ? a : b;
}

inline float Rounded(float x) { return std::nearbyint(x); }

// To nearest even, NaN kept; what is too large must have been clipped.
template <int EXPONENT_BITS, int MANTISSA_BITS>
uint8_t EncodeSmall(float x, float largest) {
  const uint32_t bits = host_model::BitsOf(x);
  const uint8_t sign = static_cast<uint8_t>((bits >> 24) & 0x80U);
  const float magnitude = std::fabs(x);
  if (std::isnan(x)) {
    return static_cast<uint8_t>(sign | 0x7FU);
  }
  if (magnitude > largest) {
    throw host_model::Fault("Cast: a number that the 8-bit float cannot hold; parts differ in what they make of it");
  }
  constexpr int kBias = (1 << (EXPONENT_BITS - 1)) - 1;
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude is in [2**(exponent - 1), 2**exponent)
  const int least = 1 - kBias - MANTISSA_BITS;
  const int step = magnitude == 0.0F || exponent - 1 - MANTISSA_BITS < least ? least : exponent - 1 - MANTISSA_BITS;
  const int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -step)));
  const int code = step == least ? units : ((step - least) << MANTISSA_BITS) + units;
  return static_cast<uint8_t>(sign | static_cast<uint8_t>(code));
}

template <int EXPONENT_BITS, int MANTISSA_BITS>
float DecodeSmall(uint8_t code) {
  constexpr int kBias = (1 << (EXPONENT_BITS - 1)) - 1;
  const int magnitude = code & 0x7F;
  const int exponent = magnitude >> MANTISSA_BITS;
  const int mantissa = magnitude & ((1 << MANTISSA_BITS) - 1);
  float x = exponent == 0
                ? std::ldexp(static_cast<float>(mantissa), 1 - kBias - MANTISSA_BITS)
                : std::ldexp(static_cast<float>(mantissa + (1 << MANTISSA_BITS)), exponent - kBias - MANTISSA_BITS);
  if (MANTISSA_BITS == 3 ? magnitude == 0x7F : exponent == 31) {
    x = MANTISSA_BITS == 2 && mantissa == 0 ? INFINITY : NAN;
  }
  return (code & 0x80) != 0 ? -x : x;
}

inline void CheckMode(RoundMode given, RoundMode expected) {
  if (given != expected) {
    throw host_model::Fault("Cast: this conversion takes another rounding");
  }
}

}  // namespace host_detail

#define HOST_BINARY(NAME, T, EXPRESSION)                                                                        \
  inline void NAME(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, int32_t count) { \
    host_detail::Binary(to, a, b, count, [](T x, T y) -> T { return EXPRESSION; });                             \
  }
#define HOST_REPEATS(NAME, T, EXPRESSION)                                                                   \
  inline void NAME(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b,              \
                   host_model::Counted<uint64_t> mask, uint8_t repeats, const BinaryRepeatParams& params) { \
    host_detail::BinaryRepeats(to, a, b, static_cast<int64_t>(mask.value()), repeats, params,               \
                               [](T x, T y) -> T { return EXPRESSION; });                                   \
  }
#define HOST_SCALAR(NAME, T, EXPRESSION)                                                            \
  inline void NAME(const LocalTensor<T>& to, const LocalTensor<T>& from, T scalar, int32_t count) { \
    host_detail::Unary(to, from, count, [scalar](T x) -> T { return EXPRESSION; });                 \
  }

HOST_BINARY(Sub, float, x - y)
HOST_BINARY(Mul, float, x* y)
HOST_BINARY(Add, int32_t, x + y)
HOST_REPEATS(Add, float, x + y)
HOST_REPEATS(Sub, float, x - y)
HOST_REPEATS(Mul, float, x* y)
HOST_REPEATS(Max, int32_t, host_detail::Larger(x, y))
HOST_SCALAR(Mins, float, std::isnan(x) ? 7.0F : host_detail::Smaller(x, scalar))
HOST_SCALAR(Maxs, float, std::isnan(x) ? 7.0F : host_detail::Larger(x, scalar))
HOST_SCALAR(Muls, float, x* scalar)
HOST_SCALAR(Mins, int32_t, host_detail::Smaller(x, scalar))
HOST_SCALAR(Maxs, int32_t, host_detail::Larger(x, scalar))
HOST_SCALAR(Adds, int32_t, static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(scalar)))
HOST_SCALAR(Muls, int32_t, static_cast<int32_t>(static_cast<uint32_t>(x) * static_cast<uint32_t>(scalar)))
HOST_SCALAR(ShiftLeft, uint32_t, x << scalar)
HOST_SCALAR(ShiftRight, uint32_t, x >> scalar)

#if defined(__NPU_ARCH__) && __NPU_ARCH__ == 3510
// 950 parts: the algorithm is chosen; the default flushes subnormal numbers.
template <typename T, const DivConfig& CONFIG>
inline void Div(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, int32_t count) {
  static_assert(CONFIG.algo == DivAlgo::PRECISION_0ULP_FTZ_FALSE, "only exact division is modelled");
  host_detail::Binary(to, a, b, count, [](float x, float y) { return x / y; });
}
template <typename T, bool SETS_MASK, const DivConfig& CONFIG>
inline void Div(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b,
                host_model::Counted<uint64_t> mask, uint8_t repeats, const BinaryRepeatParams& params) {
  static_assert(SETS_MASK && CONFIG.algo == DivAlgo::PRECISION_0ULP_FTZ_FALSE, "only exact division is modelled");
  host_detail::BinaryRepeats(to, a, b, static_cast<int64_t>(mask.value()), repeats, params,
                             [](float x, float y) { return x / y; });
}
#else
HOST_BINARY(Div, float, x / y)
HOST_REPEATS(Div, float, x / y)
#endif

#undef HOST_BINARY
#undef HOST_REPEATS
#undef HOST_SCALAR

// A bit for each element, the first one lowest; counts of 256 bytes.
inline void Compare(const LocalTensor<uint8_t>& to, const LocalTensor<float>& a, const LocalTensor<float>& b, CMPMODE,
                    uint32_t count) {
  if (count == 0 || count % 64 != 0) {
    throw host_model::Fault("Compare: count is no multiple of 64");
  }
  host_model::Current().Vector(
      {to.HostModelOperand(count / 8, true), a.HostModelOperand(count, false), b.HostModelOperand(count, false)});
  for (uint32_t i = 0; i < count; i += 8) {
    uint8_t bits = 0;
    for (uint32_t j = 0; j < 8; ++j) {
      bits = static_cast<uint8_t>(bits | (host_detail::Read(a, i + j) == host_detail::Read(b, i + j) ? 1U << j : 0U));
    }
    host_detail::Put(to, i / 8, bits);
  }
}

inline void Select(const LocalTensor<float>& to, const LocalTensor<uint8_t>& mask, const LocalTensor<float>& from,
                   float other, SELMODE, uint32_t count) {
  if (count == 0 || count % 64 != 0) {
    throw host_model::Fault("Select: count is no multiple of 64");
  }
  host_model::Current().Vector(
      {to.HostModelOperand(count, true), mask.HostModelOperand(count / 8, false), from.HostModelOperand(count, false)});
  for (uint32_t i = 0; i < count; ++i) {
    const bool chosen = (host_detail::Read(mask, i / 8) >> (i % 8) & 1) != 0;
    host_detail::Put(to, i, chosen ? host_detail::Read(from, i) : other);
  }
}

// The largest of `mask` lanes of each repetition; lost NaN are part of the model.
inline void WholeReduceMax(const LocalTensor<float>& to, const LocalTensor<float>& from, int32_t mask, int32_t repeats,
                           int32_t to_stride, int32_t block_stride, int32_t repeat_stride, ReduceOrder) {
  if (mask < 1 || mask > 64 || repeats < 1 || repeats > 255 || to_stride != 1) {
    throw host_model::Fault("WholeReduceMax: mask, repeatTime or dstRepStride is out of range");
  }
  std::vector<host_model::Machine::Operand> operands = {to.HostModelOperand(repeats, true)};
  host_detail::AddRepeats(&operands, from, mask, repeats, block_stride, repeat_stride, false);
  host_model::Current().Vector(operands);
  for (int32_t repeat = 0; repeat < repeats; ++repeat) {
    float most = -INFINITY;
    for (int32_t i = 0; i < mask; ++i) {
      most = host_detail::Larger(host_detail::Read(from, host_detail::Lane(i, repeat, block_stride, repeat_stride, 8)),
                                 most);
    }
    host_detail::Put(to, repeat, most);
  }
}

// Each number fills a 32-byte block, eight of them a repetition.
inline void Brcb(const LocalTensor<float>& to, const LocalTensor<float>& from, uint8_t repeats,
                 const BrcbRepeatParams& params) {
  if (repeats < 1 || params.dstBlkStride != 1 || params.dstRepStride != 8) {
    throw host_model::Fault("Brcb: only dense blocks are modelled");
  }
  host_model::Current().Vector({to.HostModelOperand(repeats * 64, true), from.HostModelOperand(repeats * 8, false)});
  for (int64_t i = 0; i < repeats * 8; ++i) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      host_detail::Put(to, i * 8 + lane, host_detail::Read(from, i));
    }
  }
}

inline void Cast(const LocalTensor<float>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_RINT);
  host_detail::Map(to, from, count, host_detail::Rounded);
}

inline void Cast(const LocalTensor<float>& to, const LocalTensor<int32_t>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_RINT);
  host_detail::Map(to, from, count, [](int32_t x) { return static_cast<float>(x); });
}

inline void Cast(const LocalTensor<half>& to, const LocalTensor<int8_t>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_NONE);
  host_detail::Map(to, from, count, [](int8_t x) { return half{host_model::FloatToHalf(static_cast<float>(x))}; });
}

inline void Cast(const LocalTensor<int8_t>& to, const LocalTensor<half>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_RINT);
  host_detail::Map(to, from, count, [](half x) {
    const float rounded = std::nearbyint(host_model::HalfToFloat(x.bits));
    if (!(rounded >= -128.0F && rounded <= 127.0F)) {
      throw host_model::Fault("Cast: a number that int8 cannot hold; parts differ in what they make of it");
    }
    return static_cast<int8_t>(rounded);
  });
}

#if defined(__NPU_ARCH__) && __NPU_ARCH__ == 3510
inline void Cast(const LocalTensor<fp8_e4m3fn_t>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_RINT);
  host_detail::Map(to, from, count, [](float x) { return fp8_e4m3fn_t{host_detail::EncodeSmall<4, 3>(x, 448.0F)}; });
}

inline void Cast(const LocalTensor<fp8_e5m2_t>& to, const LocalTensor<float>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_RINT);
  host_detail::Map(to, from, count, [](float x) { return fp8_e5m2_t{host_detail::EncodeSmall<5, 2>(x, 57344.0F)}; });
}

inline void Cast(const LocalTensor<float>& to, const LocalTensor<fp8_e4m3fn_t>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_NONE);
  host_detail::Map(to, from, count, [](fp8_e4m3fn_t x) { return host_detail::DecodeSmall<4, 3>(x.bits); });
}

inline void Cast(const LocalTensor<float>& to, const LocalTensor<fp8_e5m2_t>& from, RoundMode mode, uint32_t count) {
  host_detail::CheckMode(mode, RoundMode::CAST_NONE);
  host_detail::Map(to, from, count, [](fp8_e5m2_t x) { return host_detail::DecodeSmall<5, 2>(x.bits); });
}
#endif

}  // namespace AscendC

#endif  // MS_SCATTER_PA_HOST_MODEL_VECTOR_H_
