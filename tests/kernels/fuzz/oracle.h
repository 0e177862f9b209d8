// The operator once more, as slowly and plainly as possible: one element at a time, every number a double, rounding by
// search in the table of all values. Shares nothing with the core but the interface.
#ifndef MS_SCATTER_PA_TESTS_KERNELS_FUZZ_ORACLE_H_
#define MS_SCATTER_PA_TESTS_KERNELS_FUZZ_ORACLE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "scatter_pa.h"

namespace oracle {

static_assert(MSSP_NUM_ELEMENT_TYPES == 12, "a new type: see ItemSize, IsFloat, Decode");

inline int ItemSize(int type) {
  switch (type) {
    case MSSP_FLOAT32:
    case MSSP_INT32:
    case MSSP_UINT32:
      return 4;
    case MSSP_FLOAT16:
    case MSSP_BFLOAT16:
    case MSSP_INT16:
    case MSSP_UINT16:
      return 2;
    default:
      return 1;
  }
}

inline bool IsFloat(int type) {
  return type == MSSP_FLOAT16 || type == MSSP_FLOAT32 || type == MSSP_BFLOAT16 || type >= MSSP_HIFLOAT8;
}

// A code's value by the format's definition.
inline double Decode(int type, uint32_t code) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  if (type == MSSP_FLOAT32) {
    float x;
    std::memcpy(&x, &code, 4);
    return x;
  }
  if (type == MSSP_HIFLOAT8) {
    const double sign = code & 0x80 ? -1 : 1;
    const int m = static_cast<int>(code & 0x7F);
    if (code == 0x80) return nan;
    if (m == 0) return 0;
    if (m == 0x6F) return sign * infinity;
    if (m < 8) return sign * std::ldexp(1.0, m - 23);
    int exponent_bits, mantissa_bits;
    if (m >= 0x60) {
      exponent_bits = 4, mantissa_bits = 1;
    } else if (m >= 0x40) {
      exponent_bits = 3, mantissa_bits = 2;
    } else if (m >= 0x20) {
      exponent_bits = 2, mantissa_bits = 3;
    } else if (m >= 0x10) {
      exponent_bits = 1, mantissa_bits = 3;
    } else {
      exponent_bits = 0, mantissa_bits = 3;
    }
    const double fraction = 1 + (m & ((1 << mantissa_bits) - 1)) / std::ldexp(1.0, mantissa_bits);
    if (exponent_bits == 0) return sign * fraction;
    const int field = (m >> mantissa_bits) & ((1 << exponent_bits) - 1);
    const int low = 1 << (exponent_bits - 1);
    const int magnitude = low | (field & (low - 1));
    return sign * std::ldexp(fraction, field & low ? -magnitude : magnitude);
  }
  int exponent_bits = 5, mantissa_bits = 10;
  if (type == MSSP_BFLOAT16) exponent_bits = 8, mantissa_bits = 7;
  if (type == MSSP_FLOAT8_E5M2) exponent_bits = 5, mantissa_bits = 2;
  if (type == MSSP_FLOAT8_E4M3FN) exponent_bits = 4, mantissa_bits = 3;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int mantissa = static_cast<int>(code & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>(code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double sign = code >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    if (type == MSSP_FLOAT8_E4M3FN) {
      if (mantissa == 7) return nan;
    } else {
      return mantissa ? nan : sign * infinity;
    }
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(1 + mantissa / std::ldexp(1.0, mantissa_bits), exponent - bias);
}

// Positive finite values with their codes, and the value that would follow the largest.
struct Table {
  std::vector<std::pair<double, uint32_t>> values;
  double beyond;
};

inline const Table& TableOf(int type) {
  static std::map<int, Table> tables;
  auto found = tables.find(type);
  if (found != tables.end()) return found->second;
  Table table;
  const uint32_t positive = 1u << (8 * ItemSize(type) - 1);
  for (uint32_t code = 0; code < positive; ++code) {
    const double value = Decode(type, code);
    if (std::isfinite(value)) table.values.emplace_back(value, code);
  }
  std::sort(table.values.begin(), table.values.end());
  const double last = table.values.back().first;
  table.beyond = last + (last - table.values[table.values.size() - 2].first);
  if (type == MSSP_HIFLOAT8) table.beyond = 1.5 * 32768;  // the code that infinity has taken
  return tables.emplace(type, table).first->second;
}

// The nearest code; halves go to the even one, in hifloat8 away from zero.
inline uint32_t Encode(int type, float x) {
  uint32_t code;
  std::memcpy(&code, &x, 4);
  if (type == MSSP_FLOAT32) return code;
  const uint32_t sign = 1u << (8 * ItemSize(type) - 1);
  const uint32_t nan = type == MSSP_HIFLOAT8 ? 0x80 : type == MSSP_FLOAT8_E4M3FN ? 0x7F : sign - 1;
  if (std::isnan(x)) return nan;
  const Table& table = TableOf(type);
  const double magnitude = std::fabs(static_cast<double>(x));
  size_t i = static_cast<size_t>(
                 std::upper_bound(table.values.begin(), table.values.end(), std::make_pair(magnitude, UINT32_MAX)) -
                 table.values.begin()) -
             1;
  const bool last = i + 1 == table.values.size();
  const double next = last ? table.beyond : table.values[i + 1].first;
  const double below = magnitude - table.values[i].first, above = next - magnitude;
  const bool half_goes_up = type == MSSP_HIFLOAT8 || (table.values[i].second & 1);
  if (above < below || (above == below && half_goes_up)) {
    if (last) {
      if (type == MSSP_HIFLOAT8) return (x < 0 ? sign : 0) | 0x6F;
      if (type == MSSP_FLOAT8_E4M3FN) return nan;
      return (x < 0 ? sign : 0) | (table.values[i].second + 1);
    }
    ++i;
  }
  code = table.values[i].second;
  if (type == MSSP_HIFLOAT8 && code == 0) return 0;
  return std::signbit(x) ? code | sign : code;
}

inline uint32_t ReadElement(const char* from, int type) {
  uint32_t code = 0;
  std::memcpy(&code, from, static_cast<size_t>(ItemSize(type)));
  return code;
}

inline int64_t SignedElement(uint32_t code, int type) {
  switch (type) {
    case MSSP_INT8:
      return static_cast<int8_t>(code);
    case MSSP_INT16:
      return static_cast<int16_t>(code);
    case MSSP_INT32:
      return static_cast<int32_t>(code);
    default:
      return code;
  }
}

struct Calls {
  const MsspCall& call;

  int64_t Index(const void* data, int64_t i) const {
    if (call.index_type == MSSP_INDEX_INT32) {
      int32_t value;
      std::memcpy(&value, static_cast<const char*>(data) + 4 * i, 4);
      return value;
    }
    int64_t value;
    std::memcpy(&value, static_cast<const char*>(data) + 8 * i, 8);
    return value;
  }

  struct Run {
    int64_t slot;
    std::vector<std::vector<int64_t>> sources;  // of each row: source rows, more than one for a mean
  };

  // Rows [first, end) of the source; of more than the cache has slots, so many that they do not fit.
  void AddRows(Run* run, int64_t first, int64_t end) const {
    const int64_t most = call.num_blocks * call.block_size + 1 - static_cast<int64_t>(run->sources.size());
    end = std::min(end, first + std::max<int64_t>(most, 0));
    for (int64_t k = first; k < end; ++k) run->sources.push_back({k});
  }

  // The pair's rows in the order of the contract; false and `bad` when a length is out of bounds.
  bool PlanPair(int64_t pair, int64_t length, Run* run, int64_t* bad) const {
    const int64_t n = Index(call.compress_lens, pair);
    run->slot = Index(call.slot_mapping, pair);
    if (call.scatter_mode == MSSP_ALIBI) {
      *bad = n;
      if (n < 0 || n > length) return false;
      AddRows(run, length - n, length);
      return true;
    }
    const int64_t o = Index(call.compress_seq_offsets, pair);
    const bool ignores_n = o == -1 || o == length;
    if (!ignores_n) {
      *bad = o;
      if (o < 0 || o > length) return false;
      *bad = n;
      if (n < 0 || n > length - o) return false;
    }
    if (ignores_n || n == 0) {
      AddRows(run, 0, length);
      return true;
    }
    AddRows(run, 0, o);
    if (call.scatter_mode == MSSP_ROPE) {
      std::vector<int64_t> averaged;
      const bool empty = call.key.head_size == 0 && (call.value.rows == nullptr || call.value.head_size == 0);
      for (int64_t k = o; k < o + n && !(empty && k > o); ++k) averaged.push_back(k);
      run->sources.push_back(averaged);
    }
    AddRows(run, o + n, length);
    return true;
  }

  MsspStatus Scatter() const {
    const int64_t capacity = call.num_blocks * call.block_size;
    std::vector<Run> runs;
    std::vector<int64_t> first_rows;
    if (call.scatter_mode == MSSP_NONE) {
      for (int64_t t = 0; t < call.num_tokens; ++t) {
        runs.push_back({Index(call.slot_mapping, t), {{t}}});
        if (runs.back().slot >= capacity) return {MSSP_BAD_SLOT, t, runs.back().slot, capacity};
      }
    } else {
      const int64_t bound = call.packed ? call.num_tokens : call.seq_len;
      int64_t sum = 0;
      bool legal = true;
      for (int64_t b = 0; b < call.batch; ++b) {
        const int64_t length = Index(call.seq_lens, b);
        legal = legal && length >= 0 && length <= bound;
        if (legal) sum += length;
      }
      if (call.packed && legal && sum != bound) return {MSSP_BAD_SHAPES, 0, bound, sum};
      int64_t first_row = 0;
      for (int64_t b = 0; b < call.batch; ++b) {
        const int64_t length = Index(call.seq_lens, b);
        for (int64_t h = 0; h < call.num_head; ++h) {
          const int64_t pair = b * call.num_head + h;
          const int64_t slot = Index(call.slot_mapping, pair);
          if ((call.packed || slot >= 0) && (length < 0 || length > bound))
            return {MSSP_BAD_LENGTHS, pair, length, bound};
          Run run{slot, {}};
          int64_t bad = 0;
          if (slot >= 0 && !PlanPair(pair, length, &run, &bad)) return {MSSP_BAD_LENGTHS, pair, bad, length};
          const int64_t rows = std::max<int64_t>(static_cast<int64_t>(run.sources.size()), 1);
          if (slot >= 0 && slot > capacity - rows) return {MSSP_BAD_SLOT, pair, slot, capacity};
          runs.push_back(run);
          first_rows.push_back(call.packed ? first_row : 0);
        }
        if (call.packed) first_row += length;
      }
    }
    if (call.check_duplicates) {
      std::map<int64_t, int64_t> owner;
      for (size_t i = 0; i < runs.size(); ++i) {
        if (runs[i].slot < 0) continue;
        int64_t first = INT64_MAX, shared = 0;
        for (size_t k = 0; k < runs[i].sources.size(); ++k) {
          const auto found = owner.find(runs[i].slot + static_cast<int64_t>(k));
          if (found != owner.end() && found->second < first) first = found->second, shared = found->first;
        }
        if (first != INT64_MAX) return {MSSP_DUPLICATE, static_cast<int64_t>(i), shared, first};
        for (size_t k = 0; k < runs[i].sources.size(); ++k) {
          owner[runs[i].slot + static_cast<int64_t>(k)] = static_cast<int64_t>(i);
        }
      }
    }
    for (const MsspSide* side : {&call.key, &call.value}) {
      if (side->rows == nullptr) continue;
      for (size_t i = 0; i < runs.size(); ++i) {
        if (runs[i].slot < 0) continue;
        for (size_t k = 0; k < runs[i].sources.size(); ++k) {
          if (call.scatter_mode == MSSP_NONE) {
            for (int64_t h = 0; h < call.num_head; ++h) Put(*side, runs[i].slot, h, runs[i].sources[k], 0, 0, h);
          } else {
            const int64_t b = static_cast<int64_t>(i) / call.num_head, h = static_cast<int64_t>(i) % call.num_head;
            Put(*side, runs[i].slot + static_cast<int64_t>(k), h, runs[i].sources[k], b, first_rows[i], 0);
          }
        }
      }
    }
    return {MSSP_WRITTEN, 0, 0, 0};
  }

  // One row of one head; `place` is the head's place in the cache.
  void Put(const MsspSide& side, int64_t slot, int64_t head, const std::vector<int64_t>& sources, int64_t batch,
           int64_t first_row, int64_t place) const {
    const int type = side.element_type;
    const int64_t size = ItemSize(type), d_all = side.head_size;
    const int64_t heads = call.scatter_mode == MSSP_NONE ? call.num_head : 1;
    const int64_t block = slot / call.block_size, offset = slot % call.block_size;
    const int64_t last = 32 / size;
    for (int64_t d = 0; d < d_all; ++d) {
      std::vector<uint32_t> codes;
      for (const int64_t row : sources) {
        int64_t at = (first_row + row) * side.token_stride + head * side.head_stride + d;
        if (call.scatter_mode != MSSP_NONE && !call.packed) at += batch * side.batch_stride;
        codes.push_back(ReadElement(static_cast<const char*>(side.rows) + at * size, type));
      }
      const uint32_t code = IsMean(slot, head, batch, sources) ? Mean(codes, type) : codes[0];
      const int64_t channel = place * d_all + d;
      int64_t to = block * (side.block_stride != 0 ? side.block_stride : call.block_size * heads * d_all);
      if (call.layout == MSSP_NORM) {
        to += (offset * heads + place) * d_all + d;
      } else if (call.layout == MSSP_NHSD) {
        to += (place * call.block_size + offset) * d_all + d;
      } else {
        to += channel / last * call.block_size * last + offset * last + channel % last;
      }
      std::memcpy(static_cast<char*>(side.cache) + to * size, &code, static_cast<size_t>(size));
    }
  }

  // A mean of one row is a mean too: it turns -0.0 into +0.0 and rounds NaNs.
  bool IsMean(int64_t slot, int64_t head, int64_t batch, const std::vector<int64_t>& sources) const {
    if (call.scatter_mode != MSSP_ROPE) return false;
    const int64_t pair = batch * call.num_head + head;
    const int64_t o = Index(call.compress_seq_offsets, pair), n = Index(call.compress_lens, pair);
    const int64_t length = Index(call.seq_lens, batch);
    return o != -1 && o != length && n != 0 && slot == Index(call.slot_mapping, pair) + o && sources[0] == o;
  }

  static uint32_t Mean(const std::vector<uint32_t>& codes, int type) {
    const int64_t n = static_cast<int64_t>(codes.size());
    if (!IsFloat(type)) {
      int64_t sum = 0;
      for (const uint32_t code : codes) sum += SignedElement(code, type);
      return static_cast<uint32_t>(sum / n);
    }
    volatile float sum = 0;
    for (const uint32_t code : codes) sum = sum + static_cast<float>(Decode(type, code));
    return Encode(type, sum / static_cast<float>(n));
  }
};

inline MsspStatus Scatter(const MsspCall& call) { return Calls{call}.Scatter(); }

}  // namespace oracle

#endif  // MS_SCATTER_PA_TESTS_KERNELS_FUZZ_ORACLE_H_
