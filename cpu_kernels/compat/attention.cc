#include "attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>

#include "../core/export.h"
#include "arguments.h"
#include "builtin.h"
#include "parallel.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Rows of scores (queries of one key/value head) up to which reading the keys is the work; beyond, blocks of rows
// share what they read.
constexpr int64_t kNarrowRows = 16;
constexpr int64_t kNarrowTile = 32;  // keys at a time
constexpr int64_t kBlockRows = 128;
constexpr int64_t kBlockNumbers = int64_t{64} << 10;  // of a block of keys: it stays in the second-level cache
constexpr int64_t kLeastSplit = 256;                  // keys of a split of a sequence
constexpr int64_t kNearBytes = int64_t{1} << 20;      // what may lie in the second-level cache from before

std::atomic<MsspSgemm> active_sgemm{nullptr};

// The rows of one head from key `begin` to the end of its page, `end` at most.
Rows RunOf(const Sequence& sequence, const Operand& side, int64_t size, int64_t head, int64_t begin, int64_t end) {
  int64_t row = begin;
  int64_t count = end - begin;
  if (!sequence.pages.empty()) {
    const int64_t offset = begin % sequence.page_size;
    row = sequence.pages[static_cast<size_t>(begin / sequence.page_size)] * sequence.page_size + offset;
    count = std::min(count, sequence.page_size - offset);
  }
  return {side.base + row * side.token_stride + head * side.head_stride,
          side.token_stride,
          count,
          size,
          side.type,
          nullptr};
}

struct Span {
  int64_t begin;
  int64_t end;
};

// Whether all of so many numbers are finite.
bool AreFinite(const float* numbers, int64_t count) {
  constexpr int64_t kLanes = 8;
  uint32_t top[kLanes] = {};  // bit 31: an exponent of ones
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    uint32_t bits[kLanes];
    std::memcpy(bits, numbers + i, sizeof(bits));
    for (int64_t k = 0; k < kLanes; ++k) top[k] |= (bits[k] & 0x7FFFFFFFu) + 0x00800000u;
  }
  uint32_t any = 0;
  for (const uint32_t lane : top) any |= lane;
  for (; i < count; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, numbers + i, sizeof(bits));
    any |= (bits & 0x7FFFFFFFu) + 0x00800000u;
  }
  return any >> 31 == 0;
}

// The keys of begin..end-1 that query i sees.
Span Visible(const Sequence& sequence, int64_t i, int64_t begin, int64_t end) {
  const int64_t first = std::min(std::max(begin, sequence.first + i), end);
  return {first, std::max(first, std::min(end, std::min(sequence.end + i, sequence.num_keys)))};
}

class Attention {
 public:
  explicit Attention(const AttentionCall& call)
      : call_(call),
        vectors_(ActiveVectors()),
        sgemm_(active_sgemm.load(std::memory_order_relaxed)),
        group_(call.num_heads / call.num_kv_heads) {}

  void Run() {
    std::vector<int64_t> narrow;
    std::vector<int64_t> wide;
    for (size_t s = 0; s < call_.sequences.size(); ++s) {
      const Sequence& sequence = call_.sequences[s];
      if (sequence.num_queries == 0) continue;
      (sequence.num_queries * group_ <= kNarrowRows ? narrow : wide).push_back(static_cast<int64_t>(s));
    }
    if (!narrow.empty()) RunNarrow(narrow);
    if (!wide.empty()) RunWide(wide);
  }

 private:
  // Scores of rows, which are of `queries`, to weights. factors[r] is what the weighted values so far are to be
  // multiplied with.
  void Soften(const Sequence& sequence, Span queries, int64_t first_row, int64_t rows, int64_t begin, int64_t end,
              float* scores, int64_t stride, float* most, float* sums, float* factors, float* buffer) const {
    if (sequence.biases.empty() && AllSee(sequence, queries, begin, end)) {
      vectors_.soften(scores, stride, rows, end - begin, most, sums, factors);
      return;
    }
    for (int64_t r = 0; r < rows; ++r) {
      SoftenRow(sequence, first_row + r, begin, end, scores + r * stride, most + r, sums + r, factors + r, buffer);
    }
  }

  // Adds the biases and takes away what the query does not see.
  void SoftenRow(const Sequence& sequence, int64_t row, int64_t begin, int64_t end, float* scores, float* most,
                 float* sum, float* factor, float* buffer) const {
    const int64_t head = HeadOf(sequence, row);
    const int64_t query = QueryOf(sequence, row);
    const Span span = Visible(sequence, query, begin, end);
    float* seen = scores + (span.begin - begin);
    const int64_t count = span.end - span.begin;
    for (const Bias& bias : sequence.biases) {
      if (count == 0) break;
      const int64_t at = head * bias.head_stride + query * bias.query_stride + span.begin;
      vectors_.widen(bias.type, bias.base + at * ItemBytes(bias.type), count, buffer);
      if (bias.discards) {
        for (int64_t t = 0; t < count; ++t) seen[t] = buffer[t] != 0.0f ? -kInfinity : seen[t];
      } else {
        for (int64_t t = 0; t < count; ++t) seen[t] += buffer[t] * bias.factor;
      }
    }
    std::fill(scores, seen, 0.0f);
    std::fill(seen + count, scores + (end - begin), 0.0f);
    *factor = 1.0f;
    if (count > 0) vectors_.soften(seen, count, 1, count, most, sum, factor);
  }

  // Whether all of these queries see all of the keys begin..end-1.
  static bool AllSee(const Sequence& sequence, Span queries, int64_t begin, int64_t end) {
    return sequence.first + queries.end - 1 <= begin &&
           end <= std::min(sequence.end + queries.begin, sequence.num_keys);
  }

  // `scratch` has AloneFloats numbers.
  void Finish(const Sequence& sequence, int64_t head, int64_t query, float most, float sum, float* values,
              float* scratch) const {
    const bool masked = !sequence.biases.empty() || !AllSee(sequence, {query, query + 1}, 0, sequence.num_keys);
    if (masked && !(AreFinite(values, call_.value_size) && AreFinite(&sum, 1))) {
      AttendAlone(sequence, head, query, &most, &sum, values, scratch);
    }
    const bool empty = sum == 0.0f;
    if (empty) std::fill(values, values + call_.value_size, 0.0f);
    vectors_.narrow(call_.type, values, empty ? 1.0f : 1.0f / sum, call_.value_size,
                    sequence.out + query * sequence.out_token_stride + head * sequence.out_head_stride);
    if (sequence.row_max == nullptr) return;
    const int64_t at = query * sequence.statistic_token_stride + head * sequence.statistic_head_stride;
    std::fill_n(sequence.row_max + at, kStatisticCopies, most);
    std::fill_n(sequence.row_sum + at, kStatisticCopies, sum);
  }

  // ---- One row by itself, without what it does not see: 0 times a NaN or an infinity of a key that is masked is NaN.

  int64_t AloneFloats() const {
    const int64_t gathered = call_.dequantization.needed ? std::max(call_.key_size, call_.value_size) : 0;
    return call_.key_size + kNarrowTile * (2 + gathered);
  }

  // Keys that a bias discards, or masks with -inf, are left out. Finite numbers that mask are added, as anywhere else.
  void AttendAlone(const Sequence& sequence, int64_t head, int64_t row, float* most, float* sum, float* values,
                   float* scratch) const {
    float* query = scratch;
    float* scores = query + call_.key_size;
    float* buffer = scores + kNarrowTile;
    float* copy = buffer + kNarrowTile;
    *most = -kInfinity;
    *sum = 0.0f;
    std::fill(values, values + call_.value_size, 0.0f);
    LoadQuery(sequence, head, row, query);
    const Span seen = Visible(sequence, row, 0, sequence.num_keys);
    for (int64_t begin = seen.begin; begin < seen.end; begin += kNarrowTile) {
      const int64_t end = std::min(begin + kNarrowTile, seen.end);
      ScoreTile(sequence, head / group_, begin, end, 0, query, 1, scores, kNarrowTile, copy);
      const uint32_t kept = DropMasked(sequence, head, row, begin, end, scores, buffer);
      float factor = 1.0f;
      vectors_.soften(scores, kNarrowTile, 1, end - begin, most, sum, &factor);
      if (!AreFinite(sum, 1)) {  // of a key that is seen: nothing else can come
        std::fill(values, values + call_.value_size, std::numeric_limits<float>::quiet_NaN());
        return;
      }
      const float* rescale = &factor;
      for (int64_t at = begin; at < end; ++at) {
        if ((kept >> (at - begin) & 1u) == 0) continue;
        int64_t stop = at + 1;
        while (stop < end && (kept >> (stop - begin) & 1u) != 0) ++stop;
        WeighTile(sequence, head / group_, at, stop, 0, scores + (at - begin), kNarrowTile, rescale, 1, values, copy);
        rescale = nullptr;
        at = stop;
      }
    }
  }

  // Adds the biases; bit t of the result tells whether key begin + t is kept. Others have -inf as a score.
  uint32_t DropMasked(const Sequence& sequence, int64_t head, int64_t row, int64_t begin, int64_t end, float* scores,
                      float* buffer) const {
    static_assert(kNarrowTile == 32, "a bit for each key");
    const int64_t count = end - begin;
    uint32_t kept = ~uint32_t{0};
    for (const Bias& bias : sequence.biases) {
      const int64_t at = head * bias.head_stride + row * bias.query_stride + begin;
      vectors_.widen(bias.type, bias.base + at * ItemBytes(bias.type), count, buffer);
      for (int64_t t = 0; t < count; ++t) {
        const float added = bias.discards ? 0.0f : buffer[t] * bias.factor;
        const bool masked = bias.discards ? buffer[t] != 0.0f : added == -kInfinity;
        if (masked) kept &= ~(uint32_t{1} << t);
        scores[t] += added;
      }
    }
    for (int64_t t = 0; t < count; ++t) {
      if ((kept >> t & 1u) == 0) scores[t] = -kInfinity;
    }
    return kept;
  }

  void LoadQuery(const Sequence& sequence, int64_t head, int64_t query, float* to) const {
    const Operand& from = sequence.query;
    vectors_.scale(from.type, from.base + query * from.token_stride + head * from.head_stride, call_.scale,
                   call_.key_size, to);
  }

  // Keys or values begin..end-1 of a head as float32, one after another.
  void Gather(const Sequence& sequence, const Operand& side, int64_t size, int64_t head, int64_t begin, int64_t end,
              const std::vector<float>& scale, const std::vector<float>& offset, float* to) const {
    while (begin < end) {
      const Rows run = RunOf(sequence, side, size, head, begin, end);
      for (int64_t t = 0; t < run.count; ++t, to += size) {
        vectors_.widen(side.type, run.base + t * run.stride, size, to);
        if (!call_.dequantization.needed) continue;
        if (const int64_t tokens = call_.dequantization.tokens; tokens > 0) {
          const auto at = static_cast<size_t>(sequence.batch_row * tokens + begin + t);
          for (int64_t d = 0; d < size; ++d) to[d] = (to[d] + offset[at]) * scale[at];
        } else {
          for (int64_t d = 0; d < size; ++d) to[d] = (to[d] + offset[head * size + d]) * scale[head * size + d];
        }
      }
      begin += run.count;
    }
  }

  void GatherKeys(const Sequence& s, int64_t head, int64_t begin, int64_t end, float* to) const {
    Gather(s, s.key, call_.key_size, head, begin, end, call_.dequantization.key_scale, call_.dequantization.key_offset,
           to);
  }

  void GatherValues(const Sequence& s, int64_t head, int64_t begin, int64_t end, float* to) const {
    Gather(s, s.value, call_.value_size, head, begin, end, call_.dequantization.value_scale,
           call_.dequantization.value_offset, to);
  }

  // ---- Few queries: sequences in splits (split-KV, as flash-decoding has it), all heads of a tile of keys together,
  // so that memory is read in order.

  struct Split {
    int64_t sequence;
    int64_t begin;
    int64_t end;
    float* results;  // [row][value_size], then maxima and sums
  };

  int64_t RowsOf(const Sequence& sequence) const { return sequence.num_queries * call_.num_heads; }

  void RunNarrow(const std::vector<int64_t>& which) const {
    int64_t keys = 0;
    int64_t bytes = 0;
    for (int64_t s : which) {
      const Sequence& sequence = call_.sequences[static_cast<size_t>(s)];
      keys += sequence.num_keys;
      bytes += sequence.num_keys * call_.num_kv_heads *
               (call_.key_size * ItemBytes(sequence.key.type) + call_.value_size * ItemBytes(sequence.value.type));
    }
    const int64_t threads = ChooseTeam(0, bytes).num_threads;
    const int64_t length =
        threads == 1 ? kUnlimited
                     : (std::max(kLeastSplit, keys / (threads * 4)) + kNarrowTile - 1) / kNarrowTile * kNarrowTile;
    std::vector<Split> splits;
    std::vector<size_t> first_split;
    int64_t numbers = 0;
    int64_t most_rows = 0;
    for (int64_t s : which) {
      const Sequence& sequence = call_.sequences[static_cast<size_t>(s)];
      first_split.push_back(splits.size());
      int64_t begin = 0;
      do {
        const int64_t end = sequence.num_keys - begin > length ? begin + length : sequence.num_keys;
        splits.push_back({s, begin, end, nullptr});
        numbers += RowsOf(sequence) * (call_.value_size + 2);
        begin = end;
      } while (begin < sequence.num_keys);
      most_rows = std::max(most_rows, RowsOf(sequence));
    }
    first_split.push_back(splits.size());
    const std::unique_ptr<float[]> results(new float[static_cast<size_t>(numbers)]);
    float* next = results.get();
    for (Split& split : splits) {
      split.results = next;
      next += RowsOf(call_.sequences[static_cast<size_t>(split.sequence)]) * (call_.value_size + 2);
    }
    const bool gather = call_.dequantization.needed;
    const int64_t scratch = most_rows * (call_.key_size + kNarrowTile + 1) + kNarrowTile +
                            (gather ? kNarrowTile * std::max(call_.key_size, call_.value_size) : 0) + AloneFloats();
    const bool whole = splits.size() == which.size();
    ForEachTask(static_cast<int64_t>(splits.size()), bytes, scratch, [&](int64_t task, float* own) {
      const Split& split = splits[static_cast<size_t>(task)];
      if (bytes > kNearBytes) FetchFirst(split);
      AttendSplit(split, own);
      if (whole) Merge(&split, &split + 1, own);
    });
    if (whole) return;
    ForEachTask(static_cast<int64_t>(which.size()), numbers * 4, AloneFloats(), [&](int64_t task, float* own) {
      const auto at = static_cast<size_t>(task);
      Merge(&splits[first_split[at]], &splits[0] + first_split[at + 1], own);
    });
  }

  // The first tile of a split, which no tile before it fetches.
  void FetchFirst(const Split& split) const {
    const Sequence& sequence = call_.sequences[static_cast<size_t>(split.sequence)];
    const int64_t end = std::min(split.begin + kNarrowTile, split.end);
    for (const Operand* side : {&sequence.key, &sequence.value}) {
      const int64_t size = side == &sequence.key ? call_.key_size : call_.value_size;
      const int64_t bytes = (call_.num_kv_heads - 1) * side->head_stride + size * ItemBytes(side->type);
      for (int64_t at = split.begin; at < end;) {
        const Rows run = RunOf(sequence, *side, size, 0, at, end);
        for (int64_t t = 0; t < run.count; ++t) {
          for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(run.base + t * run.stride + b, 0, 2);
        }
        at += run.count;
      }
    }
  }

  void AttendSplit(const Split& split, float* scratch) const {
    const Sequence& sequence = call_.sequences[static_cast<size_t>(split.sequence)];
    const int64_t rows = RowsOf(sequence);
    const int64_t head_rows = sequence.num_queries * group_;
    float* queries = scratch;  // [kv head][query][head of the group][key_size], scaled
    float* scores = queries + rows * call_.key_size;
    float* factors = scores + rows * kNarrowTile;
    float* buffer = factors + rows;
    float* gathered = buffer + kNarrowTile;
    float* most = split.results + rows * call_.value_size;
    float* sums = most + rows;
    std::fill(split.results, most, 0.0f);
    std::fill(most, sums, -kInfinity);
    std::fill(sums, sums + rows, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      LoadQuery(sequence, HeadOf(sequence, r), QueryOf(sequence, r), queries + r * call_.key_size);
    }
    for (int64_t begin = split.begin; begin < split.end; begin += kNarrowTile) {
      const int64_t end = std::min(begin + kNarrowTile, split.end);
      for (int64_t h = 0; h < call_.num_kv_heads; ++h) {
        const int64_t row = h * head_rows;
        ScoreTile(sequence, h, begin, end, split.end, queries + row * call_.key_size, head_rows,
                  scores + row * kNarrowTile, kNarrowTile, gathered);
      }
      // All heads at once: rows one after another wait for less than heads one after another.
      Soften(sequence, {0, sequence.num_queries}, 0, rows, begin, end, scores, kNarrowTile, most, sums, factors,
             buffer);
      for (int64_t h = 0; h < call_.num_kv_heads; ++h) {
        const int64_t row = h * head_rows;
        WeighTile(sequence, h, begin, end, split.end, scores + row * kNarrowTile, kNarrowTile, factors + row, head_rows,
                  split.results + row * call_.value_size, gathered);
      }
    }
  }

  // Some rows of one key/value head with keys begin..end-1, without a matrix product. `copy` has room for them where
  // caches have another scale.
  void ScoreTile(const Sequence& sequence, int64_t kv_head, int64_t begin, int64_t end, int64_t until,
                 const float* queries, int64_t rows, float* scores, int64_t score_stride, float* copy) const {
    if (call_.dequantization.needed) GatherKeys(sequence, kv_head, begin, end, copy);
    for (int64_t at = begin; at < end;) {
      const Rows run = TileRun(sequence, sequence.key, call_.key_size, kv_head, begin, at, end, until, copy);
      vectors_.scores(run, queries, call_.key_size, rows, scores + (at - begin), score_stride);
      at += run.count;
    }
  }

  void WeighTile(const Sequence& sequence, int64_t kv_head, int64_t begin, int64_t end, int64_t until,
                 const float* weights, int64_t weight_stride, const float* factors, int64_t rows, float* values,
                 float* copy) const {
    if (call_.dequantization.needed) GatherValues(sequence, kv_head, begin, end, copy);
    for (int64_t at = begin; at < end;) {
      const Rows run = TileRun(sequence, sequence.value, call_.value_size, kv_head, begin, at, end, until, copy);
      vectors_.weigh(run, weights + (at - begin), weight_stride, at == begin ? factors : nullptr, rows, values,
                     call_.value_size);
      at += run.count;
    }
  }

  // Rows of a tile from `at` on, and those of the tile behind, which ends with key `until` at the latest, to fetch
  // meanwhile; or all that is left of the copy.
  Rows TileRun(const Sequence& sequence, const Operand& side, int64_t size, int64_t kv_head, int64_t begin, int64_t at,
               int64_t end, int64_t until, const float* copy) const {
    if (call_.dequantization.needed) {
      const auto* from = reinterpret_cast<const char*>(copy + (at - begin) * size);
      return {from, size * 4, end - at, size, MSSP_BUILTIN_FLOAT32, nullptr};
    }
    Rows run = RunOf(sequence, side, size, kv_head, at, end);
    if (at + kNarrowTile < until) run.ahead = RunOf(sequence, side, size, kv_head, at + kNarrowTile, until).base;
    return run;
  }

  // Rows in the order [kv head][query][head of the group].
  int64_t HeadOf(const Sequence& sequence, int64_t row) const {
    return row / (sequence.num_queries * group_) * group_ + row % group_;
  }
  int64_t QueryOf(const Sequence& sequence, int64_t row) const { return row / group_ % sequence.num_queries; }

  void Merge(const Split* begin, const Split* end, float* scratch) const {
    const Sequence& sequence = call_.sequences[static_cast<size_t>(begin->sequence)];
    const int64_t rows = RowsOf(sequence);
    const int64_t size = call_.value_size;
    for (int64_t r = 0; r < rows; ++r) {
      const auto most_of = [&](const Split* split) { return split->results[rows * size + r]; };
      const auto sum_of = [&](const Split* split) { return split->results[rows * size + rows + r]; };
      float* total = begin->results + r * size;
      float most = most_of(begin);
      float sum = sum_of(begin);
      for (const Split* split = begin + 1; split != end; ++split) {
        const float now = std::max(most, most_of(split));
        if (now == -kInfinity) {
          sum += sum_of(split);  // 0, or not a number
          continue;
        }
        const float before = std::exp(most - now);
        const float after = std::exp(most_of(split) - now);
        const float* other = split->results + r * size;
        for (int64_t d = 0; d < size; ++d) total[d] = total[d] * before + other[d] * after;
        sum = sum * before + sum_of(split) * after;
        most = now;
      }
      Finish(sequence, HeadOf(sequence, r), QueryOf(sequence, r), most, sum, total, scratch);
    }
  }

  // ---- Many queries: blocks of them against blocks of keys, by matrix products where there are any.

  struct Block {
    int64_t sequence;
    int64_t kv_head;
    int64_t first_query;
    int64_t num_queries;
  };

  int64_t BlockKeys() const {
    if (sgemm_ == nullptr) return kNarrowTile;
    const int64_t keys = kBlockNumbers / std::max<int64_t>(1, std::max(call_.key_size, call_.value_size));
    return std::max<int64_t>(kNarrowTile, std::min<int64_t>(512, keys / 64 * 64));
  }

  void RunWide(const std::vector<int64_t>& which) const {
    const int64_t step = std::max<int64_t>(1, kBlockRows / group_);
    std::vector<Block> blocks;
    double work = 0;
    for (int64_t s : which) {
      const Sequence& sequence = call_.sequences[static_cast<size_t>(s)];
      for (int64_t h = 0; h < call_.num_kv_heads; ++h) {
        for (int64_t i = 0; i < sequence.num_queries; i += step) {
          blocks.push_back({s, h, i, std::min(step, sequence.num_queries - i)});
        }
      }
      work += static_cast<double>(RowsOf(sequence)) * static_cast<double>(sequence.num_keys) *
              static_cast<double>(call_.key_size + call_.value_size);
    }
    // Later queries see more: they begin.
    std::reverse(blocks.begin(), blocks.end());
    const int64_t rows = std::max(step * group_, group_);
    const int64_t keys = BlockKeys();
    const int64_t scratch = rows * (call_.key_size + call_.value_size + 3 + keys) +
                            keys * (call_.key_size + call_.value_size + 1) + AloneFloats();
    // About eight multiply-adds take as long as copying a byte.
    const auto bytes = static_cast<int64_t>(std::min(work / 8, 1e15));
    ForEachTask(static_cast<int64_t>(blocks.size()), bytes, scratch,
                [&](int64_t task, float* own) { AttendBlock(blocks[static_cast<size_t>(task)], keys, own); });
  }

  void AttendBlock(const Block& block, int64_t step, float* scratch) const {
    const Sequence& sequence = call_.sequences[static_cast<size_t>(block.sequence)];
    const int64_t rows = block.num_queries * group_;
    float* queries = scratch;  // [query][head of the group][key_size], scaled
    float* values = queries + rows * call_.key_size;
    float* most = values + rows * call_.value_size;
    float* sums = most + rows;
    float* factors = sums + rows;
    float* scores = factors + rows;
    float* buffer = scores + rows * step;
    float* keys_copy = buffer + step;
    float* values_copy = keys_copy + step * call_.key_size;
    float* alone = values_copy + step * call_.value_size;
    std::fill(values, most, 0.0f);
    std::fill(most, sums, -kInfinity);
    std::fill(sums, sums + rows, 0.0f);
    const int64_t first_row = (block.kv_head * sequence.num_queries + block.first_query) * group_;
    for (int64_t r = 0; r < rows; ++r) {
      LoadQuery(sequence, HeadOf(sequence, first_row + r), QueryOf(sequence, first_row + r),
                queries + r * call_.key_size);
    }
    const Span seeing = {block.first_query, block.first_query + block.num_queries};
    // What its first query sees first, and its last one last.
    const int64_t from = std::max<int64_t>(0, sequence.first + block.first_query);
    const int64_t until = std::min(sequence.end + block.first_query + block.num_queries - 1, sequence.num_keys);
    for (int64_t begin = from; begin < until; begin += step) {
      const int64_t end = std::min(begin + step, until);
      if (sgemm_ == nullptr) {
        ScoreTile(sequence, block.kv_head, begin, end, end, queries, rows, scores, step, keys_copy);
        Soften(sequence, seeing, first_row, rows, begin, end, scores, step, most, sums, factors, buffer);
        WeighTile(sequence, block.kv_head, begin, end, end, scores, step, factors, rows, values, values_copy);
        continue;
      }
      const int64_t count = end - begin;
      int64_t stride = call_.key_size;
      const float* keys = InPlace(sequence, sequence.key, block.kv_head, begin, &stride);
      if (keys == nullptr) {
        GatherKeys(sequence, block.kv_head, begin, end, keys_copy);
        keys = keys_copy;
      }
      sgemm_('N', 'T', rows, count, call_.key_size, 1.0f, queries, call_.key_size, keys, stride, 0.0f, scores, step);
      Soften(sequence, seeing, first_row, rows, begin, end, scores, step, most, sums, factors, buffer);
      for (int64_t r = 0; r < rows; ++r) {
        float* row = values + r * call_.value_size;
        if (factors[r] != 1.0f) vectors_.scale(MSSP_BUILTIN_FLOAT32, row, factors[r], call_.value_size, row);
      }
      stride = call_.value_size;
      const float* weighed = InPlace(sequence, sequence.value, block.kv_head, begin, &stride);
      if (weighed == nullptr) {
        GatherValues(sequence, block.kv_head, begin, end, values_copy);
        weighed = values_copy;
      }
      sgemm_('N', 'N', rows, call_.value_size, count, 1.0f, scores, step, weighed, stride, 1.0f, values,
             call_.value_size);
    }
    for (int64_t r = 0; r < rows; ++r) {
      Finish(sequence, HeadOf(sequence, first_row + r), QueryOf(sequence, first_row + r), most[r], sums[r],
             values + r * call_.value_size, alone);
    }
  }

  // float32 in one piece needs no copy.
  static const float* InPlace(const Sequence& sequence, const Operand& side, int64_t head, int64_t begin,
                              int64_t* stride) {
    if (side.type != MSSP_BUILTIN_FLOAT32 || !sequence.pages.empty() || side.token_stride % 4 != 0) return nullptr;
    *stride = side.token_stride / 4;
    return reinterpret_cast<const float*>(side.base + begin * side.token_stride + head * side.head_stride);
  }

  const AttentionCall& call_;
  const VectorKernels& vectors_;
  const MsspSgemm sgemm_;
  const int64_t group_;
};

}  // namespace

int64_t MostQueries(const AttentionCall& call) {
  int64_t most = 0;
  for (const Sequence& sequence : call.sequences) most = std::max(most, sequence.num_queries);
  return most;
}

int64_t MostKeys(const AttentionCall& call) {
  int64_t most = 0;
  for (const Sequence& sequence : call.sequences) most = std::max(most, sequence.num_keys);
  return most;
}

void Attend(const AttentionCall& call) { Attention(call).Run(); }

}  // namespace compat
}  // namespace mssp

extern "C" MSSP_EXPORT void MsspBuiltinSetSgemm(MsspSgemm sgemm) {
  mssp::compat::active_sgemm.store(sgemm, std::memory_order_relaxed);
}
