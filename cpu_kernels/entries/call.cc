#include "call.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/export.h"
#include "core/message.h"
#include "core/op_info.h"

namespace mssp {
namespace {

// Compares dimensions and remembers the first that disagrees.
class Comparison {
 public:
  void Expect(int64_t argument, int64_t given, int64_t expected) {
    if (given != expected && status_.code == MSSP_WRITTEN) {
      status_ = {MSSP_BAD_SHAPES, argument, given, expected};
    }
  }
  bool ok() const { return status_.code == MSSP_WRITTEN; }
  const MsspStatus& status() const { return status_; }

 private:
  MsspStatus status_{MSSP_WRITTEN, 0, 0, 0};
};

struct CacheShape {
  int64_t num_blocks;
  int64_t block_size;
  int64_t num_head;   // 0: not told by the shape
  int64_t head_size;  // 0: not told by the shape
  int64_t channels;   // num_head * head_size
};

int64_t Product(const int64_t* shape, int64_t ndim) {
  int64_t product = 1;
  for (int64_t i = 0; i < ndim; ++i) {
    product *= shape[i];
  }
  return product;
}

CacheShape ReadCacheShape(const MsspTensor& cache, int64_t layout, Comparison* comparison, int64_t argument,
                          int64_t last_dim) {
  const int64_t* s = cache.shape;
  if (cache.ndim == 3) {
    return {s[0], s[1], 0, 0, s[2]};
  }
  switch (layout) {
    case MSSP_NHSD:
      return {s[0], s[2], s[1], s[3], s[1] * s[3]};
    case MSSP_PA_NZ:
      comparison->Expect(argument, s[cache.ndim - 1], last_dim);
      if (cache.ndim == 5) {
        return {s[0], s[3], s[1], s[2] * s[4], s[1] * s[2] * s[4]};
      }
      return {s[0], s[2], 0, 0, s[1] * s[3]};
    default:
      return {s[0], s[1], s[2], s[3], s[2] * s[3]};
  }
}

// The rows as [T, N, D]; what the cache's shape does not tell of N and D may be read as one head of all channels.
struct RowsShape {
  int64_t tokens;
  int64_t num_head;
  int64_t head_size;
};

RowsShape ReadRowsShape(const MsspTensor& rows, bool flattened, const CacheShape& cache) {
  if (!flattened) {
    return {rows.shape[0], rows.shape[rows.ndim - 2], rows.shape[rows.ndim - 1]};
  }
  const int64_t tokens = Product(rows.shape, rows.ndim - 1);
  if (cache.num_head == 0) {
    return {tokens, 1, rows.shape[rows.ndim - 1]};
  }
  const int64_t channels = rows.shape[rows.ndim - 1];
  return {tokens, cache.num_head, cache.channels == channels ? cache.head_size : channels};
}

void SetStrides(const MsspTensor& rows, bool flattened, const RowsShape& shape, MsspSide* side) {
  const int64_t row = shape.num_head * shape.head_size;
  side->head_stride = shape.head_size;
  side->token_stride = row;
  side->batch_stride = rows.ndim == 4 ? rows.shape[1] * row : 0;
  if (rows.strides == nullptr) {
    return;
  }
  if (flattened) {
    side->token_stride = rows.strides[rows.ndim - 2];
    return;
  }
  side->head_stride = rows.strides[rows.ndim - 2];
  side->token_stride = rows.strides[rows.ndim - 3];
  side->batch_stride = rows.ndim == 4 ? rows.strides[0] : 0;
}

// The core wants contiguous innermost dimensions, and reads flattened rows by one stride.
bool NeedsPacking(const MsspTensor& rows, bool flattened) {
  const int64_t last = rows.ndim - 1;
  if (rows.strides == nullptr) {
    return false;
  }
  if (rows.shape[last] > 1 && rows.strides[last] != 1) {
    return true;
  }
  return flattened && rows.ndim == 3 && rows.shape[0] > 1 && rows.strides[0] != rows.shape[1] * rows.strides[1];
}

// Copies strided rows into contiguous memory, dimension by dimension.
uint8_t* PackRows(const uint8_t* from, const MsspTensor& rows, int64_t axis, int64_t item_size, uint8_t* to) {
  for (int64_t i = 0; i < rows.shape[axis]; ++i, from += rows.strides[axis] * item_size) {
    if (axis + 1 < rows.ndim) {
      to = PackRows(from, rows, axis + 1, item_size, to);
    } else {
      std::memcpy(to, from, static_cast<size_t>(item_size));
      to += item_size;
    }
  }
  return to;
}

const void* Pack(const MsspTensor& tensor, int64_t item_size, std::vector<uint8_t>* memory) {
  memory->resize(static_cast<size_t>(Product(tensor.shape, tensor.ndim) * item_size));
  PackRows(static_cast<const uint8_t*>(tensor.data), tensor, 0, item_size, memory->data());
  return memory->data();
}

void UsePackedRows(const MsspTensor& rows, bool flattened, const RowsShape& shape, MsspSide* side,
                   std::vector<uint8_t>* memory) {
  side->rows = Pack(rows, MsspItemSize(side->element_type), memory);
  MsspTensor packed = rows;
  packed.strides = nullptr;
  SetStrides(packed, flattened, shape, side);
}

void UsePackedIndices(const MsspTensor* tensors, const MsspOptions& options, MsspCall* call,
                      std::vector<uint8_t>* memory) {
  const int64_t item_size = MsspIndexSize(options.index_type);
  const void** const pointers[] = {&call->slot_mapping, &call->compress_lens, &call->compress_seq_offsets,
                                   &call->seq_lens};
  for (int i = kSlotMapping; i <= kSeqLens; ++i) {
    if (tensors[i].strides != nullptr && *pointers[i - kSlotMapping] != nullptr) {
      *pointers[i - kSlotMapping] = Pack(tensors[i], item_size, &memory[i]);
    }
  }
}

struct Range {
  uintptr_t begin;
  uintptr_t end;
};

Range BytesOf(const MsspTensor& tensor, int64_t item_size) {
  int64_t span = 1;
  for (int64_t i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] == 0) {
      return {0, 0};
    }
  }
  if (tensor.strides == nullptr) {
    span = Product(tensor.shape, tensor.ndim);
  } else {
    for (int64_t i = 0; i < tensor.ndim; ++i) {
      span += (tensor.shape[i] - 1) * tensor.strides[i];
    }
  }
  const auto begin = reinterpret_cast<uintptr_t>(tensor.data);
  return {begin, begin + static_cast<uintptr_t>(span * item_size)};
}

MsspStatus FindOverlap(const MsspTensor* tensors, const MsspOptions& options) {
  Range ranges[kSlotMapping];
  for (int i = 0; i < kSlotMapping; ++i) {
    const bool is_value = i == kValue || i == kValueCache;
    const bool absent = is_value && options.key_only != 0;
    ranges[i] = absent ? Range{0, 0}
                       : BytesOf(tensors[i],
                                 MsspItemSize(static_cast<int32_t>(is_value ? options.value_type : options.key_type)));
  }
  for (int cache : {kKeyCache, kValueCache}) {
    for (int other = 0; other < cache; ++other) {
      if (ranges[cache].begin < ranges[other].end && ranges[other].begin < ranges[cache].end) {
        return {MSSP_BAD_SHAPES, cache, -1 - other, 0};  // a negative value: overlaps that argument
      }
    }
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

}  // namespace
}  // namespace mssp

using namespace mssp;  // NOLINT: the C functions below speak the core's names

extern "C" MSSP_EXPORT MsspStatus MsspPrepareCall(const MsspTensor* tensors, const MsspOptions* options,
                                                  MsspCall* call) {
  std::memset(call, 0, sizeof(*call));
  Comparison comparison;
  const bool compressed = options->scatter_mode != MSSP_NONE;
  const bool flattened = options->flattened != 0;
  CacheShape cache_shapes[2];
  RowsShape rows_shapes[2];
  const int sides = options->key_only != 0 ? 1 : 2;
  for (int i = 0; i < sides; ++i) {
    const MsspTensor& rows = tensors[kKey + i];
    const MsspTensor& cache = tensors[kKeyCache + i];
    const int64_t type = i == 0 ? options->key_type : options->value_type;
    const int64_t argument = kKeyCache + i;
    cache_shapes[i] = ReadCacheShape(cache, options->layout, &comparison, argument,
                                     MSSP_UNIT_BYTES / MsspItemSize(static_cast<int32_t>(type)));
    rows_shapes[i] = ReadRowsShape(rows, flattened, cache_shapes[i]);
    const RowsShape& shape = rows_shapes[i];
    if (compressed) {
      comparison.Expect(argument, cache.shape[2], 1);
      comparison.Expect(argument, cache.shape[3], shape.head_size);
    } else {
      if (cache_shapes[i].num_head != 0) {
        comparison.Expect(argument, cache_shapes[i].num_head, shape.num_head);
        comparison.Expect(argument, cache_shapes[i].head_size, shape.head_size);
      }
      comparison.Expect(argument, cache_shapes[i].channels, shape.num_head * shape.head_size);
    }
    MsspSide* side = i == 0 ? &call->key : &call->value;
    side->rows = rows.data;
    side->cache = cache.data;
    side->head_size = shape.head_size;
    side->element_type = static_cast<int32_t>(type);
    SetStrides(rows, flattened, shape, side);
  }
  const MsspTensor& key = tensors[kKey];
  const RowsShape& shape = rows_shapes[0];
  if (sides == 2) {
    comparison.Expect(kValueCache, cache_shapes[1].num_blocks, cache_shapes[0].num_blocks);
    comparison.Expect(kValueCache, cache_shapes[1].block_size, cache_shapes[0].block_size);
    comparison.Expect(kValueCache, cache_shapes[1].num_head,
                      cache_shapes[0].num_head);  // flattened rows do not tell it
    const MsspTensor& value = tensors[kValue];
    comparison.Expect(kValue, value.ndim, key.ndim);
    for (int64_t i = 0; i + 1 < key.ndim; ++i) {
      comparison.Expect(kValue, value.shape[i], key.shape[i]);
    }
  }
  call->layout = static_cast<int32_t>(options->layout);
  call->scatter_mode = static_cast<int32_t>(options->scatter_mode);
  call->packed = options->packed != 0 ? 1 : 0;
  call->index_type = static_cast<int32_t>(options->index_type);
  call->check_duplicates = options->check_duplicates != 0 ? 1 : 0;
  call->num_tokens = shape.tokens;
  call->num_head = shape.num_head;
  call->num_blocks = cache_shapes[0].num_blocks;
  call->block_size = cache_shapes[0].block_size;
  call->slot_mapping = tensors[kSlotMapping].data;
  const MsspTensor& slots = tensors[kSlotMapping];
  if (!compressed) {
    comparison.Expect(kSlotMapping, Product(slots.shape, slots.ndim), shape.tokens);
  } else {
    const MsspTensor& seq_lens = tensors[kSeqLens];
    call->batch = seq_lens.shape[0];
    if (!call->packed) {
      comparison.Expect(kSeqLens, call->batch, key.shape[0]);
      call->seq_len = key.shape[1];
    }
    const bool has_offsets = options->scatter_mode != MSSP_ALIBI;
    for (int i : {kSlotMapping, kCompressLens, kCompressSeqOffsets}) {
      if (i == kCompressSeqOffsets && !has_offsets) {
        continue;
      }
      if (tensors[i].ndim == 2) {
        comparison.Expect(i, tensors[i].shape[0], call->batch);
        comparison.Expect(i, tensors[i].shape[1], call->num_head);
      }
      comparison.Expect(i, Product(tensors[i].shape, tensors[i].ndim), call->batch * call->num_head);
    }
    call->compress_lens = tensors[kCompressLens].data;
    call->compress_seq_offsets = has_offsets ? tensors[kCompressSeqOffsets].data : nullptr;
    call->seq_lens = seq_lens.data;
  }
  return comparison.ok() ? FindOverlap(tensors, *options) : comparison.status();
}

extern "C" MSSP_EXPORT MsspStatus MsspRun(const MsspTensor* tensors, const MsspOptions* options, int64_t* status,
                                          int64_t* last_status, char* message, int64_t size) {
  MsspCall call;
  std::vector<uint8_t> packed[MSSP_NUM_ARGUMENTS];  // copies of what is strided beyond the core's understanding
  MsspStatus result = MsspPrepareCall(tensors, options, &call);
  if (result.code == MSSP_WRITTEN) {
    UsePackedIndices(tensors, *options, &call, packed);
    for (int i = 0; i < (options->key_only != 0 ? 1 : 2); ++i) {
      const MsspTensor& rows = tensors[kKey + i];
      if (NeedsPacking(rows, options->flattened != 0)) {
        MsspSide* side = i == 0 ? &call.key : &call.value;
        UsePackedRows(rows, options->flattened != 0, {call.num_tokens, call.num_head, side->head_size}, side,
                      &packed[kKey + i]);
      }
    }
    result = MsspScatterPaKvCache(&call);
  }
  const int64_t line[MSSP_STATUS_SIZE] = {result.code, result.position, result.value, result.limit};
  std::copy(line, line + MSSP_STATUS_SIZE, status);
  if (result.code != MSSP_WRITTEN) {
    if (last_status != nullptr) {
      std::copy(line, line + MSSP_STATUS_SIZE, last_status);
    }
    const int64_t length = MsspFormatStatus(&call, &result, message, size);
    if (length < size) {
      std::snprintf(message + length, static_cast<size_t>(size - length), "; npu_scatter_pa_kv_cache wrote nothing");
    }
  }
  return result;
}
