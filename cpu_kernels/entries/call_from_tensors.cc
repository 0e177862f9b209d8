#include "call_from_tensors.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "../../aicore_kernels/op_host/ms_scatter_pa_cache_shape.h"
#include "comparison.h"
#include "core/check.h"
#include "core/contiguous.h"
#include "core/export.h"
#include "core/indices.h"
#include "core/message.h"
#include "core/no_memory.h"
#include "core/op_info.h"
#include "core/overlap.h"
#include "core/write.h"

namespace mssp {
namespace {

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
  const int64_t row = Times(shape.num_head, shape.head_size);
  side->head_stride = shape.head_size;
  side->token_stride = row;
  side->batch_stride = rows.ndim == 4 ? Times(rows.shape[1], row) : 0;
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

// Only blocks may lie apart. 0 blocks, and a single one, may have any stride.
void SetBlockStride(const MsspTensor& cache, int64_t argument, Comparison* comparison, MsspSide* side) {
  side->block_stride = 0;
  if (cache.strides == nullptr) {
    return;
  }
  int64_t block = 1;
  for (int64_t i = cache.ndim - 1; i > 0; --i) {
    if (cache.shape[i] > 1) {
      comparison->Expect(argument, cache.strides[i], block);
    }
    block = Times(block, cache.shape[i]);
  }
  if (cache.shape[0] > 1 && block > 0) {
    if (cache.strides[0] < block) {
      comparison->Expect(argument, cache.strides[0], block);  // blocks that overlap
    }
    side->block_stride = cache.strides[0];
  }
}

// The core wants contiguous innermost dimensions, and reads flattened rows by one stride.
bool NeedsContiguousCopy(const MsspTensor& rows, bool flattened) {
  const int64_t last = rows.ndim - 1;
  if (rows.strides == nullptr) {
    return false;
  }
  if (rows.shape[last] > 1 && rows.strides[last] != 1) {
    return true;
  }
  return flattened && rows.ndim == 3 && rows.shape[0] > 1 && rows.strides[0] != rows.shape[1] * rows.strides[1];
}

bool IsRank(const MsspTensor& tensor, const Ranks& ranks) {
  return tensor.shape != nullptr && IsOneOf(tensor.ndim, ranks);
}

// What Python's rules decide and a foreign caller of the C interface may get wrong: with it, what follows indexes a
// table or a shape.
MsspStatus CheckOptions(const MsspTensor* tensors, const MsspOptions& options) {
  const bool compressed = options.scatter_mode != MSSP_NONE;
  const auto bad = [](int64_t argument, int64_t given, int64_t expected) {
    return MsspStatus{MSSP_BAD_SHAPES, argument, given, expected};
  };
  if (options.scatter_mode < 0 || options.scatter_mode >= MSSP_NUM_SCATTER_MODES) {
    return bad(kCompressLens, options.scatter_mode, MSSP_NUM_SCATTER_MODES - 1);
  }
  if (options.layout < 0 || options.layout >= MSSP_NUM_LAYOUTS || (compressed && options.layout != MSSP_NORM)) {
    return bad(kKeyCache, options.layout, compressed ? MSSP_NORM : MSSP_NUM_LAYOUTS - 1);
  }
  if (compressed && options.flattened != 0) {
    return bad(kKey, options.flattened, 0);  // whose heads and sequences nothing tells
  }
  if (MsspIndexSize(options.index_type) == 0) {
    return bad(kSlotMapping, options.index_type, MSSP_NUM_INDEX_TYPES - 1);
  }
  const Ranks rows_ranks = RowsRanks(compressed && options.packed == 0, options.flattened != 0);
  const Ranks cache_ranks = CacheRanks(options.layout, compressed);
  for (int i = 0; i < (options.key_only != 0 ? 1 : 2); ++i) {
    const int64_t type = i == 0 ? options.key_type : options.value_type;
    if (MsspItemSize(type) == 0) {
      return bad(kKey + i, type, MSSP_NUM_ELEMENT_TYPES - 1);
    }
    if (!IsRank(tensors[kKey + i], rows_ranks)) {
      return bad(kKey + i, tensors[kKey + i].ndim, rows_ranks.most);
    }
    if (!IsRank(tensors[kKeyCache + i], cache_ranks)) {
      return bad(kKeyCache + i, tensors[kKeyCache + i].ndim, cache_ranks.most);
    }
    // Rows without memory would be a side that is absent; of the others the core tells.
    if (IsMissing(tensors[kKey + i].data, tensors[kKey + i].shape, tensors[kKey + i].ndim)) {
      return bad(kKey + i, 0, Product(tensors[kKey + i].shape, tensors[kKey + i].ndim));
    }
  }
  for (int i = kSlotMapping; i <= kSeqLens; ++i) {
    const bool given =
        i == kSlotMapping || (compressed && (i != kCompressSeqOffsets || options.scatter_mode != MSSP_ALIBI));
    if (given && !IsRank(tensors[i], {kArgumentMinRank[i], kArgumentMaxRank[i]})) {
      return bad(i, tensors[i].ndim, kArgumentMaxRank[i]);
    }
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

// Not a vector, which would write zeros first.
using Memory = std::unique_ptr<uint8_t[]>;

const void* MakeContiguous(const MsspTensor& tensor, int64_t item_size, Memory* memory) {
  memory->reset(new uint8_t[static_cast<size_t>(Product(tensor.shape, tensor.ndim) * item_size)]);
  MsspCopyContiguous(memory->get(), tensor.data, tensor.shape, tensor.strides, tensor.ndim, item_size, 0);
  return memory->get();
}

void UseContiguousRows(const MsspTensor& rows, bool flattened, const RowsShape& shape, MsspSide* side, Memory* memory) {
  side->rows = MakeContiguous(rows, MsspItemSize(side->element_type), memory);
  MsspTensor contiguous = rows;
  contiguous.strides = nullptr;
  SetStrides(contiguous, flattened, shape, side);
}

// A contiguous copy of every index array: what is checked is what is used.
void UseOwnIndices(const MsspTensor* tensors, MsspCall* call, IndexCopies* copies) {
  const int64_t item_size = MsspIndexSize(call->index_type);
  const void** const pointers[] = {&call->slot_mapping, &call->compress_lens, &call->compress_seq_offsets,
                                   &call->seq_lens};
  for (int i = kSlotMapping; i <= kSeqLens; ++i) {
    const int64_t bytes = IndexCount(*call, i) * item_size;
    if (bytes == 0) {
      continue;
    }
    char* const own = copies->Take(bytes);
    if (tensors[i].strides == nullptr) {
      std::memcpy(own, tensors[i].data, static_cast<size_t>(bytes));
    } else {
      MsspCopyContiguous(own, tensors[i].data, tensors[i].shape, tensors[i].strides, tensors[i].ndim, item_size, 0);
    }
    *pointers[i - kSlotMapping] = own;
  }
}

// Which bytes the tensors and the statuses take, as they are given: what the core is given may be copies of them. The
// status names the first tensor whose size overflows, which has no region then.
MsspStatus FillRegions(const MsspTensor* tensors, const MsspOptions& options, const int64_t* status,
                       const int64_t* last_status, Region (&regions)[kNumRegions]) {
  constexpr int64_t kSize = MSSP_STATUS_SIZE;
  MsspStatus result = {MSSP_WRITTEN, 0, 0, 0};
  for (int i = 0; i < MSSP_NUM_ARGUMENTS; ++i) {
    const MsspTensor& tensor = tensors[i];
    const bool is_value = i == kValue || i == kValueCache;
    if (tensor.data == nullptr || (is_value && options.key_only != 0) ||
        (i > kSlotMapping && options.scatter_mode == MSSP_NONE) ||
        (i == kCompressSeqOffsets && options.scatter_mode == MSSP_ALIBI)) {
      continue;  // absent, or a placeholder
    }
    if (!RegionOf(tensor.data, tensor.shape, tensor.strides, tensor.ndim, ArgumentItemSize(options, i), &regions[i]) &&
        result.code == MSSP_WRITTEN) {
      result = {MSSP_BAD_SHAPES, i, tensor.ndim > 0 ? tensor.shape[0] : 0, kMaxBytes};
    }
  }
  if (last_status != nullptr) {
    SpanOf(last_status, &kSize, nullptr, 1, sizeof(int64_t), &regions[kLastStatusRegion]);
  }
  SpanOf(status, &kSize, nullptr, 1, sizeof(int64_t), &regions[kStatusRegion]);
  return result;
}

void Store(const MsspStatus& result, int64_t* to) {
  const int64_t line[MSSP_STATUS_SIZE] = {result.code, result.position, result.value, result.limit};
  std::copy(line, line + MSSP_STATUS_SIZE, to);
}

// Fills the call from tensors of good options; dimensions are compared.
MsspStatus FillCall(const MsspTensor* tensors, const MsspOptions& options, MsspCall* call) {
  Comparison comparison;
  const bool compressed = options.scatter_mode != MSSP_NONE;
  const bool flattened = options.flattened != 0;
  CacheShape cache_shapes[2];
  RowsShape rows_shapes[2];
  const int sides = options.key_only != 0 ? 1 : 2;
  for (int i = 0; i < sides; ++i) {
    const MsspTensor& rows = tensors[kKey + i];
    const MsspTensor& cache = tensors[kKeyCache + i];
    const int64_t type = i == 0 ? options.key_type : options.value_type;
    const int64_t argument = kKeyCache + i;
    cache_shapes[i] = ReadCacheShape(cache.shape, cache.ndim, options.layout);
    rows_shapes[i] = ReadRowsShape(rows, flattened, cache_shapes[i]);
    const RowsShape& shape = rows_shapes[i];
    const CacheFit fit =
        FitCache(cache_shapes[i], options.layout, compressed, shape.num_head, shape.head_size, MsspItemSize(type));
    comparison.Expect(argument, fit.given, fit.expected);
    MsspSide* side = i == 0 ? &call->key : &call->value;
    side->rows = rows.data;
    side->cache = cache.data;
    side->head_size = shape.head_size;
    side->element_type = static_cast<int32_t>(type);
    SetStrides(rows, flattened, shape, side);
    SetBlockStride(cache, argument, &comparison, side);
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
  call->layout = static_cast<int32_t>(options.layout);
  call->scatter_mode = static_cast<int32_t>(options.scatter_mode);
  call->packed = options.packed != 0 ? 1 : 0;
  call->index_type = static_cast<int32_t>(options.index_type);
  call->check_duplicates = options.check_duplicates != 0 ? 1 : 0;
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
    const bool has_offsets = options.scatter_mode != MSSP_ALIBI;
    for (int i : {kSlotMapping, kCompressLens, kCompressSeqOffsets}) {
      if (i == kCompressSeqOffsets && !has_offsets) {
        continue;
      }
      if (tensors[i].ndim == 2) {
        comparison.Expect(i, tensors[i].shape[0], call->batch);
        comparison.Expect(i, tensors[i].shape[1], call->num_head);
      }
      comparison.Expect(i, Product(tensors[i].shape, tensors[i].ndim), Times(call->batch, call->num_head));
    }
    call->compress_lens = tensors[kCompressLens].data;
    call->compress_seq_offsets = has_offsets ? tensors[kCompressSeqOffsets].data : nullptr;
    call->seq_lens = seq_lens.data;
  }
  return comparison.ok() ? CheckDescription(*call) : comparison.status();
}

// Runs a call that is good but for its values. Its indices are in `indices` then, for the sentence too.
MsspStatus RunCall(const MsspTensor* tensors, const MsspOptions& options, MsspCall* call,
                   std::optional<IndexCopies>* indices) {
  indices->emplace(IndexBytes(*call));
  UseOwnIndices(tensors, call, &**indices);
  const MsspStatus status = CheckValues(*call);
  if (status.code != MSSP_WRITTEN) {
    return status;
  }
  Memory contiguous[2];  // copies of rows that are strided beyond the core's understanding
  for (int i = 0; i < (options.key_only != 0 ? 1 : 2); ++i) {
    const MsspTensor& rows = tensors[kKey + i];
    if (NeedsContiguousCopy(rows, options.flattened != 0)) {
      MsspSide* side = i == 0 ? &call->key : &call->value;
      UseContiguousRows(rows, options.flattened != 0, {call->num_tokens, call->num_head, side->head_size}, side,
                        &contiguous[i]);
    }
  }
  Write(*call);
  return status;
}

}  // namespace
}  // namespace mssp

using namespace mssp;  // NOLINT: the C functions below speak the core's names

extern "C" MSSP_EXPORT MsspStatus MsspPrepareCall(const MsspTensor* tensors, const MsspOptions* options,
                                                  MsspCall* call) {
  std::memset(call, 0, sizeof(*call));
  const MsspStatus status = CheckOptions(tensors, *options);
  return status.code == MSSP_WRITTEN ? FillCall(tensors, *options, call) : status;
}

extern "C" MSSP_EXPORT MsspStatus MsspRun(const MsspTensor* tensors, const MsspOptions* options, int64_t* status,
                                          int64_t* last_status, char* message, int64_t size) {
  MsspCall call = {};
  Region regions[kNumRegions];  // without any where the options are bad
  MsspStatus result = CheckOptions(tensors, *options);
  if (result.code == MSSP_WRITTEN) {
    const MsspStatus addressable = FillRegions(tensors, *options, status, last_status, regions);
    result = FillCall(tensors, *options, &call);
    if (result.code == MSSP_WRITTEN) {
      result = addressable;
    }
  }
  if (result.code == MSSP_WRITTEN) {
    result = FindOverlap(regions, kNumRegions, kWritten);
  }
  const bool good = result.code == MSSP_WRITTEN;
  std::optional<IndexCopies> indices;
  if (good) {
    result = WithoutExceptions([&] { return RunCall(tensors, *options, &call, &indices); });
  }
  if (good || !OverlapsWritten(regions, kNumRegions, kWritten, kStatusRegion)) {
    Store(result, status);
  }
  if (result.code != MSSP_WRITTEN) {
    if (last_status != nullptr && !OverlapsWritten(regions, kNumRegions, kWritten, kLastStatusRegion)) {
      Store(result, last_status);
    }
    const int64_t length = MsspFormatStatus(&call, &result, message, size);
    if (length < size) {
      std::snprintf(message + length, static_cast<size_t>(size - length), "; npu_scatter_pa_kv_cache wrote nothing");
    }
  }
  return result;
}
