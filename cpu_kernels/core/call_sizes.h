// Sizes and strides of a call in bytes. Everything here is 64-bit; check.cc has proved that nothing overflows.
#ifndef MS_SCATTER_PA_CORE_CALL_SIZES_H_
#define MS_SCATTER_PA_CORE_CALL_SIZES_H_

#include <cstdint>

#include "op_info.h"
#include "scatter_pa.h"

// For functions that do nothing but fetch: GCC drops calls of them that it has not inlined early, as they have no
// result.
#define MSSP_ALWAYS_INLINE __attribute__((always_inline)) inline

namespace mssp {

// PA_NZ stores a token in units of 32 bytes, one per group of channels.
inline constexpr int64_t kUnitBytes = MSSP_UNIT_BYTES;

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
  int64_t slot_bytes;    // of the cache: a token, or one head of it in a compressed mode
  int64_t block_stride;  // of the cache
  int64_t batch_stride;  // of rows
  int64_t token_stride;
  int64_t head_stride;
  int64_t num_head;
  int64_t block_size;
  int block_shift;  // block_size = 1 << block_shift; -1: no power of two. A division takes as long as a short copy
  int64_t head_size;
  int32_t element_type;

  bool IsPresent() const { return rows != nullptr && token_bytes > 0; }
  bool HeadsAreContiguous() const { return head_stride == head_bytes || num_head == 1; }

  // Or there are others in between, of an interleaved cache.
  bool BlocksAreContiguous() const { return block_stride == block_size * slot_bytes; }

  // Slots are not negative here.
  int64_t BlockOf(int64_t slot) const { return block_shift >= 0 ? slot >> block_shift : slot / block_size; }
  int64_t OffsetOf(int64_t slot) const { return slot - BlockOf(slot) * block_size; }  // in its block

  // Where a slot's block begins.
  char* Block(int64_t slot) const { return cache + BlockOf(slot) * block_stride; }

  // Where a slot's bytes are, if they are in one piece.
  char* Slot(int64_t slot) const {
    if (BlocksAreContiguous()) return cache + slot * slot_bytes;
    return Block(slot) + OffsetOf(slot) * slot_bytes;
  }

  // Slots from this one on whose bytes follow one another.
  int64_t SlotsTogether(int64_t slot) const { return BlocksAreContiguous() ? INT64_MAX : block_size - OffsetOf(slot); }

  // Bytes from a token's row to the row that should be on its way meanwhile.
  int64_t PrefetchDistance(int64_t ahead = kPrefetchBytes) const {
    return (ahead + token_bytes - 1) / token_bytes * token_stride;
  }
};

// How slots of `slot_bytes` lie in the cache; `block_stride` is in bytes, 0 where blocks follow one another.
inline void SetBlocks(SideView* view, int64_t block_size, int64_t slot_bytes, int64_t block_stride) {
  view->block_size = block_size;
  const bool is_power_of_two = (block_size & (block_size - 1)) == 0;
  view->block_shift = is_power_of_two ? __builtin_ctzll(static_cast<uint64_t>(block_size)) : -1;
  view->slot_bytes = slot_bytes;
  view->block_stride = block_stride != 0 ? block_stride : block_size * slot_bytes;
}

inline SideView ViewSide(const MsspCall& call, const MsspSide& side) {
  SideView view{};
  if (side.rows == nullptr) return view;  // whatever its other fields say
  const int64_t itemsize = MsspItemSize(side.element_type);
  view.rows = static_cast<const char*>(side.rows);
  view.cache = static_cast<char*>(side.cache);
  view.head_bytes = side.head_size * itemsize;
  view.token_bytes = view.head_bytes * call.num_head;
  SetBlocks(&view, call.block_size, IsCompressed(call) ? view.head_bytes : view.token_bytes,
            call.num_blocks > 1 ? side.block_stride * itemsize : 0);
  // The stride of a dimension of one step may be any number.
  const bool has_batch = HasBatch(call);
  view.batch_stride = has_batch && call.batch > 1 ? side.batch_stride * itemsize : 0;
  view.token_stride =
      (has_batch ? call.seq_len : call.num_tokens) > 1 ? side.token_stride * itemsize : view.token_bytes;
  view.head_stride = call.num_head > 1 ? side.head_stride * itemsize : view.head_bytes;
  view.num_head = call.num_head;
  view.head_size = side.head_size;
  view.element_type = side.element_type;
  return view;
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_CALL_SIZES_H_
