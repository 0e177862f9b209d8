#include "scaling.h"

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

bool IsCodeType(int32_t type) { return type == MSSP_INT8 || type == MSSP_FLOAT8_E5M2 || type == MSSP_FLOAT8_E4M3FN; }

bool IsFloatType(int32_t type) { return type == MSSP_FLOAT16 || type == MSSP_BFLOAT16 || type == MSSP_FLOAT32; }

MsspStatus CheckKind(const MsspPagedSide& side, const SideArguments& at) {
  const MsspScaling& scaling = side.scaling;
  if (scaling.kind < MSSP_COPIED || scaling.kind > MSSP_GIVEN) return BadShape(at.scale, scaling.kind, MSSP_GIVEN);
  if (scaling.kind == MSSP_COPIED) {
    return side.rows_type == side.cache_type ? kGoodStatus : BadShape(at.cache, side.cache_type, side.rows_type);
  }
  if (!IsCodeType(side.cache_type)) return BadShape(at.cache, side.cache_type, MSSP_INT8);
  if (scaling.kind == MSSP_GIVEN) {
    if (side.rows_type != side.cache_type) return BadShape(at.cache, side.cache_type, side.rows_type);
    if (scaling.scale == nullptr) return BadShape(at.scale, 0, 1);
  } else if (!IsFloatType(side.rows_type)) {
    return BadShape(at.rows, side.rows_type, MSSP_FLOAT32);
  }
  if (scaling.kind != MSSP_STATIC) return scaling.scale_cache == nullptr ? BadShape(at.scale_cache, 0, 1) : kGoodStatus;
  if (scaling.scale == nullptr) return BadShape(at.scale, 0, 1);
  if (scaling.granularity < MSSP_PER_TENSOR || scaling.granularity > MSSP_PER_CHANNEL) {
    return BadShape(at.scale, scaling.granularity, MSSP_PER_CHANNEL);
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

}  // namespace

MsspStatus CheckPagedShape(const PagedShape& shape, int cache) {
  if (shape.layout < MSSP_NORM || shape.layout > MSSP_NHSD) return BadShape(cache, shape.layout, MSSP_NHSD);
  for (const int64_t dimension : {shape.num_head, shape.num_blocks, shape.block_size}) {
    if (dimension < 0) return BadShape(cache, dimension, 0);
  }
  int64_t product;
  if (__builtin_mul_overflow(shape.num_blocks, shape.block_size, &product)) {
    return BadShape(cache, shape.num_blocks, INT64_MAX / shape.block_size);
  }
  return kGoodStatus;
}

MsspStatus CheckPagedSide(const PagedShape& shape, const MsspPagedSide& side, const SideArguments& at) {
  if (side.rows == nullptr) return kGoodStatus;
  if (MsspItemSize(side.rows_type) == 0) return BadShape(at.rows, side.rows_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (MsspItemSize(side.cache_type) == 0) return BadShape(at.cache, side.cache_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (side.head_size < 0) return BadShape(at.rows, side.head_size, 0);
  if (side.cache == nullptr) return BadShape(at.cache, 0, 1);
  int64_t bytes = 4;  // a scale's, or an element's at most
  for (const int64_t dimension : {side.head_size, shape.num_head, shape.block_size, shape.num_blocks}) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return BadShape(at.cache, dimension, INT64_MAX);
  }
  if (shape.layout == MSSP_PA_NZ) {
    const int64_t tail = side.head_size * shape.num_head * MsspItemSize(side.cache_type) % kUnitBytes;
    if (tail != 0) return BadShape(at.cache, tail, 0);
  }
  return CheckKind(side, at);
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
