// How the work is cut and how the unified buffer is shared out. No CANN types.
#include "ms_scatter_pa_kv_cache_tiling.h"
#include "ms_scatter_pa_shapes.h"

namespace mssp_host {
namespace {

constexpr int64_t kMinShare = MSSP_GOOD_BURST;  // fewer bytes are not worth another core
constexpr int64_t kUnitsPerCore = 10;           // cores then differ by a tenth at most
constexpr int64_t kLongStore = 4096;            // bytes of a store burst beyond which longer ones gain nothing
constexpr int64_t kTokenWindow = 1024;
constexpr int64_t kPairWindow = 256;
constexpr int64_t kIndexArrays = 4;
constexpr int64_t kReserved = 1024;  // the runtime keeps a little of the unified buffer for itself
constexpr int64_t kMeanBuffer = 16 * 1024;
constexpr int64_t kMeanElements = 1024;
constexpr int64_t kMinCopyBuffer = 4 * 1024;
constexpr int64_t kGroupCopyBuffer = 8 * 1024;
constexpr int64_t kMinTileBuffer = 16 * 1024;
// A burst takes 32 bytes of a copy buffer at least, so that no copy needs more bursts than one instruction takes. Tiles
// have kTokenWindow rows and kGroupCopyBuffer / 32 groups at most.
constexpr int64_t kMostBuffer = MSSP_MAX_BLOCK_COUNT * MSSP_DATA_BLOCK;
// Core 0 looks at every slot besides its rows. The first ones take no longer than a DMA; for each one after them it
// gets as many bytes less as a core copies in that time.
constexpr int64_t kFreeSlots = 256;
constexpr int64_t kSlotBytes = 32;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t AlignDown(int64_t bytes) { return bytes / MSSP_DATA_BLOCK * MSSP_DATA_BLOCK; }

const char* ReadRows(const Call& call, const Modes& modes, MsScatterPaKvCacheTiling* tiling) {
  const TensorShape& key = call.shapes[kKey];
  const bool four = modes.scatter_mode != MSSP_NONE && !modes.packed;
  int64_t elements = 0;
  if (!ElementCount(key, &elements) || elements > INT64_MAX / 8) {
    return "key: too large";
  }
  const bool fits = mssp::IsOneOf(key.rank, mssp::RowsRanks(four, modes.flattened));
  if (modes.flattened) {
    if (!fits) {
      return "key: expected [T, N*D], [1, T, N*D] or [B, S, N*D]";
    }
    tiling->num_head = HeadsOf(call.shapes[kKeyCache], modes);
    tiling->num_tokens = key.rank == 2 ? key.dims[0] : key.dims[0] * key.dims[1];
    return nullptr;
  }
  if (!fits) {
    return four ? "key: expected [B, S, N, D]" : "key: expected [T, N, D]";
  }
  tiling->num_head = key.dims[key.rank - 2];
  tiling->seq_len = four ? key.dims[1] : 0;
  tiling->num_tokens = four ? key.dims[0] * key.dims[1] : key.dims[0];
  tiling->batch = modes.scatter_mode == MSSP_NONE ? 0 : call.shapes[kSeqLens].dims[0];
  if (four && tiling->batch != key.dims[0]) {
    return "seq_lens: expected one length per batch";
  }
  return nullptr;
}

const char* CheckIndexArrays(const Call& call, const Modes& modes, const MsScatterPaKvCacheTiling& tiling) {
  if (modes.scatter_mode == MSSP_NONE) {
    return HasCount(call.shapes[kSlotMapping], tiling.num_tokens) ? nullptr
                                                                  : "slot_mapping: expected one slot per token";
  }
  int64_t pairs = 0;
  if (!Multiply(tiling.batch, tiling.num_head, &pairs) || !HasCount(call.shapes[kSlotMapping], pairs)) {
    return "slot_mapping: expected [B, N]";
  }
  if (!HasCount(call.shapes[kCompressLens], pairs)) {
    return "compress_lens: expected [B, N]";
  }
  if (modes.scatter_mode != MSSP_ALIBI && !HasCount(call.shapes[kCompressSeqOffsets], pairs)) {
    return "compress_seq_offsets: expected [B * N]";
  }
  return HasCount(call.shapes[kSeqLens], tiling.batch) ? nullptr : "seq_lens: expected [B]";
}

const char* ReadStrides(const Call& call, const Modes& modes, int32_t index, MsScatterPaKvCacheTiling* tiling) {
  MsspSideTiling* side = &tiling->side[index];
  const int64_t width = MsspItemSize(side->element_type);
  const int64_t block = tiling->block_size * (modes.scatter_mode == MSSP_NONE ? side->row_bytes : side->head_bytes);
  const int64_t given[2] = {call.strides[kKey + index], call.strides[kKeyCache + index]};
  const int64_t counts[2] = {tiling->num_tokens, tiling->num_blocks};
  int64_t strides[2] = {side->row_bytes, block};
  for (int32_t i = 0; i < 2; ++i) {
    int64_t span = 0;
    if (given[i] == 0) {
      continue;
    }
    if (given[i] < 0 || given[i] > INT64_MAX / 8 || given[i] * width < strides[i]) {
      return i == 0 ? "key, value: tokens overlap" : "key_cache, value_cache: blocks overlap";
    }
    strides[i] = given[i] * width;
    if (!Multiply(counts[i], strides[i], &span)) {
      return "key, value, key_cache, value_cache: too large";
    }
  }
  side->row_stride = strides[0];
  side->block_stride = strides[1];
  return nullptr;
}

const char* ReadSide(const Call& call, const Modes& modes, int32_t index, MsScatterPaKvCacheTiling* tiling) {
  const TensorShape& rows = call.shapes[kKey + index];
  const TensorShape& key = call.shapes[kKey];
  const int32_t type = index == 0 ? call.key_type : call.value_type;
  MsspSideTiling* side = &tiling->side[index];
  side->element_type = type;
  if (rows.rank != key.rank) {
    return "value: expected as many dimensions as key";
  }
  for (int64_t i = 0; i + 1 < key.rank; ++i) {
    if (rows.dims[i] != key.dims[i]) {
      return "value: differs from key in more than head_size";
    }
  }
  int64_t head_size = rows.dims[rows.rank - 1];
  if (modes.flattened && tiling->num_head > 0) {
    if (head_size % tiling->num_head != 0) {
      return "key, value: expected N*D channels, with N of key_cache";
    }
    head_size /= tiling->num_head;
  }
  mssp::CacheShape cache = {};
  int64_t elements = 0;
  if (head_size <= 0 || tiling->num_head <= 0 || !ElementCount(rows, &elements) || elements > INT64_MAX / 8) {
    return "key, value: empty heads, or too large";
  }
  if (!ReadCache(call.shapes[kKeyCache + index], modes.layout, modes.scatter_mode != MSSP_NONE, tiling->num_head,
                 head_size, type, &cache)) {
    return index == 0 ? "key_cache: its shape does not fit key" : "value_cache: its shape does not fit value";
  }
  if (index == 1 && (cache.num_blocks != tiling->num_blocks || cache.block_size != tiling->block_size)) {
    return "value_cache: num_blocks or block_size differ from key_cache";
  }
  tiling->num_blocks = cache.num_blocks;
  tiling->block_size = cache.block_size;
  side->head_bytes = head_size * MsspItemSize(type);
  side->row_bytes = side->head_bytes * tiling->num_head;
  side->group_bytes = modes.layout == MSSP_PA_NZ  ? MSSP_DATA_BLOCK
                      : modes.layout == MSSP_NHSD ? side->head_bytes
                                                  : side->row_bytes;
  side->group_shift = ShiftOf(side->group_bytes);
  return ReadStrides(call, modes, index, tiling);
}

// The largest unit that still leaves every core within a tenth of the mean.
int64_t ColumnUnit(int64_t total, int64_t cores) {
  int64_t unit = MSSP_GOOD_BURST;
  while (unit > MSSP_DATA_BLOCK && unit * cores * kUnitsPerCore > total) {
    unit /= 2;
  }
  return unit;
}

void CutGroups(int64_t total, int64_t cores, MsScatterPaKvCacheTiling* tiling) {
  const int64_t group = MsspMax(tiling->side[0].group_bytes, tiling->side[1].group_bytes);
  // Sharing out columns keeps runs whole but shortens the bursts of loads: not below what memory likes, and not for
  // stores longer than needed.
  int64_t most = MsspMin(tiling->block_size, MsspMax(kLongStore / group, 1));
  most = MsspMin(most, total / cores / MSSP_GOOD_BURST);
  most = MsspMin(most, total / (kUnitsPerCore * cores) / group);
  int64_t tokens = 1;
  while (tokens * 2 <= most) {
    tokens *= 2;
  }
  const bool unaligned = (tiling->side[0].group_bytes | tiling->side[1].group_bytes) % MSSP_DATA_BLOCK != 0;
  if (unaligned || (tokens * group < MSSP_GOOD_BURST && tokens < tiling->block_size)) {
    tokens = 1;
  }
  tiling->tokens_per_tile = tokens;
  for (MsspSideTiling& side : tiling->side) {
    const bool whole = side.group_bytes > 0 && side.group_bytes * tokens * cores * kUnitsPerCore <= total;
    side.column_unit = whole ? side.group_bytes : MSSP_DATA_BLOCK;
    while (side.column_unit * 2 <= MSSP_GOOD_BURST && side.column_unit * 2 * tokens * cores * kUnitsPerCore <= total) {
      side.column_unit *= 2;
    }
  }
}

void ShareOut(int64_t total, MsScatterPaKvCacheTiling* tiling) {
  const int64_t cores = tiling->used_cores;
  const int64_t slots = tiling->scatter_mode == MSSP_NONE ? MsspMax(tiling->num_tokens - kFreeSlots, 0) : 0;
  int64_t less = slots < total / kSlotBytes ? slots * kSlotBytes : total;
  // Uneven cuts drift through tiles of many tokens and leave slivers, which cost more than a short look at the slots.
  if (tiling->tokens_per_tile > 1 && less <= total / cores / 3) {
    less = 0;
  }
  tiling->first_share = cores == 1 ? total : MsspMax((total + less) / cores - less, 0);
  const int64_t left = total - tiling->first_share;
  tiling->share = cores == 1 ? 0 : left / (cores - 1);
  tiling->share_rest = left - tiling->share * (cores - 1);
}

void ShareBuffer(const Call& call, int64_t share, MsScatterPaKvCacheTiling* tiling) {
  const bool pairs = tiling->scatter_mode != MSSP_NONE;
  const int64_t window_bytes = pairs ? kIndexArrays * kPairWindow * 8 : kTokenWindow * 8;
  int64_t left = call.unified_buffer_bytes - kReserved - MSSP_STATUS_BYTES - window_bytes;
  tiling->index_window = static_cast<int32_t>(pairs ? kPairWindow : kTokenWindow);
  if (tiling->scatter_mode == MSSP_ROPE) {
    tiling->mean_buffer_bytes = static_cast<int32_t>(kMeanBuffer);
    tiling->mean_elements = static_cast<int32_t>(kMeanElements);
    left -= 2 * kMeanBuffer + 4 * kMeanBuffer + kMeanElements * (8 + 4) + 256 * 4;
  }
  int64_t copy = MsspMin(AlignDown(left / MSSP_COPY_BUFFERS), kMostBuffer);
  // Several buffers' worth for each core, so that loads and stores have something to overlap with.
  copy = MsspMin(copy, AlignDown(MsspMax(share / 4, kMinCopyBuffer)));
  if (tiling->layout != MSSP_NORM) {
    copy = MsspMin(copy, kGroupCopyBuffer);
    tiling->tile_buffer_bytes =
        static_cast<int32_t>(AlignDown(Clamp(share / 2, kMinTileBuffer, (left - MSSP_COPY_BUFFERS * copy) / 4)));
  }
  tiling->copy_buffer_bytes = static_cast<int32_t>(copy);
}

}  // namespace

const char* ComputeTiling(const Call& call, MsScatterPaKvCacheTiling* tiling) {
  *tiling = MsScatterPaKvCacheTiling();
  Modes modes = {};
  const char* wrong = ReadModes(call.shapes[kMode], &modes);
  if (wrong == nullptr) {
    wrong = ReadRows(call, modes, tiling);
  }
  if (wrong == nullptr) {
    wrong = CheckIndexArrays(call, modes, *tiling);
  }
  if (wrong == nullptr) {
    wrong = ReadSide(call, modes, 0, tiling);
  }
  if (wrong == nullptr && !modes.key_only) {
    wrong = ReadSide(call, modes, 1, tiling);
  }
  if (wrong != nullptr) {
    return wrong;
  }
  if (call.cores < 1 || call.unified_buffer_bytes < 188 * 1024) {
    return "this part has no vector cores, or too small a unified buffer";
  }
  if (HasCount(call.shapes[kLastStatus], MSSP_STATUS_SIZE)) {
    tiling->keep_last = 1;
  } else if (!HasCount(call.shapes[kLastStatus], 1)) {
    return "last_status: expected [4], or [1] where there is none";
  }
  tiling->layout = modes.layout;
  tiling->scatter_mode = modes.scatter_mode;
  tiling->packed = modes.packed ? 1 : 0;
  tiling->index_type = call.index_type;

  int64_t total = 0;
  if (!Multiply(tiling->num_tokens, tiling->side[0].row_bytes + tiling->side[1].row_bytes, &total)) {
    return "key, value: too large";
  }
  const int64_t cores = Clamp(CeilDiv(total, kMinShare), 1, call.cores);
  tiling->used_cores = static_cast<int32_t>(cores);
  tiling->tokens_per_tile = 1;
  const int64_t unit = ColumnUnit(total, cores);
  tiling->side[0].column_unit = unit;
  tiling->side[1].column_unit = unit;
  if (modes.layout != MSSP_NORM) {
    CutGroups(total, cores, tiling);
  }
  tiling->tile_shift = ShiftOf(tiling->tokens_per_tile);
  tiling->block_shift = ShiftOf(tiling->block_size);
  ShareOut(total, tiling);
  ShareBuffer(call, total / cores, tiling);
  for (MsspSideTiling& side : tiling->side) {
    if (side.group_bytes > 0) {
      side.row_groups = side.row_bytes / side.group_bytes;
      side.copy_groups = tiling->copy_buffer_bytes / MsspAlignUp(side.group_bytes);
      side.tile_groups = tiling->tile_buffer_bytes / side.group_bytes;
    }
  }
  return nullptr;
}

}  // namespace mssp_host
