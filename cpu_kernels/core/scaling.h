// What the quantising write and the gather share: checks of sides and scales, and where a cache row and its scales lie.
#ifndef MS_SCATTER_PA_CORE_SCALING_H_
#define MS_SCATTER_PA_CORE_SCALING_H_

#include <cstdint>

#include "overlap.h"
#include "paged_call.h"

namespace mssp {

struct PagedShape {
  int32_t layout;
  int64_t num_head;
  int64_t num_blocks;
  int64_t block_size;
};

// Where a status finds the arguments of one side.
struct SideArguments {
  int rows;
  int cache;
  int scale;
  int offset;
  int scale_cache;
};

// What each MsspScalingKind has: scales that the caller gives, and a cache of scales.
inline bool HasScale(int64_t kind) { return kind == MSSP_STATIC || kind == MSSP_GIVEN; }
inline bool HasScaleCache(int64_t kind) { return kind == MSSP_DYNAMIC || kind == MSSP_GIVEN; }

inline constexpr MsspStatus kGoodStatus = {MSSP_WRITTEN, 0, 0, 0};

// Dimensions, enumerators, strides and pointers: after this nothing overflows, no table is left and no null pointer is
// read. That memory is as large as the call says, the caller promises.
MsspStatus CheckPagedShape(const PagedShape& shape, int cache);
MsspStatus CheckPagedSide(const PagedShape& shape, int64_t num_tokens, const MsspPagedSide& side,
                          const SideArguments& arguments);

// Where the arguments of a side that was checked lie, by their places.
void FillRegions(const PagedShape& shape, int64_t num_tokens, const MsspPagedSide& side, const SideArguments& arguments,
                 Region* regions);

// Values of static scales and offsets.
MsspStatus CheckScales(const PagedShape& shape, const MsspPagedSide& side, const SideArguments& arguments);

// The side with the strides of dimensions of one step, which may be any number, as if they were contiguous.
inline MsspPagedSide WithUsedStrides(const PagedShape& shape, int64_t num_tokens, MsspPagedSide side) {
  if (shape.num_head <= 1) side.head_stride = side.head_size;
  if (num_tokens <= 1) side.token_stride = side.head_size * shape.num_head;
  if (shape.num_blocks <= 1) {
    side.block_stride = side.head_size * shape.num_head * shape.block_size;
    side.scaling.scale_block_stride = shape.num_head * shape.block_size;
  }
  return side;
}

// The float32 of cache row (block, offset) and head `head` in a scale cache.
inline float* ScaleAt(const PagedShape& shape, const MsspScaling& scaling, int64_t block, int64_t offset,
                      int64_t head) {
  float* const base = static_cast<float*>(scaling.scale_cache) + block * scaling.scale_block_stride;
  if (shape.layout == MSSP_NHSD) return base + head * shape.block_size + offset;
  return base + offset * shape.num_head + head;
}

inline int64_t NumScales(const PagedShape& shape, const MsspPagedSide& side) {
  switch (side.scaling.granularity) {
    case MSSP_PER_HEAD:
      return shape.num_head;
    case MSSP_PER_CHANNEL:
      return shape.num_head * side.head_size;
    default:
      return 1;
  }
}

// Of those that are given; a scale cache has its own.
inline int64_t ScaleCount(const PagedShape& shape, int64_t num_tokens, const MsspPagedSide& side) {
  if (side.rows == nullptr) return 0;
  if (side.scaling.kind == MSSP_GIVEN) return num_tokens * shape.num_head;
  return side.scaling.kind == MSSP_STATIC ? NumScales(shape, side) : 0;
}

inline PagedShape ShapeOf(const MsspGatherCall& call) {
  return {call.layout, call.num_head, call.num_blocks, call.block_size};
}
inline PagedShape ShapeOf(const MsspQuantCall& call) {
  return {call.layout, call.num_head, call.num_blocks, call.block_size};
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_SCALING_H_
