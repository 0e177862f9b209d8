// Between rows, float32 and codes: widening, saturation, rounding. Names of the 8-bit floats exist on 950 parts only.
#ifndef MS_SCATTER_PA_CODES_H_
#define MS_SCATTER_PA_CODES_H_

#include "ms_scatter_pa_vector.h"

namespace mssp {

constexpr uint32_t kQuietNanWord = 0x7FC00000U;

__aicore__ inline float LargestCode(int32_t cache_type) {
  if (cache_type == MSSP_FLOAT8_E4M3FN) {
    return 448.0f;
  }
  return cache_type == MSSP_FLOAT8_E5M2 ? 57344.0f : 127.0f;
}

class Codes {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, int64_t elements) {
    pipe->InitBuffer(halves_, static_cast<uint32_t>(elements * 2));
    pipe->InitBuffer(mask_, static_cast<uint32_t>(MsspAlignUp(WholeVectors(elements) / 8)));
  }

  // Rows of any of the three float types as float32.
  __aicore__ inline static void Widen(const Floats& to, const Bytes& rows, int32_t row_type, int64_t count) {
    const uint32_t number = static_cast<uint32_t>(count);
    if (row_type == MSSP_FLOAT16) {
      AscendC::Cast(to, rows.ReinterpretCast<half>(), AscendC::RoundMode::CAST_NONE, number);
    } else if (row_type == MSSP_BFLOAT16) {
      AscendC::Cast(to, rows.ReinterpretCast<bfloat16_t>(), AscendC::RoundMode::CAST_NONE, number);
    } else {
      AscendC::DataCopy(to, rows.ReinterpretCast<float>(), number);
    }
    VectorBarrier();
  }

  // The way back, one rounding.
  __aicore__ inline static void Narrow(const Bytes& rows, const Floats& from, int32_t row_type, int64_t count) {
    const uint32_t number = static_cast<uint32_t>(count);
    if (row_type == MSSP_FLOAT16) {
      AscendC::Cast(rows.ReinterpretCast<half>(), from, AscendC::RoundMode::CAST_RINT, number);
    } else if (row_type == MSSP_BFLOAT16) {
      AscendC::Cast(rows.ReinterpretCast<bfloat16_t>(), from, AscendC::RoundMode::CAST_RINT, number);
    } else {
      AscendC::DataCopy(rows.ReinterpretCast<float>(), from, number);
    }
    VectorBarrier();
  }

  // saturate(round(x)); `lowest` is the least int8 code. A NaN becomes 0 in int8 and stays one in float8. `x` is used
  // up and holds whole vectors.
  __aicore__ inline void Round(const Bytes& codes, const Floats& x, int32_t cache_type, float lowest, int64_t count) {
    const bool integers = cache_type == MSSP_INT8;
    const float largest = LargestCode(cache_type);
    const uint32_t whole = static_cast<uint32_t>(WholeVectors(count));
    AscendC::LocalTensor<uint8_t> numbers = mask_.Get<uint8_t>();
    AscendC::Compare(numbers, x, x, AscendC::CMPMODE::EQ, whole);
    VectorBarrier();
    AscendC::Mins(x, x, largest, static_cast<int32_t>(count));
    VectorBarrier();
    AscendC::Maxs(x, x, integers ? lowest : -largest, static_cast<int32_t>(count));
    VectorBarrier();
    AscendC::Select(x, numbers, x, integers ? 0.0f : Nan(), AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE, whole);
    VectorBarrier();
    if (integers) {
      RoundToInt8(codes, x, count);
    } else {
      RoundToFloat8(codes, x, cache_type, count);
    }
  }

  // Codes as float32.
  __aicore__ inline void Decode(const Floats& to, const Bytes& codes, int32_t cache_type, int64_t count) {
    const uint32_t number = static_cast<uint32_t>(count);
    if (cache_type == MSSP_INT8) {
      AscendC::LocalTensor<half> halves = halves_.Get<half>();
      AscendC::Cast(halves, codes.ReinterpretCast<int8_t>(), AscendC::RoundMode::CAST_NONE, number);
      VectorBarrier();
      AscendC::Cast(to, halves, AscendC::RoundMode::CAST_NONE, number);
    }
#ifdef MS_SCATTER_PA_ON_950
    if (cache_type == MSSP_FLOAT8_E4M3FN) {
      AscendC::Cast(to, codes.ReinterpretCast<fp8_e4m3fn_t>(), AscendC::RoundMode::CAST_NONE, number);
    } else if (cache_type == MSSP_FLOAT8_E5M2) {
      AscendC::Cast(to, codes.ReinterpretCast<fp8_e5m2_t>(), AscendC::RoundMode::CAST_NONE, number);
    }
#endif
    VectorBarrier();
  }

 private:
  union Word {
    uint32_t bits;
    float number;
  };

  __aicore__ inline static float Nan() {
    Word word;
    word.bits = kQuietNanWord;
    return word.number;
  }

  // The integer is found in float32, where ties are still ties; what follows is exact.
  __aicore__ inline void RoundToInt8(const Bytes& codes, const Floats& x, int64_t count) {
    const uint32_t number = static_cast<uint32_t>(count);
    AscendC::LocalTensor<half> halves = halves_.Get<half>();
    AscendC::Cast(x, x, AscendC::RoundMode::CAST_RINT, number);
    VectorBarrier();
    AscendC::Cast(halves, x, AscendC::RoundMode::CAST_RINT, number);
    VectorBarrier();
    AscendC::Cast(codes.ReinterpretCast<int8_t>(), halves, AscendC::RoundMode::CAST_RINT, number);
    VectorBarrier();
  }

  __aicore__ inline static void RoundToFloat8(const Bytes& codes, const Floats& x, int32_t cache_type, int64_t count) {
#ifdef MS_SCATTER_PA_ON_950
    const uint32_t number = static_cast<uint32_t>(count);
    if (cache_type == MSSP_FLOAT8_E4M3FN) {
      AscendC::Cast(codes.ReinterpretCast<fp8_e4m3fn_t>(), x, AscendC::RoundMode::CAST_RINT, number);
    } else {
      AscendC::Cast(codes.ReinterpretCast<fp8_e5m2_t>(), x, AscendC::RoundMode::CAST_RINT, number);
    }
    VectorBarrier();
#else
    (void)codes;
    (void)x;
    (void)cache_type;
    (void)count;
#endif
  }

  AscendC::TBuf<AscendC::TPosition::VECCALC> halves_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> mask_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_CODES_H_
