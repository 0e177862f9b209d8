// How the work of the gather and of the quantising write is cut and how the unified buffer is shared out. No CANN
// types.
#include "ms_scatter_pa_paged_tiling.h"
#include "ms_scatter_pa_shapes.h"

namespace mssp_host {
namespace {

static_assert(static_cast<int32_t>(quant::kInputs) == kPagedInputs, "inputs of the quantising write");

constexpr int64_t kLeastShare = MSSP_GOOD_BURST;  // fewer bytes are not worth another core
constexpr int64_t kReserved = 1024;               // the runtime keeps a little of the unified buffer for itself
constexpr int64_t kRepeatsReserved = 8 * 1024;    // and on 950 parts what repeated vector instructions need
constexpr int64_t kLargeBuffer = 200 * 1024;
constexpr int64_t kZeroBytes = 4096;
constexpr int64_t kWindow = 512;
constexpr int64_t kMostHeadRows = 248;  // repetitions of one vector instruction end at 255
constexpr int64_t kMostElements = 4096;
constexpr int64_t kMostReadElements = 2048;
constexpr int64_t kLeastElements = 1024;
constexpr int64_t kMostCopyBuffer = 16 * 1024;
constexpr int64_t kLeastCopyBuffer = 4 * 1024;
constexpr int64_t kGroupCopyBuffer = 4 * 1024;
constexpr int64_t kMostTileBuffer = 24 * 1024;
constexpr int64_t kLeastTileBuffer = 16 * 1024;
constexpr int64_t kFloat = 4;

int64_t WholeLists(int64_t count) { return (count + MSSP_BLOCK_FLOATS - 1) / MSSP_BLOCK_FLOATS * MSSP_BLOCK_FLOATS; }

// The inputs by what they are for, in either operator.
struct Places {
  int32_t rows[2];
  int32_t caches[2];
  int32_t scales[2];
  int32_t scale_caches[2];  // -1: the scale's own place is the scale cache's
};

struct PagedModes {
  int32_t layout;
  bool key_only;
  bool cumsum;
  bool has_seq_offset;
  int32_t scaling[2];
  int32_t granularity[2];
  bool has_offset[2];
};

constexpr int64_t kScalingLimits[2] = {MSSP_NUM_SCALING_KINDS, 2 * MSSP_NUM_GRANULARITIES};

const char* ReadPagedModes(const TensorShape& shape, bool gathers, PagedModes* modes) {
  const int32_t rank = gathers ? 8 : 6;
  if (shape.rank != rank) {
    return "mode: expected 8 dimensions of a gather, 6 of a quantising write";
  }
  int64_t numbers[8] = {};
  for (int32_t i = 0; i < rank; ++i) {
    const int32_t from_end = rank - 1 - i;
    const int64_t limit = from_end < 4 ? kScalingLimits[(from_end + 1) % 2] : i == 0 ? MSSP_NUM_LAYOUTS : 2;
    if (shape.dims[i] < 1 || shape.dims[i] > limit) {
      return "mode: a dimension names no mode";
    }
    numbers[i] = shape.dims[i] - 1;
  }
  modes->layout = static_cast<int32_t>(numbers[0]);
  modes->key_only = numbers[1] != 0;
  modes->cumsum = gathers && numbers[2] != 0;
  modes->has_seq_offset = gathers && numbers[3] != 0;
  for (int32_t i = 0; i < 2; ++i) {
    const int64_t* side = numbers + rank - 4 + 2 * i;
    modes->scaling[i] = static_cast<int32_t>(side[0]);
    modes->has_offset[i] = side[1] % 2 != 0;
    modes->granularity[i] = static_cast<int32_t>(side[1] / 2);
  }
  if (gathers && (modes->scaling[0] == MSSP_GIVEN || modes->scaling[1] == MSSP_GIVEN)) {
    return "mode: a gather is given no scales of rows";
  }
  return nullptr;
}

// num_head where rows come as [T, N*D]: what a cache, or a scale, tells; 1 where memory does not depend on it.
int64_t HeadsOfFlat(const PagedCall& call, const Places& places, const PagedModes& modes) {
  const int64_t told = ToldHeads(call.shapes[places.caches[0]], modes.layout);
  if (told >= 0) {
    return told;
  }
  for (int32_t i = 0; i < 2; ++i) {
    const int32_t own = places.scale_caches[i] < 0 ? places.scales[i] : places.scale_caches[i];
    const TensorShape& kept = call.shapes[own];
    const TensorShape& scale = call.shapes[places.scales[i]];
    if ((modes.scaling[i] == MSSP_DYNAMIC || modes.scaling[i] == MSSP_GIVEN) && kept.rank > 0) {
      return kept.dims[kept.rank - 1];
    }
    if (modes.scaling[i] == MSSP_STATIC && modes.granularity[i] == MSSP_PER_HEAD && scale.rank > 0 &&
        scale.dims[scale.rank - 1] != 1) {
      return scale.dims[scale.rank - 1];
    }
    if (modes.scaling[i] == MSSP_STATIC && modes.granularity[i] == MSSP_PER_CHANNEL && scale.rank > 1) {
      return scale.dims[scale.rank - 2];
    }
  }
  return 1;
}

const char* CheckScales(const PagedCall& call, const Places& places, const PagedModes& modes, int32_t index,
                        const MsspPagedTiling& tiling) {
  const MsspPagedSideTiling& side = tiling.side[index];
  const TensorShape& scale = call.shapes[places.scales[index]];
  int64_t expected = 0;
  if (side.scaling == MSSP_STATIC) {
    expected = side.granularity == MSSP_PER_TENSOR ? 1 : tiling.num_head;
    expected *= side.granularity == MSSP_PER_CHANNEL ? side.head_size : 1;
    return HasCount(scale, expected * (modes.has_offset[index] ? 2 : 1))
               ? nullptr
               : "key_scale, value_scale: expected [1], [N] or [N, D], behind a 2 where there are offsets";
  }
  if (side.scaling == MSSP_GIVEN &&
      (!Multiply(tiling.num_rows, tiling.num_head, &expected) || !HasCount(scale, expected))) {
    return "key_scale, value_scale: expected [T, N]";
  }
  const int32_t kept = places.scale_caches[index] < 0 ? places.scales[index] : places.scale_caches[index];
  if (side.scaling != MSSP_COPIED && (!Multiply(tiling.num_blocks * tiling.block_size, tiling.num_head, &expected) ||
                                      !HasCount(call.shapes[kept], expected))) {
    return "key_scale_cache, value_scale_cache: expected [NB, BS, N], in NHSD [NB, N, BS, 1]";
  }
  return nullptr;
}

const char* ReadPagedSide(const PagedCall& call, const Places& places, const PagedModes& modes, int32_t index,
                          bool gathers, MsspPagedTiling* tiling) {
  const TensorShape& rows = call.shapes[places.rows[index]];
  MsspPagedSideTiling* side = &tiling->side[index];
  side->row_type = index == 0 ? call.key_type : call.value_type;
  side->cache_type = index == 0 ? call.key_cache_type : call.value_cache_type;
  side->scaling = modes.scaling[index];
  side->has_offset = modes.has_offset[index] ? 1 : 0;
  // A graph of unknown dimensions takes a scale of rank 1 for [N]; here it may turn out to be [1].
  const bool is_one = HasCount(call.shapes[places.scales[index]], 1 + side->has_offset);
  side->granularity = modes.granularity[index] == MSSP_PER_HEAD && is_one ? static_cast<int32_t>(MSSP_PER_TENSOR)
                                                                          : modes.granularity[index];
  int64_t elements = 0;
  if (!ElementCount(rows, &elements) || elements > INT64_MAX / 8) {
    return "key, value: too large";
  }
  const int64_t heads = tiling->num_head;
  if (heads <= 0 || rows.dims[0] != tiling->num_rows || (rows.rank == 3 ? rows.dims[1] != heads : rows.rank != 2)) {
    return "key, value: expected [T, N, D] or [T, N*D], of one T and N";
  }
  const int64_t channels = rows.rank == 3 ? heads * rows.dims[2] : rows.dims[1];
  if (channels <= 0 || channels % heads != 0) {
    return "key, value: empty heads, or channels that are no multiple of num_head";
  }
  side->head_size = channels / heads;
  const bool scaled = side->scaling == MSSP_STATIC || side->scaling == MSSP_DYNAMIC;
  if (!scaled && side->row_type != side->cache_type) {
    return "key_cache, value_cache: another dtype than the rows that are copied";
  }
  if (side->has_offset != 0 && (side->scaling != MSSP_STATIC || side->cache_type != MSSP_INT8)) {
    return "mode: offsets belong to static scales of int8 caches";
  }
  if ((scaled || !gathers) && (side->head_size % MSSP_DATA_BLOCK != 0 || side->head_size > kLongestScaledHead)) {
    return "key, value: of quantised caches expected head_size a multiple of 32, at most 1024";
  }
  if (scaled && heads > kMostScaledHeads) {
    return "key, value: of quantised caches expected at most 1024 heads";
  }
  mssp::CacheShape cache = {};
  if (!ReadCache(call.shapes[places.caches[index]], modes.layout, false, heads, side->head_size, side->cache_type,
                 &cache)) {
    return "key_cache, value_cache: the shape does not fit the rows";
  }
  if (index == 1 && (cache.num_blocks != tiling->num_blocks || cache.block_size != tiling->block_size)) {
    return "value_cache: num_blocks or block_size differ from key_cache";
  }
  tiling->num_blocks = cache.num_blocks;
  tiling->block_size = cache.block_size;
  side->head_bytes = side->head_size * MsspItemSize(side->row_type);
  side->row_bytes = side->head_bytes * heads;
  side->code_bytes = side->head_size * MsspItemSize(side->cache_type);
  side->cache_bytes = side->code_bytes * heads;
  side->group_bytes = modes.layout == MSSP_PA_NZ  ? MSSP_DATA_BLOCK
                      : modes.layout == MSSP_NHSD ? side->code_bytes
                                                  : side->cache_bytes;
  side->groups = side->cache_bytes / side->group_bytes;
  int64_t capacity = 0;
  if (!Multiply(tiling->num_blocks, tiling->block_size, &capacity)) {
    return "key_cache, value_cache: too large";
  }
  return CheckScales(call, places, modes, index, *tiling);
}

const char* ReadCommon(const PagedCall& call, const Places& places, const PagedModes& modes, bool gathers,
                       int32_t last_status, MsspPagedTiling* tiling) {
  const TensorShape& key = call.shapes[places.rows[0]];
  if (key.rank != 2 && key.rank != 3) {
    return "key: expected [T, N, D] or [T, N*D]";
  }
  tiling->num_rows = key.dims[0];
  tiling->num_head = key.rank == 3 ? key.dims[1] : HeadsOfFlat(call, places, modes);
  tiling->layout = modes.layout;
  tiling->index_type = call.index_type;
  for (int32_t i = 0; i < (modes.key_only ? 1 : 2); ++i) {
    const char* wrong = ReadPagedSide(call, places, modes, i, gathers, tiling);
    if (wrong != nullptr) {
      return wrong;
    }
  }
  if (call.cores < 1 || call.unified_buffer_bytes < 188 * 1024) {
    return "this part has no vector cores, or too small a unified buffer";
  }
  if (HasCount(call.shapes[last_status], MSSP_STATUS_SIZE)) {
    tiling->keep_last = 1;
  } else if (!HasCount(call.shapes[last_status], 1)) {
    return "last_status: expected [4], or [1] where there is none";
  }
  tiling->block_shift = ShiftOf(tiling->block_size);
  tiling->index_window = static_cast<int32_t>(kWindow);
  return nullptr;
}

// Equal shares of bytes; no core without at least one unit of the work.
const char* ShareOutPaged(const PagedCall& call, int64_t units, MsspPagedTiling* tiling) {
  int64_t total = 0;
  if (!Multiply(tiling->num_rows, tiling->side[0].row_bytes + tiling->side[1].row_bytes, &total)) {
    return "key, value: too large";
  }
  const int64_t wanted = MsspMin(units, (total + kLeastShare - 1) / kLeastShare);
  tiling->used_cores = static_cast<int32_t>(Clamp(wanted, 1, call.cores));
  tiling->share = total / tiling->used_cores;
  tiling->share_rest = total - tiling->share * tiling->used_cores;
  return nullptr;
}

bool IsScaled(const MsspPagedSideTiling& side) {
  return side.row_bytes > 0 && (side.scaling == MSSP_STATIC || side.scaling == MSSP_DYNAMIC);
}

// Sets the tile for so many elements at a time; returns the longest list of head rows, in whole blocks of numbers.
int64_t SetTiles(int64_t elements, MsspPagedTiling* tiling) {
  int64_t most = 0;
  for (MsspPagedSideTiling& side : tiling->side) {
    if (side.row_bytes == 0 || side.head_size > elements) {
      continue;
    }
    int64_t head_rows = MsspMin(elements / side.head_size, kMostHeadRows);
    if (head_rows >= tiling->num_head) {
      head_rows -= head_rows % tiling->num_head;
    }
    side.tile_head_rows = head_rows;
    most = MsspMax(most, head_rows);
  }
  tiling->tile_elements = static_cast<int32_t>(elements);
  return WholeLists(most);
}

int64_t StaticFloats(const MsspPagedTiling& tiling) {
  int64_t floats = 0;
  for (const MsspPagedSideTiling& side : tiling.side) {
    if (side.row_bytes > 0 && side.scaling == MSSP_STATIC) {
      const int64_t count = side.granularity == MSSP_PER_CHANNEL ? tiling.num_head * side.head_size : tiling.num_head;
      floats = MsspMax(floats, WholeLists(count));
    }
  }
  return floats;
}

int64_t StaticBytes(const MsspPagedTiling& tiling, int64_t head_rows) {
  const int64_t list = WholeLists(tiling.num_head + head_rows);
  return tiling.scale_floats == 0 ? 0 : 2 * tiling.scale_floats * kFloat + list * (kFloat + 2 * MSSP_DATA_BLOCK);
}

int64_t LongestHead(const MsspPagedTiling& tiling) {
  return MsspMax(tiling.side[0].head_size, tiling.side[1].head_size);
}

int64_t Available(const PagedCall& call) {
  const int64_t repeats = call.unified_buffer_bytes > kLargeBuffer ? kRepeatsReserved : 0;
  return call.unified_buffer_bytes - kReserved - repeats - MSSP_STATUS_BYTES;
}

const char* kNoRoom = "key_scale, value_scale: num_head * head_size is too large for scales per channel on this part";

}  // namespace

const char* ComputeQuantTiling(const PagedCall& call, MsspPagedTiling* tiling) {
  *tiling = MsspPagedTiling();
  const Places places = {{quant::kKey, quant::kValue},
                         {quant::kKeyCache, quant::kValueCache},
                         {quant::kKeyScale, quant::kValueScale},
                         {quant::kKeyScaleCache, quant::kValueScaleCache}};
  PagedModes modes = {};
  const char* wrong = ReadPagedModes(call.shapes[quant::kMode], false, &modes);
  if (wrong == nullptr) {
    wrong = ReadCommon(call, places, modes, false, quant::kLastStatus, tiling);
  }
  if (wrong == nullptr && !HasCount(call.shapes[quant::kSlotMapping], tiling->num_rows)) {
    wrong = "slot_mapping: expected one slot per token";
  }
  int64_t head_rows = 0;
  if (wrong == nullptr && !Multiply(tiling->num_rows, 2 * tiling->num_head, &head_rows)) {
    wrong = "key, value: too large";
  }
  if (wrong == nullptr) {
    wrong = ShareOutPaged(call, head_rows, tiling);
  }
  if (wrong != nullptr) {
    return wrong;
  }
  tiling->scale_floats = static_cast<int32_t>(MsspMin(StaticFloats(*tiling), INT32_MAX));
  // Of each element: two rows of float32 coming in, two codes going out, and its float32, code, float16, mask,
  // magnitude, folded magnitude and flag. Of each head row: scales coming in and going out.
  for (int64_t elements = kMostElements; elements >= MsspMax(kLeastElements, LongestHead(*tiling)); elements /= 2) {
    const int64_t most = SetTiles(elements, tiling);
    const int64_t tile = elements * (8 + 2 + 4 + 1 + 2 + 12) + elements / 8;
    const int64_t lists = most * (2 * kFloat + 2 * (kFloat + MSSP_DATA_BLOCK) + 4 * kFloat);
    if (tile + lists + StaticBytes(*tiling, most) + kWindow * 8 <= Available(call)) {
      return nullptr;
    }
  }
  return kNoRoom;
}

const char* ComputeGatherTiling(const PagedCall& call, MsspPagedTiling* tiling) {
  *tiling = MsspPagedTiling();
  const Places places = {{gather::kKey, gather::kValue},
                         {gather::kKeyCache, gather::kValueCache},
                         {gather::kKeyScale, gather::kValueScale},
                         {-1, -1}};
  PagedModes modes = {};
  const char* wrong = ReadPagedModes(call.shapes[gather::kMode], true, &modes);
  if (wrong == nullptr) {
    wrong = ReadCommon(call, places, modes, true, gather::kLastStatus, tiling);
  }
  if (wrong != nullptr) {
    return wrong;
  }
  const TensorShape& tables = call.shapes[gather::kBlockTables];
  int64_t entries = 0;
  if (tables.rank != 2 || !ElementCount(tables, &entries)) {
    return "block_tables: expected [B, W]";
  }
  tiling->batch = tables.dims[0];
  tiling->width = tables.dims[1];
  tiling->is_cumsum = modes.cumsum ? 1 : 0;
  tiling->has_seq_offset = modes.has_seq_offset ? 1 : 0;
  if (!HasCount(call.shapes[gather::kSeqLens], tiling->batch + tiling->is_cumsum)) {
    return "seq_lens: expected [B], or [B + 1] of sums";
  }
  if (modes.has_seq_offset && !HasCount(call.shapes[gather::kSeqOffset], tiling->batch)) {
    return "seq_offset: expected [B]";
  }
  int64_t units = 0;
  if (!Multiply(tiling->num_rows, 2, &units)) {
    return "key, value: too large";
  }
  wrong = ShareOutPaged(call, units, tiling);
  if (wrong != nullptr) {
    return wrong;
  }
  int64_t left = Available(call) - 3 * kWindow * 8 - kZeroBytes;
  bool copies = false;
  bool uneven = false;
  for (const MsspPagedSideTiling& side : tiling->side) {
    const bool copied = side.row_bytes > 0 && !IsScaled(side);
    copies = copies || copied;
    uneven = uneven || (copied && (!MsspIsAligned(side.group_bytes) || side.group_bytes > kLeastTileBuffer));
  }
  // A side that is only copied needs no tile of elements, but fits one where the other side has it.
  if (IsScaled(tiling->side[0]) || IsScaled(tiling->side[1])) {
    tiling->scale_floats = static_cast<int32_t>(MsspMin(StaticFloats(*tiling), INT32_MAX));
    const int64_t kept = copies ? 4 * kMostTileBuffer : 0;
    int64_t elements = kMostReadElements;
    for (;; elements /= 2) {
      if (elements < kLeastElements) {
        return kNoRoom;
      }
      const int64_t most = SetTiles(elements, tiling);
      const int64_t tile = elements * (2 + 8 + 4 + 1 + 2) + elements / 8 + most * (2 * kFloat + MSSP_DATA_BLOCK);
      const int64_t needed = tile + StaticBytes(*tiling, most);
      if (needed + kept <= left) {
        left -= needed;
        break;
      }
    }
  }
  if (!copies) {
    return nullptr;
  }
  // Several buffers' worth for each core, so that loads and stores have something to overlap with.
  const bool norm = modes.layout == MSSP_NORM;
  int64_t copy = norm ? MsspMin(left / 4, kMostCopyBuffer) : kGroupCopyBuffer;
  copy = MsspMin(copy, MsspMax(tiling->share / 4, kLeastCopyBuffer));
  tiling->copy_buffer_bytes = norm || uneven ? static_cast<int32_t>(copy / MSSP_DATA_BLOCK * MSSP_DATA_BLOCK) : 0;
  if (!norm) {
    const int64_t tile = MsspMin((left - 4 * tiling->copy_buffer_bytes) / 4, kMostTileBuffer);
    tiling->tile_buffer_bytes = static_cast<int32_t>(tile / MSSP_DATA_BLOCK * MSSP_DATA_BLOCK);
  }
  return nullptr;
}

}  // namespace mssp_host
