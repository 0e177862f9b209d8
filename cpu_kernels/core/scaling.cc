#include "scaling.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "call_sizes.h"
#include "small_float.h"

namespace mssp {
namespace {

MsspStatus BadShape(int argument, int64_t given, int64_t expected) {
  return {MSSP_BAD_SHAPES, argument, given, expected};
}

MsspStatus CheckKind(const MsspPagedSide& side, const SideArguments& at) {
  const MsspScaling& scaling = side.scaling;
  if (scaling.kind < 0 || scaling.kind >= MSSP_NUM_SCALING_KINDS) {
    return BadShape(at.scale, scaling.kind, MSSP_NUM_SCALING_KINDS - 1);
  }
  if (scaling.kind == MSSP_COPIED) {
    return side.rows_type == side.cache_type ? kGoodStatus : BadShape(at.cache, side.cache_type, side.rows_type);
  }
  if (MsspIsCodeType(side.cache_type) == 0) return BadShape(at.cache, side.cache_type, MSSP_INT8);
  if (scaling.kind == MSSP_GIVEN) {
    if (side.rows_type != side.cache_type) return BadShape(at.cache, side.cache_type, side.rows_type);
    if (scaling.scale == nullptr) return BadShape(at.scale, 0, 1);
  } else if (MsspIsScaledType(side.rows_type) == 0) {
    return BadShape(at.rows, side.rows_type, MSSP_FLOAT32);
  }
  if (scaling.kind != MSSP_STATIC) return scaling.scale_cache == nullptr ? BadShape(at.scale_cache, 0, 1) : kGoodStatus;
  if (scaling.scale == nullptr) return BadShape(at.scale, 0, 1);
  if (scaling.granularity < 0 || scaling.granularity >= MSSP_NUM_GRANULARITIES) {
    return BadShape(at.scale, scaling.granularity, MSSP_NUM_GRANULARITIES - 1);
  }
  if (scaling.offset != nullptr && side.cache_type != MSSP_INT8) return BadShape(at.offset, side.cache_type, MSSP_INT8);
  return kGoodStatus;
}

uint32_t BitsAt(const void* values, int64_t i) {
  uint32_t bits;
  std::memcpy(&bits, static_cast<const char*>(values) + i * 4, sizeof(bits));
  return bits;
}

constexpr uint32_t kInfinityBits = 0x7F800000u;

bool RowsRegion(const PagedShape& shape, int64_t num_tokens, const MsspPagedSide& side, Region* region) {
  const int64_t item_size = MsspItemSize(side.rows_type);
  const int64_t dimensions[] = {num_tokens, shape.num_head, side.head_size};
  const int64_t strides[] = {side.token_stride, side.head_stride, 1};
  return RegionOf(side.rows, dimensions, strides, 3, item_size, region);
}

bool CacheRegion(const PagedShape& shape, const MsspPagedSide& side, Region* region) {
  return BlocksOf(side.cache, shape.num_blocks, side.block_stride, shape.block_size * shape.num_head * side.head_size,
                  MsspItemSize(side.cache_type), region);
}

bool ScaleCacheRegion(const PagedShape& shape, const MsspScaling& scaling, Region* region) {
  return BlocksOf(scaling.scale_cache, shape.num_blocks, scaling.scale_block_stride, shape.block_size * shape.num_head,
                  sizeof(float), region);
}

bool FloatsRegion(const void* data, int64_t count, Region* region) {
  return SpanOf(data, &count, nullptr, 1, sizeof(float), region);
}

}  // namespace

MsspStatus CheckPagedShape(const PagedShape& shape, int cache) {
  if (shape.layout < 0 || shape.layout >= MSSP_NUM_LAYOUTS) return BadShape(cache, shape.layout, MSSP_NUM_LAYOUTS - 1);
  for (const int64_t dimension : {shape.num_head, shape.num_blocks, shape.block_size}) {
    if (dimension < 0) return BadShape(cache, dimension, 0);
    if (dimension > kMaxBytes) return BadShape(cache, dimension, kMaxBytes);
  }
  int64_t product;
  return Multiply(&product, shape.num_blocks, shape.block_size) ? kGoodStatus
                                                                : BadShape(cache, shape.num_blocks, kMaxBytes);
}

MsspStatus CheckPagedSide(const PagedShape& shape, int64_t num_tokens, const MsspPagedSide& side,
                          const SideArguments& at) {
  if (side.rows == nullptr) return kGoodStatus;
  if (MsspItemSize(side.rows_type) == 0) return BadShape(at.rows, side.rows_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (MsspItemSize(side.cache_type) == 0) return BadShape(at.cache, side.cache_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (side.head_size < 0) return BadShape(at.rows, side.head_size, 0);
  if (side.cache == nullptr) return BadShape(at.cache, 0, 1);
  constexpr int64_t kMostBytes = 4;  // a scale's, or an element's at most
  const int64_t row = std::max<int64_t>(side.head_size, 1);
  const int64_t heads = std::max<int64_t>(shape.num_head, 1);
  int64_t bytes;
  // Of rows that are one and the same memory too, so that no count of them overflows.
  if (!Multiply(&bytes, kMostBytes, row, heads, std::max<int64_t>(num_tokens, 1))) {
    return BadShape(at.rows, num_tokens, kMaxBytes);
  }
  if (!Multiply(&bytes, kMostBytes, row, heads, std::max<int64_t>(shape.block_size, 1),
                std::max<int64_t>(shape.num_blocks, 1))) {
    return BadShape(at.cache, shape.num_blocks, kMaxBytes);
  }
  if (shape.layout == MSSP_PA_NZ) {
    const int64_t tail = side.head_size * shape.num_head * MsspItemSize(side.cache_type) % kUnitBytes;
    if (tail != 0) return BadShape(at.cache, tail, 0);
  }
  const MsspStatus status = CheckKind(side, at);
  if (status.code != MSSP_WRITTEN) return status;
  Region region;
  if (!RowsRegion(shape, num_tokens, side, &region)) return BadShape(at.rows, side.token_stride, kMaxBytes);
  if (!CacheRegion(shape, side, &region)) return BadShape(at.cache, side.block_stride, kMaxBytes);
  const MsspScaling& scaling = side.scaling;
  if (HasScaleCache(scaling.kind) && !ScaleCacheRegion(shape, scaling, &region)) {
    return BadShape(at.scale_cache, scaling.scale_block_stride, kMaxBytes);
  }
  const int64_t scales = ScaleCount(shape, num_tokens, side);
  if (scales > 0 && !FloatsRegion(scaling.scale, scales, &region)) return BadShape(at.scale, scales, kMaxBytes);
  if (scaling.kind == MSSP_STATIC && scaling.offset != nullptr && !FloatsRegion(scaling.offset, scales, &region)) {
    return BadShape(at.offset, scales, kMaxBytes);
  }
  return kGoodStatus;
}

void FillRegions(const PagedShape& shape, int64_t num_tokens, const MsspPagedSide& side, const SideArguments& at,
                 Region* regions) {
  if (side.rows == nullptr) return;
  const MsspScaling& scaling = side.scaling;
  RowsRegion(shape, num_tokens, side, &regions[at.rows]);
  CacheRegion(shape, side, &regions[at.cache]);
  if (HasScaleCache(scaling.kind)) ScaleCacheRegion(shape, scaling, &regions[at.scale_cache]);
  const int64_t scales = ScaleCount(shape, num_tokens, side);
  if (scales > 0) FloatsRegion(scaling.scale, scales, &regions[at.scale]);
  if (scaling.kind == MSSP_STATIC && scaling.offset != nullptr) {
    FloatsRegion(scaling.offset, scales, &regions[at.offset]);
  }
}

MsspStatus CheckScales(const PagedShape& shape, const MsspPagedSide& side, const SideArguments& at) {
  const MsspScaling& scaling = side.scaling;
  if (side.rows == nullptr || scaling.kind != MSSP_STATIC) return kGoodStatus;
  const int64_t count = NumScales(shape, side);
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = BitsAt(scaling.scale, i);
    if (bits == 0 || bits >= kInfinityBits) return {MSSP_BAD_SCALE, i, bits, at.scale};  // a sign bit is above too
  }
  for (int64_t i = 0; scaling.offset != nullptr && i < count; ++i) {
    const uint32_t bits = BitsAt(scaling.offset, i);
    if ((bits & 0x7FFFFFFFu) >= kInfinityBits) return {MSSP_BAD_OFFSET, i, bits, at.offset};
  }
  return kGoodStatus;
}

}  // namespace mssp
