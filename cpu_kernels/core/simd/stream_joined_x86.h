// Lines that two copies share, put together from 16 bytes at a time: no more than SSE2 has. For inclusion where
// stream_x86.h may be.
#ifndef MS_SCATTER_PA_CORE_SIMD_STREAM_JOINED_X86_H_
#define MS_SCATTER_PA_CORE_SIMD_STREAM_JOINED_X86_H_

#include <cstdint>
#include <cstring>

#include "stream_x86.h"

namespace mssp {
namespace {

inline void StreamJoined(char* to, const char* end, int64_t before, const char* next) {
  if (before % 16 == 0) {  // a whole line, if in parts
    for (int64_t i = 0; i < before; i += 16) Stream16(to + i, Load16(end - before + i));
    for (int64_t i = before; i < kLine; i += 16) Stream16(to + i, Load16(next - before + i));
    return;
  }
  alignas(kLine) char line[kLine];
  std::memcpy(line, end - before, static_cast<size_t>(before));
  std::memcpy(line + before, next, static_cast<size_t>(kLine - before));
  StreamLine(to, LoadLine(line));
}

}  // namespace
}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SIMD_STREAM_JOINED_X86_H_
