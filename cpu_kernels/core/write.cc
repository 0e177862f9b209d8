#include "write.h"

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "float_environment.h"
#include "index_array.h"
#include "layout.h"
#include "mean.h"
#include "pair.h"

namespace mssp {
namespace {

void Copy(char* to, const char* from, int64_t bytes) { std::memcpy(to, from, static_cast<size_t>(bytes)); }

void WriteToken(const SideView& side, int32_t layout, int64_t slot, const char* row) {
  const int64_t block = slot / side.block_size;
  const int64_t offset = slot % side.block_size;
  char* const cache = side.cache + block * side.block_size * side.token_bytes;
  switch (layout) {
    case MSSP_NORM:
      for (int64_t h = 0; h < side.num_head; ++h) {
        Copy(cache + offset * side.token_bytes + h * side.head_bytes, row + h * side.head_stride, side.head_bytes);
      }
      return;
    case MSSP_NHSD:
      for (int64_t h = 0; h < side.num_head; ++h) {
        Copy(cache + (h * side.block_size + offset) * side.head_bytes, row + h * side.head_stride, side.head_bytes);
      }
      return;
    default: {
      // A unit of 32 bytes may span heads where the head's size is not a multiple of it.
      const int64_t itemsize = ItemSize(side.element_type);
      int64_t channel = 0;
      for (int64_t h = 0; h < side.num_head; ++h) {
        for (int64_t d = 0; d < side.head_bytes; d += itemsize, channel += itemsize) {
          char* const unit = cache + (channel / kUnitBytes * side.block_size + offset) * kUnitBytes;
          Copy(unit + channel % kUnitBytes, row + h * side.head_stride + d, itemsize);
        }
      }
    }
  }
}

void WriteTokens(const MsspCall& call, const SideView& side) {
  const IndexArray slots(call.slot_mapping, call.index_type);
  for (int64_t t = 0; t < call.num_tokens; ++t) {
    const int64_t slot = slots[t];
    if (slot >= 0) WriteToken(side, call.layout, slot, side.rows + t * side.token_stride);
  }
}

void WritePair(const SideView& side, const PairPlan& plan, const char* rows) {
  char* to = side.cache + plan.slot * side.head_bytes;
  for (int64_t i = plan.head_begin; i < plan.head_end; ++i, to += side.head_bytes) {
    Copy(to, rows + i * side.token_stride, side.head_bytes);
  }
  if (plan.HasMean()) {
    MeanRow(side.element_type, rows + plan.mean_begin * side.token_stride, side.token_stride,
            plan.mean_end - plan.mean_begin, side.head_size, to);
    to += side.head_bytes;
  }
  for (int64_t i = plan.tail_begin; i < plan.tail_end; ++i, to += side.head_bytes) {
    Copy(to, rows + i * side.token_stride, side.head_bytes);
  }
}

void WritePairs(const MsspCall& call, const SideView& side) {
  const IeeeScope ieee;
  const PairArrays arrays(call);
  int64_t first_row = 0;
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t length = arrays.lengths[b];
    const char* rows = side.rows + (call.packed ? first_row * side.token_stride : b * side.batch_stride);
    for (int64_t h = 0; h < call.num_head; ++h) {
      const Pair pair = LoadPair(arrays, call.scatter_mode, b * call.num_head + h, length);
      if (pair.slot >= 0) WritePair(side, PlanPair(pair, call.scatter_mode), rows + h * side.head_stride);
    }
    first_row += length;
  }
}

}  // namespace

void WriteCall(const MsspCall& call) {
  for (const MsspSide* side : {&call.key, &call.value}) {
    if (side->rows == nullptr) continue;
    const SideView view = ViewSide(call, *side);
    if (view.token_bytes == 0) continue;
    if (IsCompressed(call)) {
      WritePairs(call, view);
    } else {
      WriteTokens(call, view);
    }
  }
}

}  // namespace mssp
