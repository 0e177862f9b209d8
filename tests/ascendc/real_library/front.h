// What CANN's device compiler has built in, for clang: qualifiers, types, and the builtins that the kernel reaches. The
// others are generated from what clang does not find. Address spaces are clang's, so that a wrong one is an error; 256
// is relative to a segment register, which gives the unified buffer the chip's addresses, from 0 on.
#ifndef MS_SCATTER_PA_REAL_LIBRARY_FRONT_H_
#define MS_SCATTER_PA_REAL_LIBRARY_FRONT_H_

#include <stddef.h>
#include <stdint.h>

#define __aicore__
#define __host_aicore__
#define __global__
#define __sync_alias__
#define __gm__ __attribute__((address_space(1)))
#define __ubuf__ __attribute__((address_space(256)))
#define __cbuf__ __attribute__((address_space(3)))
#define __ca__ __attribute__((address_space(4)))
#define __cb__ __attribute__((address_space(5)))
#define __cc__ __attribute__((address_space(6)))
#define __fbuf__ __attribute__((address_space(7)))
#define __ssbuf__ __attribute__((address_space(8)))
#define __biasbuf__ __attribute__((address_space(9)))
#define __simd_callee__
#define __simd_vf__
#define __simt_callee__
#define __simt_vf__
#define __in_pipe__(...)
#define __out_pipe__(...)
#define __inout_pipe__(...)
#define __check_sync_alias__
#define __force_inline__
enum pipe_t {
  PIPE_S,
  PIPE_V,
  PIPE_M,
  PIPE_MTE1,
  PIPE_MTE2,
  PIPE_MTE3,
  PIPE_ALL,
  PIPE_MTE4,
  PIPE_MTE5,
  PIPE_V2,
  PIPE_FIX
};
enum event_t { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };
enum cache_line_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum dcci_dst_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };
enum mem_t { L1, L0A, L0B, L0C, UB, BT };
enum class Order_t { VALUE_INDEX, INDEX_VALUE, ONLY_VALUE, ONLY_INDEX };
enum addr_cal_mode_t { inc, dec };
enum ub_addr8_t { VA0, VA1, VA2, VA3, VA4, VA5, VA6, VA7 };
struct half {
  uint16_t bits;
  half() = default;
  half(float) {}
  half(double) {}
  half(int) {}
  half(uint64_t) {}
  half(int64_t) {}
  operator float() const { return 0; }
};
struct bfloat16_t {
  uint16_t bits;
  bfloat16_t() = default;
  bfloat16_t(float) {}
  operator float() const { return 0; }
};
struct vector_bool {};
enum pad_t {
  PAD_NONE,
  PAD_MODE1,
  PAD_MODE2,
  PAD_MODE3,
  PAD_MODE4,
  PAD_MODE5,
  PAD_MODE6,
  PAD_MODE7,
  PAD_MODE8,
  PAD_SIZE
};
enum mem_dsb_t { DSB_ALL, DSB_DDR, DSB_UB, DSB_SEQ };
enum atomic_type_t { ATOMIC_NONE, ATOMIC_F32, ATOMIC_F16, ATOMIC_S16, ATOMIC_S32, ATOMIC_S8, ATOMIC_BF16 };
enum atomic_op_t { ATOMIC_SUM, ATOMIC_MAX, ATOMIC_MIN };
namespace bisheng {
namespace cce {
inline void metrics_prof_start() {}
inline void metrics_prof_stop() {}
}  // namespace cce
}  // namespace bisheng
template <typename To, typename From>
inline To GmCast(From from) {
  return (To)(uintptr_t)from;
}
#define GET_TILING_DATA(name, address) \
  MsScatterPaKvCacheTiling name;       \
  __builtin_memcpy(&name, (const void*)(address), sizeof(name))
enum va_half_t { L128, H128 };

#endif  // MS_SCATTER_PA_REAL_LIBRARY_FRONT_H_
