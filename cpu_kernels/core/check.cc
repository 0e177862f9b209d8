#include "check.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "call_sizes.h"
#include "duplicates.h"
#include "indices.h"
#include "op_info.h"
#include "overlap.h"
#include "pair.h"

namespace mssp {
namespace {

constexpr MsspStatus kGood = {MSSP_WRITTEN, 0, 0, 0};

MsspStatus BadShape(int64_t argument, int64_t given, int64_t expected) {
  return {MSSP_BAD_SHAPES, argument, given, expected};
}

// A dimension as messages give it: the least that is legal, or a size that no memory has.
MsspStatus CheckDimension(int64_t argument, int64_t given, int64_t least) {
  if (given < least) return BadShape(argument, given, least);
  return given > kMaxBytes ? BadShape(argument, given, kMaxBytes) : kGood;
}

bool IsEmpty(const MsspCall& call) { return (IsCompressed(call) ? call.batch : call.num_tokens) == 0; }

MsspStatus CheckSide(const MsspCall& call, const MsspSide& side, Argument rows, Argument cache) {
  if (side.element_type < 0 || side.element_type >= MSSP_NUM_ELEMENT_TYPES) {
    return BadShape(rows, side.element_type, MSSP_NUM_ELEMENT_TYPES - 1);
  }
  const MsspStatus status = CheckDimension(rows, side.head_size, 1);
  if (status.code != MSSP_WRITTEN) return status;
  const int64_t itemsize = MsspItemSize(side.element_type);
  const int64_t heads = IsCompressed(call) ? 1 : call.num_head;
  int64_t bytes;
  if (!Multiply(&bytes, itemsize, side.head_size, heads, call.block_size, std::max<int64_t>(call.num_blocks, 1))) {
    return BadShape(cache, call.num_blocks, kMaxBytes);
  }
  if (call.layout == MSSP_PA_NZ && itemsize * side.head_size * heads % MSSP_UNIT_BYTES != 0) {
    return BadShape(cache, itemsize * side.head_size * heads % MSSP_UNIT_BYTES, 0);
  }
  const bool has_batch = HasBatch(call);
  const int64_t batch = has_batch ? call.batch : 1;
  const int64_t tokens = has_batch ? call.seq_len : call.num_tokens;
  // Of rows that are one and the same memory too, so that no count of them overflows.
  if (!Multiply(&bytes, itemsize, side.head_size, call.num_head, std::max<int64_t>(tokens, 1),
                std::max<int64_t>(batch, 1))) {
    return BadShape(rows, tokens, kMaxBytes);
  }
  const int64_t block = side.head_size * heads * call.block_size;
  if (side.block_stride != 0 && call.num_blocks > 1 && side.block_stride < block) {
    return BadShape(cache, side.block_stride, block);
  }
  Region region;
  if (!RowsRegion(call, side, &region)) return BadShape(rows, side.token_stride, kMaxBytes);
  if (!CacheRegion(call, side, &region)) return BadShape(cache, call.num_blocks, kMaxBytes);
  if (side.cache == nullptr && Capacity(call) > 0 && !IsEmpty(call)) return BadShape(cache, 0, 1);
  return kGood;
}

MsspStatus CheckIndices(const MsspCall& call) {
  const bool compressed = IsCompressed(call);
  const struct {
    int argument;
    const void* data;
    bool given;
  } indices[] = {{kSlotMapping, call.slot_mapping, true},
                 {kCompressLens, call.compress_lens, compressed},
                 {kCompressSeqOffsets, call.compress_seq_offsets, compressed && call.scatter_mode != MSSP_ALIBI},
                 {kSeqLens, call.seq_lens, compressed}};
  for (const auto& index : indices) {
    if (!index.given) continue;
    const int64_t count = IndexCount(call, index.argument);
    Region region;
    if (count > 0 && index.data == nullptr) return BadShape(index.argument, 0, count);
    if (!SpanOf(index.data, &count, nullptr, 1, MsspIndexSize(call.index_type), &region)) {
      return BadShape(index.argument, count, kMaxBytes);
    }
  }
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

}  // namespace

int64_t IndexCount(const MsspCall& call, int argument) {
  if (!IsCompressed(call)) return argument == kSlotMapping ? call.num_tokens : 0;
  if (argument == kCompressSeqOffsets && call.scatter_mode == MSSP_ALIBI) return 0;
  return argument == kSeqLens ? call.batch : call.batch * call.num_head;
}

int64_t IndexBytes(const MsspCall& call) {
  int64_t count = 0;
  for (int i = kSlotMapping; i <= kSeqLens; ++i) count += IndexCount(call, i);
  return count * MsspIndexSize(call.index_type);
}

bool RowsRegion(const MsspCall& call, const MsspSide& side, Region* region) {
  const bool has_batch = HasBatch(call);
  const int64_t shape[] = {has_batch ? call.batch : 1, has_batch ? call.seq_len : call.num_tokens, call.num_head,
                           side.head_size};
  const int64_t strides[] = {side.batch_stride, side.token_stride, side.head_stride, 1};
  return RegionOf(side.rows, shape, strides, 4, MsspItemSize(side.element_type), region);
}

bool CacheRegion(const MsspCall& call, const MsspSide& side, Region* region) {
  const int64_t block = call.block_size * (IsCompressed(call) ? 1 : call.num_head) * side.head_size;
  const int64_t shape[] = {call.num_blocks, block};
  const int64_t strides[] = {side.block_stride != 0 ? side.block_stride : block, 1};
  return RegionOf(side.cache, shape, strides, 2, MsspItemSize(side.element_type), region);
}

MsspStatus CheckDescription(const MsspCall& call) {
  if (call.layout < 0 || call.layout >= MSSP_NUM_LAYOUTS) return BadShape(kKeyCache, call.layout, MSSP_NUM_LAYOUTS - 1);
  if (call.scatter_mode < 0 || call.scatter_mode >= MSSP_NUM_SCATTER_MODES) {
    return BadShape(kCompressLens, call.scatter_mode, MSSP_NUM_SCATTER_MODES - 1);
  }
  if (call.index_type < 0 || call.index_type >= MSSP_NUM_INDEX_TYPES) {
    return BadShape(kSlotMapping, call.index_type, MSSP_NUM_INDEX_TYPES - 1);
  }
  const bool compressed = IsCompressed(call);
  const bool has_tokens = !HasBatch(call);
  if (compressed && call.layout != MSSP_NORM) return BadShape(kKeyCache, call.layout, MSSP_NORM);
  const struct {
    int argument;
    int64_t given;
    int64_t least;
    bool used;
  } dimensions[] = {{kKey, call.num_tokens, 0, has_tokens}, {kKey, call.num_head, 1, true},
                    {kKeyCache, call.num_blocks, 0, true},  {kKeyCache, call.block_size, 1, true},
                    {kSeqLens, call.batch, 0, compressed},  {kKey, call.seq_len, 0, !has_tokens}};
  for (const auto& dimension : dimensions) {
    if (!dimension.used) continue;
    const MsspStatus status = CheckDimension(dimension.argument, dimension.given, dimension.least);
    if (status.code != MSSP_WRITTEN) return status;
  }
  int64_t product;
  if (!Multiply(&product, call.num_blocks, call.block_size)) return BadShape(kKeyCache, call.num_blocks, kMaxBytes);
  if (compressed && !Multiply(&product, call.batch, call.num_head)) return BadShape(kSeqLens, call.batch, kMaxBytes);
  if (!has_tokens && !Multiply(&product, call.batch, call.seq_len)) return BadShape(kKey, call.seq_len, kMaxBytes);
  const struct {
    const MsspSide& side;
    Argument rows;
    Argument cache;
  } sides[] = {{call.key, kKey, kKeyCache}, {call.value, kValue, kValueCache}};
  for (const auto& [side, rows, cache] : sides) {
    if (side.rows == nullptr) continue;
    const MsspStatus status = CheckSide(call, side, rows, cache);
    if (status.code != MSSP_WRITTEN) return status;
  }
  return CheckIndices(call);
}

MsspStatus CheckOverlap(const MsspCall& call) {
  Region regions[kNumRegions];
  const MsspSide* const sides[] = {&call.key, &call.value};
  for (int i = 0; i < 2; ++i) {
    if (sides[i]->rows == nullptr) continue;
    RowsRegion(call, *sides[i], &regions[kKey + i]);
    CacheRegion(call, *sides[i], &regions[kKeyCache + i]);
  }
  const void* const indices[] = {call.slot_mapping, call.compress_lens, call.compress_seq_offsets, call.seq_lens};
  for (int i = kSlotMapping; i <= kSeqLens; ++i) {
    const int64_t count = IndexCount(call, i);
    SpanOf(indices[i - kSlotMapping], &count, nullptr, 1, MsspIndexSize(call.index_type), &regions[i]);
  }
  return FindOverlap(regions, kNumRegions, kWritten);
}

MsspStatus CheckValues(const MsspCall& call) {
  const MsspStatus status = IsCompressed(call)                    ? CheckPairs(call)
                            : call.index_type == MSSP_INDEX_INT64 ? CheckSlots<int64_t>(call)
                                                                  : CheckSlots<int32_t>(call);
  if (status.code != MSSP_WRITTEN || call.check_duplicates == 0) return status;
  return FindDuplicate(call);
}

}  // namespace mssp
