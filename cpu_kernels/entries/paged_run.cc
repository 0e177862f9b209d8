#include "paged_run.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "../../aicore_kernels/op_host/ms_scatter_pa_cache_shape.h"
#include "comparison.h"
#include "core/contiguous.h"
#include "core/export.h"
#include "core/gather_pa.h"
#include "core/no_memory.h"
#include "core/overlap.h"
#include "core/paged_call.h"
#include "core/quant_scatter_pa.h"
#include "core/scaling.h"

namespace mssp {
namespace {

using gather::ArgumentItemSize;
using quant::ArgumentItemSize;

constexpr MsspStatus kGood = {MSSP_WRITTEN, 0, 0, 0};

// Where the arguments of a side stand, and what was decided of it.
struct SideOptions {
  int rows;
  int cache;
  int scale;
  int offset;
  int scale_cache;
  int64_t rows_type;
  int64_t cache_type;
  int64_t scaling;
  int64_t has_offset;
  int64_t granularity;
};

struct Dimensions {
  int64_t tokens = 0;
  int64_t num_head = 0;  // 0: nothing tells it
  int64_t num_blocks = 0;
  int64_t block_size = 0;
};

int64_t BlockStride(const MsspTensor& cache) {
  return cache.strides == nullptr || cache.shape[0] <= 1 ? Product(cache.shape + 1, cache.ndim - 1) : cache.strides[0];
}

// A graph of unknown dimensions takes a scale of rank 1 for [N]; here it may turn out to be [1].
int64_t Granularity(const MsspTensor* tensors, const SideOptions& side) {
  const MsspTensor& scale = tensors[side.scale];
  const bool is_one = side.scaling == MSSP_STATIC && side.granularity == MSSP_PER_HEAD && scale.shape[0] == 1;
  return is_one ? static_cast<int64_t>(MSSP_PER_TENSOR) : side.granularity;
}

// num_head as far as the tensors of a side tell it.
int64_t NumHeads(const MsspTensor* tensors, const SideOptions& side, const CacheShape& cache, bool flattened) {
  const MsspTensor& rows = tensors[side.rows];
  if (!flattened) return rows.shape[rows.ndim - 2];
  if (cache.tells_heads) return cache.num_head;
  if (HasScaleCache(side.scaling)) return tensors[side.scale_cache].shape[2];
  if (side.scaling == MSSP_STATIC && Granularity(tensors, side) != MSSP_PER_TENSOR) return tensors[side.scale].shape[0];
  return 0;
}

// Fills a side of the call. Strided rows that the core does not read are copied into `memory`.
void FillSide(const MsspTensor* tensors, const SideOptions& options, int64_t layout, bool flattened, Dimensions* shape,
              MsspPagedSide* side, Comparison* comparison) {
  const MsspTensor& rows = tensors[options.rows];
  const MsspTensor& cache = tensors[options.cache];
  const int64_t item_size = MsspItemSize(options.cache_type);
  const int64_t tokens = Product(rows.shape, rows.ndim - (flattened ? 1 : 2));
  const int64_t channels =
      flattened ? rows.shape[rows.ndim - 1] : Times(rows.shape[rows.ndim - 2], rows.shape[rows.ndim - 1]);
  const bool is_first = shape->num_blocks < 0;
  const CacheShape cache_shape = ReadCacheShape(cache.shape, cache.ndim, layout);
  int64_t heads = NumHeads(tensors, options, cache_shape, flattened);
  if (heads == 0) heads = is_first || shape->num_head == 0 ? 1 : shape->num_head;

  if (is_first) *shape = {tokens, heads, cache_shape.num_blocks, cache_shape.block_size};
  comparison->Expect(options.rows, tokens, shape->tokens);
  comparison->Expect(options.rows, heads, shape->num_head);
  comparison->Expect(options.cache, cache_shape.num_blocks, shape->num_blocks);
  comparison->Expect(options.cache, cache_shape.block_size, shape->block_size);
  comparison->Expect(options.cache, Product(cache.shape + 1, cache.ndim - 1), Times(channels, cache_shape.block_size));
  if (layout == MSSP_PA_NZ) comparison->Expect(options.cache, cache_shape.unit, MSSP_UNIT_BYTES / item_size);
  if (cache_shape.tells_heads) comparison->Expect(options.cache, cache_shape.num_head, heads);
  comparison->Expect(options.rows, heads > 0 ? channels % heads : 0, 0);

  side->rows = rows.data;
  side->cache = cache.data;
  side->head_size = heads > 0 ? channels / heads : 0;
  side->head_stride = side->head_size;
  side->token_stride = channels;
  if (rows.strides != nullptr) {
    side->token_stride = rows.strides[rows.ndim - (flattened ? 2 : 3)];
    if (!flattened) side->head_stride = rows.strides[rows.ndim - 2];
  }
  side->block_stride = BlockStride(cache);
  side->rows_type = static_cast<int32_t>(options.rows_type);
  side->cache_type = static_cast<int32_t>(options.cache_type);
  MsspScaling* scaling = &side->scaling;
  scaling->kind = static_cast<int32_t>(options.scaling);
  const int64_t granularity = Granularity(tensors, options);
  scaling->granularity = static_cast<int32_t>(granularity);
  if (HasScale(options.scaling)) {
    const MsspTensor& scale = tensors[options.scale];
    scaling->scale = scale.data;
    if (options.scaling == MSSP_GIVEN) {
      comparison->Expect(options.scale, scale.shape[0], tokens);
      comparison->Expect(options.scale, scale.shape[1], heads);
    } else {
      const int64_t each = granularity == MSSP_PER_CHANNEL ? channels : heads;
      comparison->Expect(options.scale, Product(scale.shape, scale.ndim), granularity == MSSP_PER_TENSOR ? 1 : each);
      if (granularity == MSSP_PER_CHANNEL) comparison->Expect(options.scale, scale.shape[0], heads);
    }
    if (options.has_offset != 0) {
      const MsspTensor& offset = tensors[options.offset];
      scaling->offset = offset.data;
      for (int64_t i = 0; i < scale.ndim; ++i) comparison->Expect(options.offset, offset.shape[i], scale.shape[i]);
    }
  }
  if (HasScaleCache(options.scaling)) {
    const MsspTensor& scales = tensors[options.scale_cache];
    const bool by_heads = layout == MSSP_NHSD;
    scaling->scale_cache = scales.data;
    scaling->scale_block_stride = BlockStride(scales);
    comparison->Expect(options.scale_cache, scales.shape[0], shape->num_blocks);
    comparison->Expect(options.scale_cache, scales.shape[by_heads ? 2 : 1], shape->block_size);
    comparison->Expect(options.scale_cache, scales.shape[by_heads ? 1 : 2], heads);
    if (by_heads) comparison->Expect(options.scale_cache, scales.shape[3], 1);
  }
}

// Copies of what the core wants contiguous, and of every index: what is checked is what is used.
class Copies {
 public:
  // A contiguous copy of the tensor.
  void* Take(const MsspTensor& tensor, int64_t item_size) {
    memories_.emplace_back(static_cast<size_t>(Product(tensor.shape, tensor.ndim) * item_size));
    std::vector<uint8_t>& memory = memories_.back();
    if (tensor.strides != nullptr) {
      MsspCopyContiguous(memory.data(), tensor.data, tensor.shape, tensor.strides, tensor.ndim, item_size, 0);
    } else if (!memory.empty()) {
      std::memcpy(memory.data(), tensor.data, memory.size());
    }
    return memory.data();
  }

 private:
  std::vector<std::vector<uint8_t>> memories_;
};

// Whether the core reads the rows as they lie: elements side by side, and one stride between tokens.
bool RowsAreRead(const MsspTensor& rows, bool flattened) {
  if (rows.strides == nullptr) return true;
  const int64_t last = rows.ndim - 1;
  if (rows.shape[last] > 1 && rows.strides[last] != 1) return false;
  return !flattened || rows.ndim < 3 || rows.shape[0] <= 1 || rows.strides[0] == rows.shape[1] * rows.strides[1];
}

// Whether what lies below the first axis is in one piece.
bool HasBlocks(const MsspTensor& tensor) {
  int64_t block = 1;
  for (int64_t i = tensor.ndim - 1; tensor.strides != nullptr && i > 0; --i) {
    if (tensor.shape[i] > 1 && tensor.strides[i] != block) return false;
    block = Times(block, tensor.shape[i]);
  }
  return true;
}

// Of a tensor that may be absent.
bool RegionOf(const MsspTensor& tensor, int64_t item_size, Region* region) {
  *region = Region{};
  if (tensor.data == nullptr) return true;
  return RegionOf(tensor.data, tensor.shape, tensor.strides, tensor.ndim, item_size, region);
}

constexpr int64_t kStatusShape = MSSP_STATUS_SIZE;

// Which bytes the tensors take, as they were given, and after them last_status and status. The status names the first
// tensor whose size overflows, which has no region then.
template <int kCount, typename Options>
MsspStatus FillRegions(const MsspTensor (&tensors)[kCount], const Options& options, const int64_t* last_status,
                       const int64_t* status, Region (&regions)[kCount + 2]) {
  MsspStatus result = kGood;
  for (int i = 0; i < kCount; ++i) {
    const bool fits = RegionOf(tensors[i], ArgumentItemSize(options, i), &regions[i]);
    if (!fits && result.code == MSSP_WRITTEN) {
      result = {MSSP_BAD_SHAPES, i, tensors[i].shape[0], kMaxBytes};
    }
  }
  if (last_status != nullptr) {
    SpanOf(last_status, &kStatusShape, nullptr, 1, sizeof(int64_t), &regions[kCount]);
  }
  SpanOf(status, &kStatusShape, nullptr, 1, sizeof(int64_t), &regions[kCount + 1]);
  return result;
}

// A status whose memory a written argument shares is not stored.
template <int kCount>
MsspStatus Report(MsspStatus result, const Region (&regions)[kCount], uint32_t written, const char* operation,
                  int64_t length, int64_t* status, int64_t* last_status, char* message, int64_t size) {
  const int64_t line[MSSP_STATUS_SIZE] = {result.code, result.position, result.value, result.limit};
  const auto store = [&](int place, int64_t* to) {
    if (result.code == MSSP_WRITTEN || !OverlapsWritten(regions, kCount, written, place)) {
      std::copy(line, line + MSSP_STATUS_SIZE, to);
    }
  };
  store(kCount - 1, status);
  if (result.code == MSSP_WRITTEN) return result;
  if (last_status != nullptr) store(kCount - 2, last_status);
  if (length < size) {
    std::snprintf(message + length, static_cast<size_t>(size - length), "; %s wrote nothing", operation);
  }
  return result;
}

template <typename Options>
void FillTypes(const Options& options, SideOptions* key, SideOptions* value) {
  key->rows_type = options.key_type;
  key->cache_type = options.key_cache_type;
  key->scaling = options.key_scaling;
  key->has_offset = options.key_has_offset;
  key->granularity = options.key_granularity;
  value->rows_type = options.value_type;
  value->cache_type = options.value_cache_type;
  value->scaling = options.value_scaling;
  value->has_offset = options.value_has_offset;
  value->granularity = options.value_granularity;
}

Ranks GatherRanks(int argument) { return {gather::kArgumentMinRank[argument], gather::kArgumentMaxRank[argument]}; }

MsspStatus BadOption(int64_t argument, int64_t given, int64_t expected) {
  return {MSSP_BAD_SHAPES, argument, given, expected};
}

MsspStatus CheckRank(const MsspTensor& tensor, int argument, const Ranks& ranks) {
  const bool fits = tensor.shape != nullptr && IsOneOf(tensor.ndim, ranks);
  return fits ? kGood : BadOption(argument, tensor.shape == nullptr ? 0 : tensor.ndim, ranks.most);
}

// Without memory these would be an argument that is absent; of the others the core tells.
MsspStatus CheckMemory(const MsspTensor& tensor, int argument) {
  const bool missing = IsMissing(tensor.data, tensor.shape, tensor.ndim);
  return missing ? BadOption(argument, 0, Product(tensor.shape, tensor.ndim)) : kGood;
}

// What Python's rules decide and a foreign caller of the C interface may get wrong: with it, what follows indexes a
// table or a shape.
MsspStatus CheckSideOptions(const MsspTensor* tensors, const SideOptions& side, int64_t layout, bool flattened) {
  if (MsspItemSize(side.rows_type) == 0) return BadOption(side.rows, side.rows_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (MsspItemSize(side.cache_type) == 0) return BadOption(side.cache, side.cache_type, MSSP_NUM_ELEMENT_TYPES - 1);
  if (side.scaling < 0 || side.scaling >= MSSP_NUM_SCALING_KINDS) {
    return BadOption(side.scale, side.scaling, MSSP_NUM_SCALING_KINDS - 1);
  }
  if (side.granularity < 0 || side.granularity >= MSSP_NUM_GRANULARITIES) {
    return BadOption(side.scale, side.granularity, MSSP_NUM_GRANULARITIES - 1);
  }
  const bool has_scale = HasScale(side.scaling);
  const bool has_cache = HasScaleCache(side.scaling);
  const bool per_channel = side.scaling == MSSP_STATIC && side.granularity == MSSP_PER_CHANNEL;
  const int64_t scale_rank = side.scaling == MSSP_GIVEN || per_channel ? 2 : 1;
  const int64_t scales_rank = layout == MSSP_NHSD ? 4 : 3;
  MsspStatus status = CheckRank(tensors[side.rows], side.rows, RowsRanks(false, flattened));
  if (status.code == MSSP_WRITTEN) status = CheckRank(tensors[side.cache], side.cache, CacheRanks(layout, false));
  if (status.code == MSSP_WRITTEN) status = CheckMemory(tensors[side.rows], side.rows);
  if (status.code == MSSP_WRITTEN && has_scale) {
    status = CheckRank(tensors[side.scale], side.scale, {scale_rank, scale_rank});
  }
  if (status.code == MSSP_WRITTEN && has_scale && side.has_offset != 0) {
    status = CheckRank(tensors[side.offset], side.offset, {tensors[side.scale].ndim, tensors[side.scale].ndim});
    if (status.code == MSSP_WRITTEN) status = CheckMemory(tensors[side.offset], side.offset);
  }
  if (status.code == MSSP_WRITTEN && has_cache) {
    status = CheckRank(tensors[side.scale_cache], side.scale_cache, {scales_rank, scales_rank});
  }
  if (status.code == MSSP_WRITTEN && !HasBlocks(tensors[side.cache])) {
    status = BadOption(side.cache, tensors[side.cache].strides[tensors[side.cache].ndim - 1], 1);
  }
  if (status.code == MSSP_WRITTEN && has_cache && !HasBlocks(tensors[side.scale_cache])) {
    status = BadOption(side.scale_cache, tensors[side.scale_cache].strides[scales_rank - 1], 1);
  }
  return status;
}

template <typename Options>
MsspStatus CheckOptions(const MsspTensor* tensors, const Options& options, const SideOptions (&sides)[2], int indices,
                        const Ranks& index_ranks) {
  if (options.layout < 0 || options.layout >= MSSP_NUM_LAYOUTS) {
    return BadOption(sides[0].cache, options.layout, MSSP_NUM_LAYOUTS - 1);
  }
  if (MsspIndexSize(options.index_type) == 0) return BadOption(indices, options.index_type, MSSP_NUM_INDEX_TYPES - 1);
  for (int i = 0; i < (options.key_only != 0 ? 1 : 2); ++i) {
    const MsspStatus status = CheckSideOptions(tensors, sides[i], options.layout, options.flattened != 0);
    if (status.code != MSSP_WRITTEN) return status;
  }
  return CheckRank(tensors[indices], indices, index_ranks);
}

// The tensors without those that the options say are absent, whose places may hold anything.
template <int kCount>
void DropAbsent(const SideOptions& side, bool absent, MsspTensor (&tensors)[kCount]) {
  const bool has_scale = HasScale(side.scaling);
  const bool has_cache = HasScaleCache(side.scaling);
  if (absent) tensors[side.rows] = tensors[side.cache] = {};
  if (absent || !has_scale) tensors[side.scale] = {};
  if (absent || side.has_offset == 0) tensors[side.offset] = {};
  if (absent || !has_cache) tensors[side.scale_cache] = {};
}

// Fills the call from the tensors; dimensions are compared.
MsspStatus FillCall(const MsspTensor* tensors, const SideOptions (&sides)[2], const MsspGatherOptions& options,
                    MsspGatherCall* call) {
  call->layout = static_cast<int32_t>(options.layout);
  call->index_type = static_cast<int32_t>(options.index_type);
  call->is_seq_lens_cumsum = static_cast<int32_t>(options.is_seq_lens_cumsum);
  Comparison comparison;
  const bool flattened = options.flattened != 0;
  Dimensions shape = {0, 0, -1, 0};
  for (int i = 0; i < (options.key_only != 0 ? 1 : 2); ++i) {
    const MsspTensor& rows = tensors[sides[i].rows];
    if (!RowsAreRead(rows, flattened)) comparison.Expect(sides[i].rows, rows.strides[rows.ndim - 1], 1);
    FillSide(tensors, sides[i], options.layout, flattened, &shape, i == 0 ? &call->key : &call->value, &comparison);
  }
  call->num_tokens = shape.tokens;
  call->num_head = shape.num_head;
  call->num_blocks = shape.num_blocks;
  call->block_size = shape.block_size;
  const MsspTensor& tables = tensors[gather::kBlockTables];
  const MsspTensor& lengths = tensors[gather::kSeqLens];
  call->batch = tables.shape[0];
  call->table_width = tables.shape[1];
  call->block_tables = tables.data;
  call->seq_lens = lengths.data;
  comparison.Expect(gather::kSeqLens, lengths.shape[0], LengthCount(*call));
  if (options.has_seq_offset != 0) {
    const MsspTensor& offsets = tensors[gather::kSeqOffset];
    call->seq_offset = offsets.data;
    comparison.Expect(gather::kSeqOffset, offsets.shape[0], call->batch);
  }
  return comparison.status();
}

MsspStatus FillCall(const MsspTensor* tensors, const SideOptions (&sides)[2], const MsspQuantOptions& options,
                    MsspQuantCall* call) {
  call->layout = static_cast<int32_t>(options.layout);
  call->index_type = static_cast<int32_t>(options.index_type);
  call->check_duplicates = static_cast<int32_t>(options.check_duplicates);
  Comparison comparison;
  Dimensions shape = {0, 0, -1, 0};
  for (int i = 0; i < (options.key_only != 0 ? 1 : 2); ++i) {
    FillSide(tensors, sides[i], options.layout, options.flattened != 0, &shape, i == 0 ? &call->key : &call->value,
             &comparison);
  }
  call->num_tokens = shape.tokens;
  call->num_head = shape.num_head;
  call->num_blocks = shape.num_blocks;
  call->block_size = shape.block_size;
  const MsspTensor& slots = tensors[quant::kSlotMapping];
  call->slot_mapping = slots.data;
  comparison.Expect(quant::kSlotMapping, slots.shape[0], shape.tokens);
  return comparison.status();
}

void UseOwnScales(const MsspTensor* tensors, const SideOptions& options, MsspPagedSide* side, Copies* copies) {
  MsspScaling* const scaling = &side->scaling;
  if (scaling->scale != nullptr) scaling->scale = copies->Take(tensors[options.scale], sizeof(float));
  if (scaling->offset != nullptr) scaling->offset = copies->Take(tensors[options.offset], sizeof(float));
}

}  // namespace
}  // namespace mssp

using namespace mssp;  // NOLINT: the C functions below speak the core's names

extern "C" MSSP_EXPORT MsspStatus MsspRunGather(const MsspTensor* given, const MsspGatherOptions* options,
                                                int64_t* status, int64_t* last_status, char* message, int64_t size) {
  constexpr int kCount = MSSP_GATHER_NUM_ARGUMENTS;
  MsspTensor tensors[kCount];
  std::copy(given, given + kCount, tensors);
  SideOptions sides[2] = {
      {gather::kKey, gather::kKeyCache, gather::kKeyScale, gather::kKeyOffset, gather::kKeyScaleCache, 0, 0, 0, 0, 0},
      {gather::kValue, gather::kValueCache, gather::kValueScale, gather::kValueOffset, gather::kValueScaleCache, 0, 0,
       0, 0, 0}};
  FillTypes(*options, &sides[0], &sides[1]);
  const int num_sides = options->key_only != 0 ? 1 : 2;
  for (int i = 0; i < 2; ++i) DropAbsent(sides[i], i >= num_sides, tensors);
  if (options->has_seq_offset == 0) tensors[gather::kSeqOffset] = {};

  MsspGatherCall call = {};
  Region regions[kCount + 2];  // without any where the options are bad
  const int64_t index = MsspIndexSize(options->index_type);
  MsspStatus result = CheckOptions(tensors, *options, sides, gather::kBlockTables, GatherRanks(gather::kBlockTables));
  if (result.code == MSSP_WRITTEN)
    result = CheckRank(tensors[gather::kSeqLens], gather::kSeqLens, GatherRanks(gather::kSeqLens));
  if (result.code == MSSP_WRITTEN && options->has_seq_offset != 0) {
    result = CheckRank(tensors[gather::kSeqOffset], gather::kSeqOffset, GatherRanks(gather::kSeqOffset));
    if (result.code == MSSP_WRITTEN) result = CheckMemory(tensors[gather::kSeqOffset], gather::kSeqOffset);
  }
  if (result.code == MSSP_WRITTEN) {
    const MsspStatus addressable = FillRegions(tensors, *options, last_status, status, regions);
    result = FillCall(tensors, sides, *options, &call);
    if (result.code == MSSP_WRITTEN) result = addressable;
  }
  if (result.code == MSSP_WRITTEN) result = CheckGatherDescription(call);
  if (result.code == MSSP_WRITTEN) result = FindOverlap(regions, kCount + 2, gather::kWritten);
  if (result.code == MSSP_WRITTEN) {
    result = WithoutExceptions([&] {
      Copies copies;
      call.block_tables = copies.Take(tensors[gather::kBlockTables], index);
      call.seq_lens = copies.Take(tensors[gather::kSeqLens], index);
      if (options->has_seq_offset != 0) call.seq_offset = copies.Take(tensors[gather::kSeqOffset], index);
      for (int i = 0; i < num_sides; ++i) UseOwnScales(tensors, sides[i], i == 0 ? &call.key : &call.value, &copies);
      std::vector<int64_t> starts;
      const MsspStatus values = CheckGatherValues(call, &starts);
      if (values.code == MSSP_WRITTEN) Gather(call, starts);
      return values;
    });
  }
  const int64_t length = result.code == MSSP_WRITTEN ? 0 : MsspFormatGatherStatus(&call, &result, message, size);
  return Report(result, regions, gather::kWritten, "npu_gather_pa_kv_cache", length, status, last_status, message,
                size);
}

extern "C" MSSP_EXPORT MsspStatus MsspRunQuant(const MsspTensor* given, const MsspQuantOptions* options,
                                               int64_t* status, int64_t* last_status, char* message, int64_t size) {
  constexpr int kCount = MSSP_QUANT_NUM_ARGUMENTS;
  MsspTensor tensors[kCount];
  std::copy(given, given + kCount, tensors);
  SideOptions sides[2] = {
      {quant::kKey, quant::kKeyCache, quant::kKeyScale, quant::kKeyOffset, quant::kKeyScaleCache, 0, 0, 0, 0, 0},
      {quant::kValue, quant::kValueCache, quant::kValueScale, quant::kValueOffset, quant::kValueScaleCache, 0, 0, 0, 0,
       0}};
  FillTypes(*options, &sides[0], &sides[1]);
  const int num_sides = options->key_only != 0 ? 1 : 2;
  for (int i = 0; i < 2; ++i) DropAbsent(sides[i], i >= num_sides, tensors);

  MsspQuantCall call = {};
  Region regions[kCount + 2];  // without any where the options are bad
  const int64_t index = MsspIndexSize(options->index_type);
  MsspStatus result =
      CheckOptions(tensors, *options, sides, quant::kSlotMapping,
                   {quant::kArgumentMinRank[quant::kSlotMapping], quant::kArgumentMaxRank[quant::kSlotMapping]});
  if (result.code == MSSP_WRITTEN) {
    const MsspStatus addressable = FillRegions(tensors, *options, last_status, status, regions);
    result = FillCall(tensors, sides, *options, &call);
    if (result.code == MSSP_WRITTEN) result = addressable;
  }
  if (result.code == MSSP_WRITTEN) result = CheckQuantDescription(call);
  if (result.code == MSSP_WRITTEN) result = FindOverlap(regions, kCount + 2, quant::kWritten);
  if (result.code == MSSP_WRITTEN) {
    result = WithoutExceptions([&] {
      Copies copies;
      call.slot_mapping = copies.Take(tensors[quant::kSlotMapping], index);
      for (int i = 0; i < num_sides; ++i) {
        MsspPagedSide* side = i == 0 ? &call.key : &call.value;
        const MsspTensor& rows = tensors[sides[i].rows];
        if (!RowsAreRead(rows, options->flattened != 0)) {
          side->rows = copies.Take(rows, MsspItemSize(side->rows_type));
          side->head_stride = side->head_size;
          side->token_stride = side->head_size * call.num_head;
        }
        UseOwnScales(tensors, sides[i], side, &copies);
      }
      const MsspStatus values = CheckQuantValues(call);
      if (values.code == MSSP_WRITTEN) WriteQuantised(call);
      return values;
    });
  }
  const int64_t length = result.code == MSSP_WRITTEN ? 0 : MsspFormatQuantStatus(&call, &result, message, size);
  return Report(result, regions, quant::kWritten, "quant_scatter_pa_kv_cache", length, status, last_status, message,
                size);
}
