#include "check.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "duplicates.h"
#include "index_array.h"
#include "layout.h"
#include "op_info.h"
#include "pair.h"

namespace mssp {
namespace {

constexpr MsspStatus kGood = {MSSP_WRITTEN, 0, 0, 0};

MsspStatus BadShape(Argument argument, int64_t given, int64_t expected) {
  return {MSSP_BAD_SHAPES, argument, given, expected};
}

// Dimensions, enumerators and pointers that no caller of the package can get wrong, but a foreign one may: nothing
// after this check can overflow or read through a null pointer.
MsspStatus CheckSide(const MsspCall& call, const MsspSide& side, Argument rows, Argument cache) {
  if (MsspItemSize(side.element_type) == 0) return BadShape(rows, side.element_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (side.head_size < 0) return BadShape(rows, side.head_size, 0);
  if (side.cache == nullptr) return BadShape(cache, 0, 1);
  int64_t bytes = MsspItemSize(side.element_type);
  for (const int64_t dimension : {side.head_size, call.num_head, call.block_size, call.num_blocks}) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return BadShape(cache, dimension, INT64_MAX);
  }
  if (call.layout == MSSP_PA_NZ) {
    const int64_t tail = side.head_size * call.num_head * MsspItemSize(side.element_type) % kUnitBytes;
    if (tail != 0) return BadShape(cache, tail, 0);
  }
  return kGood;
}

bool IsEmpty(const MsspCall& call) { return (IsCompressed(call) ? call.batch : call.num_tokens) == 0; }

MsspStatus CheckDescription(const MsspCall& call) {
  if (call.layout < MSSP_NORM || call.layout > MSSP_NHSD) return BadShape(kKeyCache, call.layout, MSSP_NHSD);
  if (call.scatter_mode < MSSP_NONE || call.scatter_mode > MSSP_OMNI) {
    return BadShape(kCompressLens, call.scatter_mode, MSSP_OMNI);
  }
  if (call.index_type != MSSP_INDEX_INT32 && call.index_type != MSSP_INDEX_INT64) {
    return BadShape(kSlotMapping, call.index_type, MSSP_INDEX_INT64);
  }
  const bool compressed = IsCompressed(call);
  if (compressed && call.layout != MSSP_NORM) return BadShape(kKeyCache, call.layout, MSSP_NORM);
  if (call.num_tokens < 0) return BadShape(kKey, call.num_tokens, 0);
  if (call.num_head < 0) return BadShape(kKey, call.num_head, 0);
  if (call.num_blocks < 0) return BadShape(kKeyCache, call.num_blocks, 0);
  if (call.block_size < 0) return BadShape(kKeyCache, call.block_size, 0);
  int64_t product;
  if (__builtin_mul_overflow(call.num_blocks, call.block_size, &product)) {
    return BadShape(kKeyCache, call.num_blocks, INT64_MAX / call.block_size);
  }
  if (compressed) {
    if (call.batch < 0) return BadShape(kSeqLens, call.batch, 0);
    if (call.seq_len < 0) return BadShape(kKey, call.seq_len, 0);
    if (__builtin_mul_overflow(call.batch, call.num_head, &product)) return BadShape(kSeqLens, call.batch, INT64_MAX);
  }
  if (IsEmpty(call)) return kGood;
  if (call.slot_mapping == nullptr) return BadShape(kSlotMapping, 0, 1);
  if (compressed) {
    if (call.compress_lens == nullptr) return BadShape(kCompressLens, 0, 1);
    if (call.seq_lens == nullptr) return BadShape(kSeqLens, 0, 1);
    if (call.scatter_mode != MSSP_ALIBI && call.compress_seq_offsets == nullptr) {
      return BadShape(kCompressSeqOffsets, 0, 1);
    }
  }
  if (call.key.rows != nullptr) {
    const MsspStatus status = CheckSide(call, call.key, kKey, kKeyCache);
    if (status.code != MSSP_WRITTEN) return status;
  }
  if (call.value.rows != nullptr) return CheckSide(call, call.value, kValue, kValueCache);
  return kGood;
}

template <typename Index>
MsspStatus CheckSlots(const MsspCall& call) {
  constexpr int64_t kChunk = 1024;  // one branch per chunk keeps the loop vectorisable
  const int64_t capacity = Capacity(call);
  for (int64_t begin = 0; begin < call.num_tokens; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, call.num_tokens);
    int64_t highest = -1;
    for (int64_t i = begin; i < end; ++i) highest = std::max(highest, LoadIndex<Index>(call.slot_mapping, i));
    if (highest < capacity) continue;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t slot = LoadIndex<Index>(call.slot_mapping, i);
      if (slot >= capacity) return {MSSP_BAD_SLOT, i, slot, capacity};
    }
  }
  return kGood;
}

// Packed rows: key's rows against sum(seq_lens), where every length is legal by itself.
MsspStatus CheckPackedRows(const MsspCall& call, const IndexArray& lengths) {
  int64_t sum = 0;
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t length = lengths[b];
    if (length < 0 || length > call.num_tokens) return kGood;  // CheckPairs names the pair
    if (__builtin_add_overflow(sum, length, &sum)) return BadShape(kKey, call.num_tokens, INT64_MAX);
  }
  return sum == call.num_tokens ? kGood : BadShape(kKey, call.num_tokens, sum);
}

bool HasBadLength(const Pair& pair, int32_t mode, int64_t* bad) {
  if (mode != MSSP_ALIBI) {
    if (pair.offset == -1 || pair.offset == pair.length) return false;
    if (pair.offset < 0 || pair.offset > pair.length) {
      *bad = pair.offset;
      return true;
    }
  }
  const int64_t room = mode == MSSP_ALIBI ? pair.length : pair.length - pair.offset;
  *bad = pair.count;
  return pair.count < 0 || pair.count > room;
}

MsspStatus CheckPairs(const MsspCall& call) {
  const PairArrays arrays(call);
  const int64_t capacity = Capacity(call);
  const int64_t bound = call.packed ? call.num_tokens : call.seq_len;
  if (call.packed) {
    const MsspStatus status = CheckPackedRows(call, arrays.lengths);
    if (status.code != MSSP_WRITTEN) return status;
  }
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t length = arrays.lengths[b];
    for (int64_t h = 0; h < call.num_head; ++h) {
      const int64_t position = b * call.num_head + h;
      const Pair pair = LoadPair(arrays, call.scatter_mode, position, length);
      if ((call.packed || pair.slot >= 0) && (length < 0 || length > bound)) {
        return {MSSP_BAD_LENGTHS, position, length, bound};
      }
      if (pair.slot < 0) continue;
      int64_t bad;
      if (HasBadLength(pair, call.scatter_mode, &bad)) return {MSSP_BAD_LENGTHS, position, bad, length};
      const int64_t rows = PlanPair(pair, call.scatter_mode).NumRows();
      if (pair.slot > capacity - std::max<int64_t>(rows, 1)) {
        return {MSSP_BAD_SLOT, position, pair.slot, capacity};
      }
    }
  }
  return kGood;
}

MsspStatus CheckValues(const MsspCall& call) {
  if (IsCompressed(call)) return CheckPairs(call);
  return call.index_type == MSSP_INDEX_INT64 ? CheckSlots<int64_t>(call) : CheckSlots<int32_t>(call);
}

}  // namespace

MsspStatus CheckCall(const MsspCall& call) {
  MsspStatus status = CheckDescription(call);
  if (status.code != MSSP_WRITTEN) return status;
  status = CheckValues(call);
  if (status.code != MSSP_WRITTEN || !call.check_duplicates) return status;
  return FindDuplicate(call);
}

}  // namespace mssp
