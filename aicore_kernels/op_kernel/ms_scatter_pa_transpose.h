// The unified buffer's part of PA_NZ and NHSD: rows of groups become groups of rows.
#ifndef MS_SCATTER_PA_TRANSPOSE_H_
#define MS_SCATTER_PA_TRANSPOSE_H_

#include "ms_scatter_pa_dma.h"

namespace mssp {

// [rows][groups] to [groups][rows] of `bytes` each, a multiple of 32, in as few instructions as possible.
__aicore__ inline void Transpose(const Bytes& to, const Bytes& from, int64_t rows, int64_t groups, int64_t bytes) {
  const int64_t blocks = bytes / MSSP_DATA_BLOCK;
  AscendC::DataCopyParams params;
  params.blockLen = static_cast<uint16_t>(blocks);
  if (rows <= groups) {
    params.blockCount = static_cast<uint16_t>(groups);
    params.srcStride = 0;
    params.dstStride = static_cast<uint16_t>((rows - 1) * blocks);
    for (int64_t i = 0; i < rows; ++i) {
      AscendC::DataCopy(to[static_cast<uint32_t>(i * bytes)], from[static_cast<uint32_t>(i * groups * bytes)], params);
    }
    return;
  }
  params.blockCount = static_cast<uint16_t>(rows);
  params.srcStride = static_cast<uint16_t>((groups - 1) * blocks);
  params.dstStride = 0;
  for (int64_t i = 0; i < groups; ++i) {
    AscendC::DataCopy(to[static_cast<uint32_t>(i * rows * bytes)], from[static_cast<uint32_t>(i * bytes)], params);
  }
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_TRANSPOSE_H_
