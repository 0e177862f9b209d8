// Vector arithmetic on tiles of head rows (heads of tokens), [head_rows][head_size] in float32; head_size is a multiple
// of 32.
#ifndef MS_SCATTER_PA_VECTOR_H_
#define MS_SCATTER_PA_VECTOR_H_

#include "ms_scatter_pa_dma.h"
#include "ms_scatter_pa_paged_tiling_data.h"

#if defined(__NPU_ARCH__) && __NPU_ARCH__ == 3510
#define MS_SCATTER_PA_ON_950 1
#endif

namespace mssp {

using Floats = AscendC::LocalTensor<float>;
using Words = AscendC::LocalTensor<int32_t>;
using FloatBuffer = AscendC::TBuf<AscendC::TPosition::VECCALC>;

constexpr int32_t kInfinityWord = 0x7F800000;
constexpr int32_t kOneWord = 0x3F800000;

__aicore__ inline void VectorBarrier() { AscendC::PipeBarrier<PIPE_V>(); }

enum class HeadRowOperation { kDivide, kMultiply, kAdd, kSubtract };

#ifdef MS_SCATTER_PA_ON_950
// Correctly rounded, subnormal numbers included; the default there flushes them.
constexpr AscendC::DivConfig kExactDivision = {AscendC::DivAlgo::PRECISION_0ULP_FTZ_FALSE};

__aicore__ inline void Divide(const Floats& to, const Floats& a, const Floats& b, int32_t count) {
  AscendC::Div<float, kExactDivision>(to, a, b, count);
}

__aicore__ inline void Divide(const Floats& to, const Floats& a, const Floats& b, uint64_t mask, uint8_t repeats,
                              const AscendC::BinaryRepeatParams& params) {
  AscendC::Div<float, true, kExactDivision>(to, a, b, mask, repeats, params);
}
#else
__aicore__ inline void Divide(const Floats& to, const Floats& a, const Floats& b, int32_t count) {
  AscendC::Div(to, a, b, count);
}

__aicore__ inline void Divide(const Floats& to, const Floats& a, const Floats& b, uint64_t mask, uint8_t repeats,
                              const AscendC::BinaryRepeatParams& params) {
  AscendC::Div(to, a, b, mask, repeats, params);
}
#endif

// x[head_row] = x[head_row] OPERATION the number of the head row, which fills its 32-byte block of `blocks`; with
// `stride` 0 all head rows have the first block's.
template <HeadRowOperation OPERATION>
__aicore__ inline void ForHeadRows(const Floats& x, const Floats& blocks, int64_t head_rows, int64_t head_size,
                                   uint8_t stride = 1) {
  AscendC::BinaryRepeatParams params;
  params.dstBlkStride = 1;
  params.src0BlkStride = 1;
  params.src1BlkStride = 0;
  params.dstRepStride = static_cast<uint8_t>(head_size / MSSP_BLOCK_FLOATS);
  params.src0RepStride = params.dstRepStride;
  params.src1RepStride = stride;
  const uint8_t repeats = static_cast<uint8_t>(head_rows);
  for (int64_t column = 0; column < head_size; column += MSSP_VECTOR_FLOATS) {
    const uint64_t mask = static_cast<uint64_t>(MsspMin(head_size - column, MSSP_VECTOR_FLOATS));
    const Floats part = x[static_cast<uint32_t>(column)];
    if (OPERATION == HeadRowOperation::kDivide) {
      Divide(part, part, blocks, mask, repeats, params);
    } else if (OPERATION == HeadRowOperation::kMultiply) {
      AscendC::Mul(part, part, blocks, mask, repeats, params);
    } else if (OPERATION == HeadRowOperation::kAdd) {
      AscendC::Add(part, part, blocks, mask, repeats, params);
    } else {
      AscendC::Sub(part, part, blocks, mask, repeats, params);
    }
  }
  VectorBarrier();
}

// The same with a number for each channel of a row: `channels` begins with those of the first head row, and tokens of
// `heads` head rows follow each other; a tile of one token may end before its last head.
template <HeadRowOperation OPERATION>
__aicore__ inline void ForChannels(const Floats& x, const Floats& channels, int64_t head_rows, int64_t heads,
                                   int64_t head_size) {
  for (int64_t head_row = 0; head_row < head_rows; head_row += heads) {
    const int32_t count = static_cast<int32_t>(MsspMin(heads, head_rows - head_row) * head_size);
    const Floats row = x[static_cast<uint32_t>(head_row * head_size)];
    if (OPERATION == HeadRowOperation::kDivide) {
      Divide(row, row, channels, count);
    } else if (OPERATION == HeadRowOperation::kMultiply) {
      AscendC::Mul(row, row, channels, count);
    } else if (OPERATION == HeadRowOperation::kAdd) {
      AscendC::Add(row, row, channels, count);
    } else {
      AscendC::Sub(row, row, channels, count);
    }
  }
  VectorBarrier();
}

// Each of `count` numbers fills a 32-byte block.
__aicore__ inline void Spread(const Floats& blocks, const Floats& numbers, int64_t count) {
  AscendC::BrcbRepeatParams params;
  params.dstBlkStride = 1;
  params.dstRepStride = 8;
  AscendC::Brcb(blocks, numbers, static_cast<uint8_t>((count + 7) / 8), params);
  VectorBarrier();
}

__aicore__ inline int64_t WholeVectors(int64_t count) { return (count + MSSP_VECTOR_FLOATS - 1) & -MSSP_VECTOR_FLOATS; }

__aicore__ inline int64_t WholeBlocks(int64_t count) { return (count + MSSP_BLOCK_FLOATS - 1) & -MSSP_BLOCK_FLOATS; }

}  // namespace mssp

#endif  // MS_SCATTER_PA_VECTOR_H_
