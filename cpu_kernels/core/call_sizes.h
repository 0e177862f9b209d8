// Sizes and strides of a call in bytes. Everything here is 64-bit; check.cc has proved that nothing overflows.
#ifndef MS_SCATTER_PA_CORE_CALL_SIZES_H_
#define MS_SCATTER_PA_CORE_CALL_SIZES_H_

#include <cstdint>

#include "op_info.h"
#include "scatter_pa.h"

namespace mssp {

// PA_NZ stores a token in units of 32 bytes, one per group of channels.
inline constexpr int64_t kUnitBytes = 32;

inline constexpr int64_t kLine = 64;  // of the processor's caches

inline constexpr int64_t kPrefetchBytes = 8192;

inline int64_t Capacity(const MsspCall& call) { return call.num_blocks * call.block_size; }
inline bool IsCompressed(const MsspCall& call) { return call.scatter_mode != MSSP_NONE; }

// Whether rows are [B, S, N, D].
inline bool HasBatch(const MsspCall& call) { return IsCompressed(call) && call.packed == 0; }
inline int64_t NumRows(const MsspCall& call) { return HasBatch(call) ? call.batch * call.seq_len : call.num_tokens; }

// One side of the call (K or V).
struct SideView {
  const char* rows;
  char* cache;
  int64_t head_bytes;    // D
  int64_t token_bytes;   // N * D
  int64_t batch_stride;  // of rows
  int64_t token_stride;
  int64_t head_stride;
  int64_t num_head;
  int64_t block_size;
  int64_t head_size;
  int32_t element_type;

  bool IsPresent() const { return rows != nullptr && token_bytes > 0; }
  bool HeadsAreContiguous() const { return head_stride == head_bytes || num_head == 1; }

  // Bytes from a token's row to the row that should be on its way meanwhile.
  int64_t PrefetchDistance(int64_t ahead = kPrefetchBytes) const {
    return (ahead + token_bytes - 1) / token_bytes * token_stride;
  }
};

inline SideView ViewSide(const MsspCall& call, const MsspSide& side) {
  SideView view{};
  if (side.rows == nullptr) return view;  // whatever its other fields say
  const int64_t itemsize = MsspItemSize(side.element_type);
  view.rows = static_cast<const char*>(side.rows);
  view.cache = static_cast<char*>(side.cache);
  view.head_bytes = side.head_size * itemsize;
  view.token_bytes = view.head_bytes * call.num_head;
  // The stride of a dimension of one step may be any number.
  const bool has_batch = HasBatch(call);
  view.batch_stride = has_batch && call.batch > 1 ? side.batch_stride * itemsize : 0;
  view.token_stride =
      (has_batch ? call.seq_len : call.num_tokens) > 1 ? side.token_stride * itemsize : view.token_bytes;
  view.head_stride = call.num_head > 1 ? side.head_stride * itemsize : view.head_bytes;
  view.num_head = call.num_head;
  view.block_size = call.block_size;
  view.head_size = side.head_size;
  view.element_type = side.element_type;
  return view;
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_CALL_SIZES_H_
