// Codes of whole lines are written as they are made: in Norm and NHSD, and of two tokens at a time in PA_NZ. The others
// are made in tiles that stay in the processor's caches, which are then written as the write writes rows.
#include "quant_scatter_pa.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "call_sizes.h"
#include "check.h"
#include "code_table.h"
#include "float_environment.h"
#include "memory_page_prefetch.h"
#include "no_memory.h"
#include "policy.h"
#include "scaling.h"
#include "shares.h"
#include "simd/cpu_features.h"
#include "small_float.h"
#include "threads.h"
#include "token_writer.h"

namespace mssp {
namespace {

constexpr SideArguments kKeySide = {quant::kKey, quant::kKeyCache, quant::kKeyScale, quant::kKeyOffset,
                                    quant::kKeyScaleCache};
constexpr SideArguments kValueSide = {quant::kValue, quant::kValueCache, quant::kValueScale, quant::kValueOffset,
                                      quant::kValueScaleCache};

constexpr int64_t kTileBytes = int64_t{32} << 10;  // of codes
constexpr int64_t kMinTile = 32;                   // tokens
constexpr int64_t kMinPieceBytes = int64_t{128} << 10;
constexpr int64_t kMinPiece = 8;
constexpr int64_t kFewTokens = 8;  // for which inverses cost as much as they save
constexpr int64_t kPlaces = 64;
constexpr int64_t kPlannedTokens = 16;
constexpr int64_t kPlannedTokensOfChannels = 512;
constexpr int64_t kTableRows = int64_t{64} << 10;  // for which a table is worth making
constexpr int64_t kTableHeads = 256;

// As the write checks them.
MsspStatus CheckSlots(const MsspQuantCall& call) {
  MsspCall slots = {};
  slots.layout = call.layout;
  slots.index_type = call.index_type;
  slots.check_duplicates = call.check_duplicates;
  slots.num_tokens = call.num_tokens;
  slots.num_head = call.num_head;
  slots.num_blocks = call.num_blocks;
  slots.block_size = call.block_size;
  slots.slot_mapping = call.slot_mapping;
  return CheckValues(slots);
}

// What products with the inverses of channels' scales are good for. The search takes as long as quantising some hundred
// tokens: threads share it.
class ChannelPlan {
 public:
  ChannelPlan(const MsspQuantCall& call, const MsspPagedSide& side) {
    const MsspScaling& scaling = side.scaling;
    if (scaling.kind != MSSP_STATIC || scaling.granularity != MSSP_PER_CHANNEL || scaling.offset != nullptr) return;
    if (call.num_tokens < kPlannedTokensOfChannels) return;
    scale_ = static_cast<const float*>(scaling.scale);
    count_ = NumScales(ShapeOf(call), side);
    for (int64_t i = 0; i < count_; ++i) {
      if (!HasInverse(scale_[i], 0.0f)) return;
    }
    plan_ = ActiveKernels().quant.plan[side.rows_type][CodeIndex(side.cache_type)];
    parts_ = (count_ + kPlanColumns - 1) / kPlanColumns;
    inverses_.resize(static_cast<size_t>(count_));
    products_.resize(static_cast<size_t>(parts_));
  }

  bool IsMade() const { return parts_ > 0; }
  const float* Inverses() const { return inverses_.data(); }
  const Products* PerGroup() const { return products_.data(); }

  // To be called by each thread before its first row: makes what others have left, and waits for what they are at.
  void Help() {
    for (int64_t part; (part = next_.fetch_add(1, std::memory_order_relaxed)) < parts_;) {
      const int64_t at = part * kPlanColumns;
      plan_(scale_ + at, std::min(kPlanColumns, count_ - at), kPlanColumns, &inverses_[static_cast<size_t>(at)],
            &products_[static_cast<size_t>(part)]);
      made_.fetch_add(1, std::memory_order_release);
    }
    while (made_.load(std::memory_order_acquire) < parts_) std::this_thread::yield();
  }

 private:
  QuantKernels::Plan plan_ = nullptr;
  const float* scale_ = nullptr;
  int64_t count_ = 0;
  int64_t parts_ = 0;
  std::vector<float> inverses_;
  std::vector<Products> products_;
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> made_{0};
};

// One side of a call, for one thread.
class SideQuantiser {
 public:
  SideQuantiser(const MsspQuantCall& call, const MsspPagedSide& side, const ChannelPlan& plan, bool stream)
      : call_(call),
        plan_(plan),
        shape_(ShapeOf(call)),
        side_(WithUsedStrides(shape_, call.num_tokens, side)),
        kernels_(ActiveKernels()),
        stream_(stream),
        item_size_(MsspItemSize(side.rows_type)),
        slots_(call.slot_mapping, call.index_type),
        scale_steps_(call.layout == MSSP_NHSD ? ScaleSteps{call.block_size, 1} : ScaleSteps{1, call.num_head}),
        heads_of_line_(call.layout == MSSP_NHSD ? 1 : kLine / static_cast<int64_t>(sizeof(float))) {
    const int64_t code_size = MsspItemSize(side.cache_type);
    view_.cache = static_cast<char*>(side.cache);
    view_.head_bytes = side.head_size * code_size;
    view_.token_bytes = view_.head_bytes * call.num_head;
    view_.batch_stride = 0;
    view_.num_head = call.num_head;
    SetBlocks(&view_, call.block_size, view_.token_bytes, call.num_blocks > 1 ? side.block_stride * code_size : 0);
    view_.head_size = side.head_size;
    view_.element_type = side.cache_type;
    const int32_t kind = side.scaling.kind;
    if (kind == MSSP_COPIED || kind == MSSP_GIVEN) return;
    quantise_ = kernels_.quant.quantise[side.rows_type][CodeIndex(side.cache_type)];
    dynamic_ = kernels_.quant.dynamic[side.rows_type][CodeIndex(side.cache_type)];
    tile_tokens_ = std::max<int64_t>(kTileBytes / std::max<int64_t>(view_.token_bytes, 1), kMinTile);
    tile_.resize(static_cast<size_t>(tile_tokens_ * view_.token_bytes));
    if (kind == MSSP_STATIC) Plan();
    if (kind == MSSP_DYNAMIC && kernels_.quant.has_tables && call.num_tokens * call.num_head >= kTableHeads) {
      computed_tables_ = ComputedCodeTables(side.rows_type, CodeIndex(side.cache_type));
    }
    const auto blocks = reinterpret_cast<uintptr_t>(side.cache) |
                        static_cast<uintptr_t>(call.num_blocks > 1 ? side.block_stride * code_size : 0);
    const bool are_lines = stream && blocks % kLine == 0;
    direct_ = are_lines && call.layout != MSSP_PA_NZ && view_.head_bytes % kLine == 0;
    head_stride_ = direct_ && call.layout == MSSP_NHSD ? call.block_size * view_.head_bytes : view_.head_bytes;
    unit_stride_ = call.block_size * kUnitBytes;
    const int64_t group = kernels_.quant.pair_columns;
    const int64_t columns = IsOneRow() ? view_.token_bytes : view_.head_bytes;
    in_pairs_ =
        are_lines && call.layout == MSSP_PA_NZ && unit_stride_ % kLine == 0 && group > 0 && columns % group == 0;
  }

  void Write(int64_t begin, int64_t end) {
    if (quantise_ == nullptr) {
      if (side_.scaling.kind == MSSP_GIVEN) StoreGivenScales(begin, end);
      return Store(static_cast<const char*>(side_.rows), side_.token_stride * item_size_,
                   side_.head_stride * item_size_, 0, begin, end, call_.num_tokens);
    }
    if (direct_) return WriteDirectly(begin, end);
    if (in_pairs_) return WritePairs(begin, end);
    for (int64_t first = begin; first < end; first += tile_tokens_)
      WriteTile(first, std::min(first + tile_tokens_, end));
  }

 private:
  // The inverses of all scales and what their products are good for, where there are rows enough for the search; of
  // channels without a plan the inverses alone.
  void Plan() {
    const auto* const scale = static_cast<const float*>(side_.scaling.scale);
    const auto* const offset = static_cast<const float*>(side_.scaling.offset);
    const int64_t count = NumScales(shape_, side_);
    const bool channels = side_.scaling.granularity == MSSP_PER_CHANNEL;
    if (call_.num_tokens < (channels ? kFewTokens : kPlannedTokens) || plan_.IsMade()) return;
    if (kernels_.quant.has_tables && !channels &&
        call_.num_tokens * shape_.num_head * side_.head_size / count >= kTableRows) {
      tables_.resize(static_cast<size_t>(count));
      bool made = true;
      for (int64_t i = 0; made && i < count; ++i) {
        made = MakeCodeTable(side_.rows_type, CodeIndex(side_.cache_type), scale[i], &tables_[static_cast<size_t>(i)]);
      }
      if (made) return;
      tables_.clear();
    }
    bool have = true;
    for (int64_t i = 0; i < count; ++i) have &= HasInverse(scale[i], offset == nullptr ? 0.0f : offset[i]);
    if (!have) return;
    inverses_.resize(static_cast<size_t>(count));
    if (offset == nullptr && !channels) {
      products_.resize(static_cast<size_t>(count));
      const auto plan = kernels_.quant.plan[side_.rows_type][CodeIndex(side_.cache_type)];
      return plan(scale, count, 1, inverses_.data(), products_.data());
    }
    for (int64_t i = 0; i < count; ++i) inverses_[static_cast<size_t>(i)] = 1.0f / scale[i];
  }

  // Of a static scale or, from `at` on, of channels.
  ScaleRow Scales(int64_t at) {
    const auto* const scale = static_cast<const float*>(side_.scaling.scale);
    const auto* const offset = static_cast<const float*>(side_.scaling.offset);
    const bool channels = side_.scaling.granularity == MSSP_PER_CHANNEL;
    ScaleRow row = {scale + at, offset == nullptr ? nullptr : offset + at, channels ? 1 : 0};
    if (!inverses_.empty()) row.inverse = inverses_.data() + at;
    if (!products_.empty()) row.products = products_.data() + at;
    if (plan_.IsMade()) {
      row.inverse = plan_.Inverses() + at;
      if (at % kPlanColumns == 0) row.products = plan_.PerGroup() + at / kPlanColumns;
    }
    if (!tables_.empty()) row.table = &tables_[static_cast<size_t>(at)];
    row.attempts = &attempts_;
    return row;
  }

  void WriteTile(int64_t first, int64_t last) {
    for (int64_t token = first, run; token < last; token += run) {
      run = 1;
      if (slots_[token] < 0) continue;  // padding: its codes are not stored
      char* const to = TileRow(token - first);
      if (!HasOneScale()) {
        Quantise(token, to, Heads());
        continue;
      }
      while (token + run < last && slots_[token + run] >= 0) ++run;
      QuantiseTogether(token, run, to);
    }
    MakePlaces(Heads());
    Store(tile_.data(), view_.token_bytes, view_.head_bytes, first, 0, last - first, last - first);
  }

  // PA_NZ, two slots that share lines at a time; the others in tiles.
  void WritePairs(int64_t begin, int64_t end) {
    MemoryPagePrefetch pages(slots_, view_, begin, call_.num_tokens);
    const CodeRows heads = HeadsOfPairs();
    int64_t first = begin;  // of those without a pair
    const auto write_others = [&](int64_t last) {
      if (first == last) return;
      MakePlaces(heads);
      WriteTile(first, last);
    };
    for (int64_t token = begin; token < end;) {
      const int64_t slot = slots_[token];
      if (slot >= 0 && token + 1 < end && slots_[token + 1] == slot + 1 && view_.OffsetOf(slot) % 2 == 0) {
        write_others(token);
        pages.GoTo(token);
        Quantise(token, view_.Block(slot) + view_.OffsetOf(slot) * kUnitBytes, heads);
        first = token += 2;
      } else if (++token - first == tile_tokens_) {
        write_others(token);
        first = token;
      }
    }
    write_others(end);
    MakePlaces(heads);
  }

  // Tokens from `token` on, before `end`, whose slots follow one another in a block.
  int64_t Run(int64_t token, int64_t end) const {
    const int64_t slot = slots_[token];
    const int64_t most = std::min(end - token, shape_.block_size - view_.OffsetOf(slot));
    int64_t run = 1;
    while (run < most && slots_[token + run] == slot + run) ++run;
    return run;
  }

  // Codes of whole lines, which go past the caches as they are made.
  void WriteDirectly(int64_t begin, int64_t end) {
    MemoryPagePrefetch pages(slots_, view_, begin, call_.num_tokens);
    for (int64_t token = begin, run; token < end; token += run) {
      run = 1;
      const int64_t slot = slots_[token];
      if (slot < 0) continue;
      run = Run(token, end);
      pages.GoTo(token);
      const int64_t step = call_.layout == MSSP_NHSD ? view_.head_bytes : view_.token_bytes;
      char* const to = view_.Block(slot) + view_.OffsetOf(slot) * step;
      if (HasOneScale()) {
        QuantiseTogether(token, run, to);
      } else {
        for (int64_t i = 0; i < run; ++i) Quantise(token + i, to + i * step, Heads());
      }
    }
    MakePlaces(Heads());
  }

  char* TileRow(int64_t i) { return tile_.data() + i * view_.token_bytes; }

  const char* Row(int64_t token, int64_t head) const {
    return static_cast<const char*>(side_.rows) + (token * side_.token_stride + head * side_.head_stride) * item_size_;
  }

  // Whether a token's heads lie side by side and are one row of its scales.
  bool IsOneRow() const {
    const MsspScaling& scaling = side_.scaling;
    if (scaling.kind == MSSP_DYNAMIC || scaling.granularity == MSSP_PER_HEAD) return false;
    return (side_.head_stride == side_.head_size && head_stride_ == view_.head_bytes) || shape_.num_head == 1;
  }
  bool HasOneScale() const { return side_.scaling.granularity == MSSP_PER_TENSOR && IsOneRow(); }

  // How the heads of a token lie.
  CodeRows Heads() const {
    return {nullptr, nullptr, direct_, shape_.num_head, side_.head_stride * item_size_, head_stride_};
  }
  CodeRows HeadsOfPairs() const {
    CodeRows rows = Heads();
    rows.stream = true;
    rows.to_stride = view_.head_bytes / kUnitBytes * unit_stride_;
    rows.next_row = side_.token_stride * item_size_;
    rows.unit_stride = unit_stride_;
    return rows;
  }

  // Tokens from one on with one scale, whose codes follow one another.
  void QuantiseTogether(int64_t token, int64_t count, char* to) {
    const int64_t columns = side_.head_size * shape_.num_head;
    const bool follow = side_.token_stride == columns;
    for (int64_t i = 0; i < (follow ? 1 : count); ++i) {
      const CodeRows row = {Row(token + i, 0), to + i * columns, direct_};
      quantise_(row, follow ? count * columns : columns, Scales(0), kLowestStatic);
    }
  }

  // The row of a token, or its and the next one; dynamic ones later, some together.
  void Quantise(int64_t token, char* to, const CodeRows& heads) {
    if (side_.scaling.kind == MSSP_DYNAMIC) {
      float* const scales = ScalesOf(slots_[token]);
      for (int64_t h = 0; h < shape_.num_head; h += heads_of_line_)
        __builtin_prefetch(scales + h * scale_steps_.head, 1, 2);
      places_[num_places_++] = {Row(token, 0), to, scales};
      if (num_places_ == kPlaces) MakePlaces(heads);
      return;
    }
    CodeRows rows = heads;
    rows.from = Row(token, 0);
    rows.to = to;
    if (IsOneRow()) {
      rows.num_head = 1;
      return quantise_(rows, side_.head_size * shape_.num_head, Scales(0), kLowestStatic);
    }
    if (side_.scaling.granularity != MSSP_PER_HEAD) return quantise_(rows, side_.head_size, Scales(0), kLowestStatic);
    for (int64_t h = 0; h < shape_.num_head; ++h) {
      quantise_(rows.Heads(h, 1), side_.head_size, Scales(h), kLowestStatic);
    }
  }

  void MakePlaces(const CodeRows& heads) {
    if (num_places_ > 0) dynamic_(heads, places_, num_places_, side_.head_size, scale_steps_, computed_tables_);
    num_places_ = 0;
  }

  // Of a slot's first head.
  float* ScalesOf(int64_t slot) const {
    return ScaleAt(shape_, side_.scaling, view_.BlockOf(slot), view_.OffsetOf(slot), 0);
  }

  void StoreGivenScales(int64_t begin, int64_t end) {
    const auto* const scales = static_cast<const float*>(side_.scaling.scale);
    for (int64_t token = begin; token < end; ++token) {
      const int64_t slot = slots_[token];
      if (slot < 0) continue;
      for (int64_t h = 0; h < shape_.num_head; ++h) {
        std::memcpy(ScaleAt(shape_, side_.scaling, view_.BlockOf(slot), view_.OffsetOf(slot), h),
                    scales + token * shape_.num_head + h, sizeof(float));
      }
    }
  }

  // Tokens [begin, end) of `rows`, the first of which belongs to slot `first_slot`.
  void Store(const char* rows, int64_t token_stride, int64_t head_stride, int64_t first_slot, int64_t begin,
             int64_t end, int64_t num_tokens) {
    view_.rows = rows;
    view_.token_stride = token_stride;
    view_.head_stride = head_stride;
    const auto* const slots = static_cast<const char*>(call_.slot_mapping);
    const TokenWriter writer = {view_,
                                IndexArray(slots + first_slot * MsspIndexSize(call_.index_type), call_.index_type),
                                num_tokens, &kernels_, stream_};
    WriteLayout(writer, call_.layout, begin, end);
  }

  const MsspQuantCall& call_;
  const ChannelPlan& plan_;
  const PagedShape shape_;
  const MsspPagedSide side_;
  const Kernels& kernels_;
  const bool stream_;
  const int64_t item_size_;
  const IndexArray slots_;
  SideView view_{};
  QuantKernels::Quantise quantise_ = nullptr;
  QuantKernels::Dynamic dynamic_ = nullptr;
  bool direct_ = false;
  int64_t head_stride_ = 0;  // of codes as they are made
  bool in_pairs_ = false;
  int64_t unit_stride_ = 0;
  int64_t tile_tokens_ = 0;
  std::vector<char> tile_;
  std::vector<float> inverses_;
  std::vector<Products> products_;
  std::vector<CodeTable> tables_;
  const uint16_t* computed_tables_ = nullptr;
  RowPlace places_[kPlaces];  // of dynamic rows whose codes are still to be made
  int64_t num_places_ = 0;
  const ScaleSteps scale_steps_;
  const int64_t heads_of_line_;
  Attempts attempts_;
};

}  // namespace

MsspStatus CheckQuantDescription(const MsspQuantCall& call) {
  const PagedShape shape = ShapeOf(call);
  const MsspPagedSide* const sides[] = {&call.key, &call.value};
  const SideArguments* const arguments[] = {&kKeySide, &kValueSide};
  MsspStatus status = CheckPagedShape(shape, quant::kKeyCache);
  if (status.code != MSSP_WRITTEN) return status;
  if (MsspIndexSize(call.index_type) == 0) {
    return {MSSP_BAD_SHAPES, quant::kSlotMapping, call.index_type, MSSP_INDEX_INT64};
  }
  if (call.num_tokens < 0) return {MSSP_BAD_SHAPES, quant::kKey, call.num_tokens, 0};
  int64_t slots;
  if (!Multiply(&slots, call.num_tokens, sizeof(int64_t))) {
    return {MSSP_BAD_SHAPES, quant::kKey, call.num_tokens, kMaxBytes};
  }
  if (call.num_tokens > 0 && call.slot_mapping == nullptr) return {MSSP_BAD_SHAPES, quant::kSlotMapping, 0, 1};
  Region region;
  if (!SpanOf(call.slot_mapping, &call.num_tokens, nullptr, 1, MsspIndexSize(call.index_type), &region)) {
    return {MSSP_BAD_SHAPES, quant::kSlotMapping, call.num_tokens, kMaxBytes};
  }
  for (int i = 0; i < 2 && status.code == MSSP_WRITTEN; ++i) {
    status = CheckPagedSide(shape, call.num_tokens, *sides[i], *arguments[i]);
  }
  for (int i = 0; i < 2 && status.code == MSSP_WRITTEN; ++i) {
    const int64_t block = call.block_size * call.num_head * sides[i]->head_size;
    if (sides[i]->rows != nullptr && call.num_blocks > 1 && sides[i]->block_stride < block) {
      return {MSSP_BAD_SHAPES, arguments[i]->cache, sides[i]->block_stride, block};  // blocks that overlap
    }
    const MsspScaling& scaling = sides[i]->scaling;
    const bool keeps_scales = HasScaleCache(scaling.kind);
    const int64_t scales = call.block_size * call.num_head;
    if (sides[i]->rows != nullptr && keeps_scales && call.num_blocks > 1 && scaling.scale_block_stride < scales) {
      return {MSSP_BAD_SHAPES, arguments[i]->scale_cache, scaling.scale_block_stride, scales};
    }
  }
  return status;
}

MsspStatus CheckQuantOverlap(const MsspQuantCall& call) {
  const PagedShape shape = ShapeOf(call);
  Region regions[MSSP_QUANT_NUM_ARGUMENTS];
  FillRegions(shape, call.num_tokens, call.key, kKeySide, regions);
  FillRegions(shape, call.num_tokens, call.value, kValueSide, regions);
  SpanOf(call.slot_mapping, &call.num_tokens, nullptr, 1, MsspIndexSize(call.index_type),
         &regions[quant::kSlotMapping]);
  return FindOverlap(regions, MSSP_QUANT_NUM_ARGUMENTS, quant::kWritten);
}

MsspStatus CheckQuantValues(const MsspQuantCall& call) {
  const PagedShape shape = ShapeOf(call);
  MsspStatus status = CheckSlots(call);
  if (status.code == MSSP_WRITTEN) status = CheckScales(shape, call.key, kKeySide);
  if (status.code == MSSP_WRITTEN) status = CheckScales(shape, call.value, kValueSide);
  return status;
}

void WriteQuantised(const MsspQuantCall& call) {
  const MsspPagedSide* sides[2];
  int num_sides = 0;
  int64_t source_bytes = 0;
  int64_t cache_bytes = 0;
  for (const MsspPagedSide* side : {&call.key, &call.value}) {
    if (side->rows == nullptr || side->head_size * call.num_head == 0) continue;
    sides[num_sides++] = side;
    source_bytes += side->head_size * call.num_head * MsspItemSize(side->rows_type);
    cache_bytes += side->head_size * call.num_head * MsspItemSize(side->cache_type);
  }
  if (num_sides == 0 || call.num_tokens == 0 || call.num_blocks * call.block_size == 0) return;
  const bool stream = ShouldStreamTo(cache_bytes * call.num_blocks * call.block_size) &&
                      (call.layout != MSSP_PA_NZ || call.num_tokens >= kNzTile);
  const Team team = ChooseTeam(call.num_threads, source_bytes * call.num_tokens);
  const int64_t least = std::max(kMinPieceBytes * num_sides / source_bytes, kMinPiece);
  Shares shares(call.num_tokens * num_sides, team.num_threads, least);  // of the key, then of the value
  std::optional<ChannelPlan> plans[2];
  for (int i = 0; i < num_sides; ++i) plans[i].emplace(call, *sides[i]);
  const int last = num_sides - 1;
  const auto prepare = [&] {
    const IeeeScope ieee;  // inverses of scales
    return std::make_pair(SideQuantiser(call, *sides[0], *plans[0], stream),
                          SideQuantiser(call, *sides[last], *plans[last], stream));
  };
  RunWithMemory(team, prepare, [&](std::pair<SideQuantiser, SideQuantiser>& quantisers) {
    const IeeeScope ieee;
    for (int i = 0; i < num_sides; ++i) plans[i]->Help();
    const int self = shares.Join();
    auto& [first, second] = quantisers;
    for (Range piece; shares.Take(self, &piece);) {
      if (piece.begin < call.num_tokens) first.Write(piece.begin, std::min(piece.end, call.num_tokens));
      if (piece.end > call.num_tokens) {
        second.Write(std::max(piece.begin, call.num_tokens) - call.num_tokens, piece.end - call.num_tokens);
      }
    }
    if (stream) ActiveKernels().fence();
  });
}

}  // namespace mssp
