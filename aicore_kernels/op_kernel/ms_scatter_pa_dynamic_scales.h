// Scales per token and head: max|x| / qmax in float32, 1 where that is 0, NaN where a number is.
#ifndef MS_SCATTER_PA_DYNAMIC_SCALES_H_
#define MS_SCATTER_PA_DYNAMIC_SCALES_H_

#include "ms_scatter_pa_vector.h"

namespace mssp {

class DynamicScales {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, int64_t elements, int64_t most_head_rows) {
    const int64_t width = static_cast<int64_t>(sizeof(float));
    most_head_rows_ = WholeBlocks(most_head_rows);
    pipe->InitBuffer(magnitudes_, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(folded_, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(flags_, static_cast<uint32_t>(elements * width));
    pipe->InitBuffer(small_, static_cast<uint32_t>(4 * most_head_rows_ * width));
  }

  // For rows that become codes of up to `largest`.
  __aicore__ inline void Start(float largest) {
    VectorBarrier();
    AscendC::Duplicate(Small(0), 0.0f, static_cast<int32_t>(3 * most_head_rows_));
    AscendC::Duplicate(Small(3), largest, static_cast<int32_t>(most_head_rows_));
    VectorBarrier();
  }

  // The scales of x, [head_rows][head_size].
  __aicore__ inline void Compute(const Floats& scales, const Floats& x, int64_t head_rows, int64_t head_size) {
    const int64_t lanes = MsspMin(head_size, MSSP_VECTOR_FLOATS);
    const Words words = Fold(x, head_rows, head_size);
    const int64_t pitch = head_size > MSSP_VECTOR_FLOATS ? MSSP_VECTOR_FLOATS : head_size;
    const int32_t count = static_cast<int32_t>(head_rows * pitch);
    // Vector units may lose a NaN in a maximum, so what is above infinity is counted in integers.
    Words flags = flags_.Get<int32_t>();
    AscendC::Maxs(flags, words, kInfinityWord, count);
    VectorBarrier();
    AscendC::Adds(flags, flags, -kInfinityWord, count);
    VectorBarrier();
    AscendC::Cast(flags_.Get<float>(), flags, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(count));
    AscendC::Mins(words, words, kInfinityWord, count);
    VectorBarrier();
    Reduce(Small(0), words.ReinterpretCast<float>(), lanes, head_rows, pitch);
    Reduce(Small(1), flags_.Get<float>(), lanes, head_rows, pitch);
    VectorBarrier();
    Divide(scales, Small(0), Small(3), static_cast<int32_t>(WholeBlocks(head_rows)));
    VectorBarrier();
    OneForZero(scales, static_cast<int32_t>(WholeBlocks(head_rows)));
    NanForFlag(scales, static_cast<int32_t>(WholeBlocks(head_rows)));
  }

 private:
  // The magnitudes' bits, which rise with them, by vectors' maximum: at most 64 of them left of each head row.
  __aicore__ inline Words Fold(const Floats& x, int64_t head_rows, int64_t head_size) {
    AscendC::LocalTensor<uint32_t> bits = magnitudes_.Get<uint32_t>();
    const int32_t count = static_cast<int32_t>(head_rows * head_size);
    AscendC::ShiftLeft(bits, x.ReinterpretCast<uint32_t>(), 1U, count);
    VectorBarrier();
    AscendC::ShiftRight(bits, bits, 1U, count);
    VectorBarrier();
    const Words words = magnitudes_.Get<int32_t>();
    if (head_size <= MSSP_VECTOR_FLOATS) {
      return words;
    }
    const Words folded = folded_.Get<int32_t>();
    AscendC::BinaryRepeatParams params;
    params.dstBlkStride = 1;
    params.src0BlkStride = 1;
    params.src1BlkStride = 1;
    params.dstRepStride = 8;
    params.src0RepStride = static_cast<uint8_t>(head_size / MSSP_BLOCK_FLOATS);
    params.src1RepStride = params.src0RepStride;
    AscendC::Max(folded, words, words, static_cast<uint64_t>(MSSP_VECTOR_FLOATS), static_cast<uint8_t>(head_rows),
                 params);
    VectorBarrier();
    params.src0RepStride = 8;
    for (int64_t column = MSSP_VECTOR_FLOATS; column < head_size; column += MSSP_VECTOR_FLOATS) {
      const uint64_t mask = static_cast<uint64_t>(MsspMin(head_size - column, MSSP_VECTOR_FLOATS));
      AscendC::Max(folded, folded, words[static_cast<uint32_t>(column)], mask, static_cast<uint8_t>(head_rows), params);
      VectorBarrier();
    }
    return folded;
  }

  __aicore__ inline static void Reduce(const Floats& to, const Floats& from, int64_t lanes, int64_t head_rows,
                                       int64_t pitch) {
    AscendC::WholeReduceMax(to, from, static_cast<int32_t>(lanes), static_cast<int32_t>(head_rows), 1, 1,
                            static_cast<int32_t>(pitch / MSSP_BLOCK_FLOATS), AscendC::ReduceOrder::ORDER_ONLY_VALUE);
  }

  __aicore__ inline void OneForZero(const Floats& scales, int32_t count) {
    const Words bits = scales.ReinterpretCast<int32_t>();
    const Words ones = Small(2).ReinterpretCast<int32_t>();
    AscendC::Mins(ones, bits, 1, count);
    VectorBarrier();
    AscendC::Muls(ones, ones, -kOneWord, count);
    VectorBarrier();
    AscendC::Adds(ones, ones, kOneWord, count);
    VectorBarrier();
    AscendC::Add(bits, bits, ones, count);
    VectorBarrier();
  }

  // A flag of 1 or more becomes infinity - infinity.
  __aicore__ inline void NanForFlag(const Floats& scales, int32_t count) {
    const Floats flags = Small(1);
    AscendC::Mins(flags, flags, 1.0f, count);
    VectorBarrier();
    AscendC::Muls(flags, flags, 3e38f, count);
    VectorBarrier();
    AscendC::Muls(flags, flags, 10.0f, count);
    VectorBarrier();
    AscendC::Sub(flags, flags, flags, count);
    VectorBarrier();
    AscendC::Add(scales, scales, flags, count);
    VectorBarrier();
  }

  // One of four lists with a number for each head row: maxima, flags, ones, the largest code.
  __aicore__ inline Floats Small(int64_t list) {
    return small_.Get<float>()[static_cast<uint32_t>(list * most_head_rows_)];
  }

  FloatBuffer magnitudes_;
  FloatBuffer folded_;
  FloatBuffer flags_;
  FloatBuffer small_;
  int64_t most_head_rows_;
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_DYNAMIC_SCALES_H_
