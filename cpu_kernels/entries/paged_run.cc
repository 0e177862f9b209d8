#include "paged_run.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/export.h"
#include "core/overlap.h"
#include "core/paged_call.h"

namespace mssp {
namespace {

constexpr MsspStatus kGood = {MSSP_WRITTEN, 0, 0, 0};

// Compares dimensions and remembers the first that disagrees.
class Comparison {
 public:
  void Expect(int64_t argument, int64_t given, int64_t expected) {
    if (given != expected && status_.code == MSSP_WRITTEN) status_ = {MSSP_BAD_SHAPES, argument, given, expected};
  }
  const MsspStatus& status() const { return status_; }

 private:
  MsspStatus status_ = kGood;
};

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

int64_t Product(const int64_t* shape, int64_t ndim) {
  int64_t product = 1;
  for (int64_t i = 0; i < ndim; ++i) product *= shape[i];
  return product;
}

int64_t BlockStride(const MsspTensor& cache) {
  return cache.strides == nullptr || cache.shape[0] <= 1 ? Product(cache.shape + 1, cache.ndim - 1) : cache.strides[0];
}

// num_head as far as the tensors of a side tell it.
int64_t NumHeads(const MsspTensor* tensors, const SideOptions& side, int64_t layout, bool flattened) {
  const MsspTensor& rows = tensors[side.rows];
  const MsspTensor& cache = tensors[side.cache];
  if (!flattened) return rows.shape[rows.ndim - 2];
  if (layout == MSSP_NHSD) return cache.shape[1];
  if (layout == MSSP_NORM && cache.ndim == 4) return cache.shape[2];
  if (layout == MSSP_PA_NZ && cache.ndim == 5) return cache.shape[1];
  if (side.scaling == MSSP_DYNAMIC || side.scaling == MSSP_GIVEN) return tensors[side.scale_cache].shape[2];
  if (side.scaling == MSSP_STATIC && side.granularity != MSSP_PER_TENSOR) return tensors[side.scale].shape[0];
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
      flattened ? rows.shape[rows.ndim - 1] : rows.shape[rows.ndim - 2] * rows.shape[rows.ndim - 1];
  const bool is_first = shape->num_blocks < 0;
  int64_t heads = NumHeads(tensors, options, layout, flattened);
  if (heads == 0) heads = is_first || shape->num_head == 0 ? 1 : shape->num_head;

  const int64_t block_axis = layout == MSSP_NORM || cache.ndim == 3 ? 1 : layout == MSSP_NHSD ? 2 : cache.ndim - 2;
  if (is_first) {
    *shape = {tokens, heads, cache.shape[0], cache.shape[block_axis]};
  }
  comparison->Expect(options.rows, tokens, shape->tokens);
  comparison->Expect(options.rows, heads, shape->num_head);
  comparison->Expect(options.cache, cache.shape[0], shape->num_blocks);
  comparison->Expect(options.cache, cache.shape[block_axis], shape->block_size);
  comparison->Expect(options.cache, Product(cache.shape + 1, cache.ndim - 1), channels * cache.shape[block_axis]);
  if (layout == MSSP_PA_NZ) comparison->Expect(options.cache, cache.shape[cache.ndim - 1], MSSP_UNIT_BYTES / item_size);
  const int head_axis = layout == MSSP_NORM                      ? (cache.ndim == 4 ? 2 : 0)
                        : layout == MSSP_NHSD || cache.ndim == 5 ? 1
                                                                 : 0;
  if (head_axis != 0) comparison->Expect(options.cache, cache.shape[head_axis], heads);
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
  scaling->granularity = static_cast<int32_t>(options.granularity);
  if (options.scaling == MSSP_STATIC || options.scaling == MSSP_GIVEN) {
    const MsspTensor& scale = tensors[options.scale];
    scaling->scale = scale.data;
    if (options.scaling == MSSP_GIVEN) {
      comparison->Expect(options.scale, scale.shape[0], tokens);
      comparison->Expect(options.scale, scale.shape[1], heads);
    } else {
      const int64_t each = options.granularity == MSSP_PER_CHANNEL ? channels : heads;
      comparison->Expect(options.scale, Product(scale.shape, scale.ndim),
                         options.granularity == MSSP_PER_TENSOR ? 1 : each);
      if (options.granularity == MSSP_PER_CHANNEL) comparison->Expect(options.scale, scale.shape[0], heads);
    }
    if (options.has_offset != 0) {
      const MsspTensor& offset = tensors[options.offset];
      scaling->offset = offset.data;
      for (int64_t i = 0; i < scale.ndim; ++i) comparison->Expect(options.offset, offset.shape[i], scale.shape[i]);
    }
  }
  if (options.scaling == MSSP_DYNAMIC || options.scaling == MSSP_GIVEN) {
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
  const MsspTensor* Take(const MsspTensor& tensor, int64_t item_size) {
    memories_.emplace_back(static_cast<size_t>(Product(tensor.shape, tensor.ndim) * item_size));
    packed_.push_back(tensor);
    packed_.back().data = memories_.back().data();
    packed_.back().strides = nullptr;
    const auto* const from = static_cast<const uint8_t*>(tensor.data);
    if (tensor.strides == nullptr) {
      std::memcpy(memories_.back().data(), from, memories_.back().size());
    } else if (!memories_.back().empty()) {
      MakeContiguous(from, tensor, 0, item_size, memories_.back().data());
    }
    return &packed_.back();
  }

 private:
  static uint8_t* MakeContiguous(const uint8_t* from, const MsspTensor& tensor, int64_t axis, int64_t item_size,
                                 uint8_t* to) {
    for (int64_t i = 0; i < tensor.shape[axis]; ++i, from += tensor.strides[axis] * item_size) {
      if (axis + 1 < tensor.ndim) {
        to = MakeContiguous(from, tensor, axis + 1, item_size, to);
      } else {
        std::memcpy(to, from, static_cast<size_t>(item_size));
        to += item_size;
      }
    }
    return to;
  }

  std::vector<std::vector<uint8_t>> memories_;
  std::vector<MsspTensor> packed_;
};

// Whether the core reads the rows as they lie: elements side by side, and one stride between tokens.
bool RowsAreRead(const MsspTensor& rows, bool flattened) {
  if (rows.strides == nullptr) return true;
  const int64_t last = rows.ndim - 1;
  if (rows.shape[last] > 1 && rows.strides[last] != 1) return false;
  return !flattened || rows.ndim < 3 || rows.shape[0] <= 1 || rows.strides[0] == rows.shape[1] * rows.strides[1];
}

// A tensor whose blocks lie apart, each in one piece, as blocks; anything else from its first byte to its last.
bool RegionOf(const MsspTensor& tensor, int64_t item_size, Region* region) {
  *region = Region{};
  if (tensor.data == nullptr) return true;
  if (!SpanOf(tensor.data, tensor.shape, tensor.strides, tensor.ndim, item_size, region)) return false;
  if (tensor.strides == nullptr || region->count == 0 || region->bytes == 0 || tensor.shape[0] <= 1) return true;
  int64_t block = 1;
  for (int64_t i = tensor.ndim - 1; i > 0; --i) {
    if (tensor.shape[i] > 1 && tensor.strides[i] != block) return true;
    block *= tensor.shape[i];
  }
  if (tensor.strides[0] >= block) {
    *region = {reinterpret_cast<uintptr_t>(tensor.data), block * item_size, tensor.strides[0] * item_size,
               tensor.shape[0]};
  }
  return true;
}

constexpr int64_t kStatusShape = MSSP_STATUS_SIZE;

// Nothing that a call is given shares a byte with what it writes. The places after the arguments are last_status's and
// status's; two that are written are named in their order.
template <int kCount>
MsspStatus FindOverlap(const MsspTensor* tensors, const int64_t (&item_sizes)[kCount], const bool (&written)[kCount],
                       const int64_t* last_status, const int64_t* status) {
  Region regions[kCount + 2];
  for (int i = 0; i < kCount; ++i) {
    if (!RegionOf(tensors[i], item_sizes[i], &regions[i])) return {MSSP_BAD_SHAPES, i, tensors[i].shape[0], kMaxBytes};
  }
  if (last_status != nullptr) {
    SpanOf(last_status, &kStatusShape, nullptr, 1, sizeof(int64_t), &regions[kCount]);
  }
  SpanOf(status, &kStatusShape, nullptr, 1, sizeof(int64_t), &regions[kCount + 1]);
  for (int target = 0; target < kCount; ++target) {
    if (!written[target]) continue;
    for (int other = 0; other < kCount + 2; ++other) {
      if (other == target || (other < kCount && written[other] && other > target)) continue;
      if (Overlap(regions[target], regions[other])) return {MSSP_BAD_SHAPES, target, -1 - other, -1};
    }
  }
  return kGood;
}

// `count` is the operator's number of arguments: a status whose memory a written argument shares is not stored.
MsspStatus Report(MsspStatus result, int count, const char* operation, int64_t length, int64_t* status,
                  int64_t* last_status, char* message, int64_t size) {
  const int64_t line[MSSP_STATUS_SIZE] = {result.code, result.position, result.value, result.limit};
  const auto touches = [&](int place) {
    return result.code == MSSP_BAD_SHAPES && result.limit == -1 && result.value == -1 - place;
  };
  if (!touches(count + 1)) std::copy(line, line + MSSP_STATUS_SIZE, status);
  if (result.code == MSSP_WRITTEN) return result;
  if (last_status != nullptr && !touches(count)) std::copy(line, line + MSSP_STATUS_SIZE, last_status);
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

// The tensors without those that the options say are absent, whose places may hold anything.
template <int kCount>
void DropAbsent(const SideOptions& side, bool absent, MsspTensor (&tensors)[kCount]) {
  const bool has_scale = side.scaling == MSSP_STATIC || side.scaling == MSSP_GIVEN;
  const bool has_cache = side.scaling == MSSP_DYNAMIC || side.scaling == MSSP_GIVEN;
  if (absent) tensors[side.rows] = tensors[side.cache] = {};
  if (absent || !has_scale) tensors[side.scale] = {};
  if (absent || side.has_offset == 0) tensors[side.offset] = {};
  if (absent || !has_cache) tensors[side.scale_cache] = {};
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
  call.layout = static_cast<int32_t>(options->layout);
  call.index_type = static_cast<int32_t>(options->index_type);
  call.is_seq_lens_cumsum = static_cast<int32_t>(options->is_seq_lens_cumsum);
  Comparison comparison;
  Dimensions shape = {0, 0, -1, 0};
  const bool flattened = options->flattened != 0;
  for (int i = 0; i < num_sides; ++i) {
    FillSide(tensors, sides[i], options->layout, flattened, &shape, i == 0 ? &call.key : &call.value, &comparison);
  }
  call.num_tokens = shape.tokens;
  call.num_head = shape.num_head;
  call.num_blocks = shape.num_blocks;
  call.block_size = shape.block_size;
  const MsspTensor& tables = tensors[gather::kBlockTables];
  call.batch = tables.shape[0];
  call.table_width = tables.shape[1];
  comparison.Expect(gather::kSeqLens, tensors[gather::kSeqLens].shape[0],
                    call.batch + (call.is_seq_lens_cumsum != 0 ? 1 : 0));
  if (options->has_seq_offset != 0) {
    comparison.Expect(gather::kSeqOffset, tensors[gather::kSeqOffset].shape[0], call.batch);
  }
  MsspStatus result = comparison.status();
  const int64_t index = MsspIndexSize(options->index_type);
  if (result.code == MSSP_WRITTEN) {
    const int64_t key = MsspItemSize(options->key_type);
    const int64_t value = MsspItemSize(options->value_type);
    const int64_t item_sizes[kCount] = {MsspItemSize(options->key_cache_type),
                                        MsspItemSize(options->value_cache_type),
                                        index,
                                        index,
                                        key,
                                        value,
                                        index,
                                        4,
                                        4,
                                        4,
                                        4,
                                        4,
                                        4};
    bool written[kCount] = {};
    written[gather::kKey] = written[gather::kValue] = true;
    result = FindOverlap(tensors, item_sizes, written, last_status, status);
  }
  if (result.code == MSSP_WRITTEN) {
    Copies copies;
    call.block_tables = copies.Take(tables, index)->data;
    call.seq_lens = copies.Take(tensors[gather::kSeqLens], index)->data;
    if (options->has_seq_offset != 0) call.seq_offset = copies.Take(tensors[gather::kSeqOffset], index)->data;
    for (int i = 0; i < num_sides; ++i) {
      MsspScaling* scaling = &(i == 0 ? call.key : call.value).scaling;
      if (scaling->scale != nullptr) scaling->scale = copies.Take(tensors[sides[i].scale], 4)->data;
      if (scaling->offset != nullptr) scaling->offset = copies.Take(tensors[sides[i].offset], 4)->data;
    }
    result = MsspGatherPaKvCache(&call);
  }
  const int64_t length = result.code == MSSP_WRITTEN ? 0 : MsspFormatGatherStatus(&call, &result, message, size);
  return Report(result, kCount, "npu_gather_pa_kv_cache", length, status, last_status, message, size);
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
  call.layout = static_cast<int32_t>(options->layout);
  call.index_type = static_cast<int32_t>(options->index_type);
  call.check_duplicates = static_cast<int32_t>(options->check_duplicates);
  Comparison comparison;
  Dimensions shape = {0, 0, -1, 0};
  const bool flattened = options->flattened != 0;
  for (int i = 0; i < num_sides; ++i) {
    FillSide(tensors, sides[i], options->layout, flattened, &shape, i == 0 ? &call.key : &call.value, &comparison);
  }
  call.num_tokens = shape.tokens;
  call.num_head = shape.num_head;
  call.num_blocks = shape.num_blocks;
  call.block_size = shape.block_size;
  comparison.Expect(quant::kSlotMapping, tensors[quant::kSlotMapping].shape[0], shape.tokens);
  MsspStatus result = comparison.status();
  const int64_t index = MsspIndexSize(options->index_type);
  if (result.code == MSSP_WRITTEN) {
    const int64_t item_sizes[kCount] = {
        MsspItemSize(options->key_type), MsspItemSize(options->value_type), 1, 1, index, 4, 4, 4, 4, 4, 4};
    bool written[kCount] = {};
    for (int i : {quant::kKeyCache, quant::kValueCache, quant::kKeyScaleCache, quant::kValueScaleCache}) {
      written[i] = true;
    }
    result = FindOverlap(tensors, item_sizes, written, last_status, status);
  }
  if (result.code == MSSP_WRITTEN) {
    Copies copies;
    call.slot_mapping = copies.Take(tensors[quant::kSlotMapping], index)->data;
    for (int i = 0; i < num_sides; ++i) {
      MsspPagedSide* side = i == 0 ? &call.key : &call.value;
      const MsspTensor& rows = tensors[sides[i].rows];
      if (!RowsAreRead(rows, flattened)) {
        side->rows = copies.Take(rows, MsspItemSize(side->rows_type))->data;
        side->head_stride = side->head_size;
        side->token_stride = side->head_size * shape.num_head;
      }
      MsspScaling* scaling = &side->scaling;
      if (scaling->scale != nullptr) scaling->scale = copies.Take(tensors[sides[i].scale], 4)->data;
      if (scaling->offset != nullptr) scaling->offset = copies.Take(tensors[sides[i].offset], 4)->data;
    }
    result = MsspQuantScatterPaKvCache(&call);
  }
  const int64_t length = result.code == MSSP_WRITTEN ? 0 : MsspFormatQuantStatus(&call, &result, message, size);
  return Report(result, kCount, "quant_scatter_pa_kv_cache", length, status, last_status, message, size);
}
