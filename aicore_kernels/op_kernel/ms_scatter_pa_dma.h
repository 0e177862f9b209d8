// DMA in bytes between global memory and the unified buffer: the one place that builds DMA descriptors.
#ifndef MS_SCATTER_PA_DMA_H_
#define MS_SCATTER_PA_DMA_H_

#include "kernel_operator.h"
#include "ms_scatter_pa_tiling_data.h"

namespace mssp {

using Bytes = AscendC::LocalTensor<uint8_t>;
using GmBytes = AscendC::GlobalTensor<uint8_t>;

constexpr int64_t kMaxStride = 0xFFFFFFFFLL;

// Makes the pipe named second in EVENT wait for everything issued so far to the one named first.
template <AscendC::HardEvent EVENT>
__aicore__ inline void Sync() {
  const event_t id = static_cast<event_t>(GetTPipePtr()->FetchEventID(EVENT));
  AscendC::SetFlag<EVENT>(id);
  AscendC::WaitFlag<EVENT>(id);
}

// Bytes between bursts that follow each other in the unified buffer: a burst starts at a multiple of 32.
__aicore__ inline int64_t UbPitch(int64_t burst) { return MsspAlignUp(burst); }

// Bursts that one instruction takes of `count`: all, since no buffer holds more than MSSP_MAX_BLOCK_COUNT, unless they
// lie further apart than its stride says.
__aicore__ inline int64_t BurstsAtOnce(int64_t count, int64_t burst, int64_t gm_stride) {
  return count > 1 && gm_stride - burst > kMaxStride ? 1 : count;
}

// `count` bursts of `burst` bytes, `gm_stride` apart in global memory, packed at UbPitch(burst) in the unified buffer.
__aicore__ inline void Load(const Bytes& to, const GmBytes& from, int64_t offset, int64_t count, int64_t burst,
                            int64_t gm_stride) {
  const int64_t now = BurstsAtOnce(count, burst, gm_stride);
  AscendC::DataCopyPadExtParams<uint8_t> pad;
  pad.isPad = !MsspIsAligned(burst);
  pad.rightPadding = static_cast<uint8_t>(UbPitch(burst) - burst);
  AscendC::DataCopyExtParams params;
  params.blockCount = static_cast<uint16_t>(now);
  params.blockLen = static_cast<uint32_t>(burst);
  params.srcStride = now == 1 ? 0 : static_cast<uint32_t>(gm_stride - burst);
  params.dstStride = 0;
  for (int64_t done = 0; done < count; done += now) {
    AscendC::DataCopyPad(to[static_cast<uint32_t>(done * UbPitch(burst))],
                         from[static_cast<uint64_t>(offset + done * gm_stride)], params, pad);
  }
}

// The way back; the bursts lie UbPitch(burst) apart in the unified buffer.
__aicore__ inline void Store(const GmBytes& to, int64_t offset, const Bytes& from, int64_t from_offset, int64_t count,
                             int64_t burst, int64_t gm_stride) {
  const int64_t now = BurstsAtOnce(count, burst, gm_stride);
  AscendC::DataCopyExtParams params;
  params.blockCount = static_cast<uint16_t>(now);
  params.blockLen = static_cast<uint32_t>(burst);
  params.srcStride = 0;
  params.dstStride = now == 1 ? 0 : static_cast<uint32_t>(gm_stride - burst);
  for (int64_t done = 0; done < count; done += now) {
    AscendC::DataCopyPad(to[static_cast<uint64_t>(offset + done * gm_stride)],
                         from[static_cast<uint32_t>(from_offset + done * UbPitch(burst))], params);
  }
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_DMA_H_
