// Bytes -> a gather or a quantising write -> the core and a plain second version must agree in status and in every
// byte. All memory is exactly as large as the call says, so that a sanitizer sees every step beside it. Now and then
// fields of the call are broken, or an argument is put where the call writes: it is refused, and nothing is written.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <utility>
#include <vector>

#include "drawing.h"
#include "oracle.h"
#include "plain_entry.h"

namespace {

class Input : public fuzz::Bytes {
 public:
  Input(const uint8_t* data, size_t size) : Bytes(data, size) {
    for (size_t i = 0; i < size; ++i) state_ = state_ * 31 + data[i];
  }

  bool Rarely() { return Below(16) == 1; }
  uint64_t Random() {  // content, which the fuzzer need not choose
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }

 private:
  uint64_t state_ = 88172645463325252u;
};

int64_t Extreme(Input* in) {
  constexpr int64_t kExtremes[] = {INT64_MIN, INT32_MIN, -2, -1, INT32_MAX, int64_t{1} << 32, INT64_MAX, 7};
  return kExtremes[in->Below(8)];
}

// Random bytes, exactly as many as asked for.
std::vector<char> Filled(Input* in, int64_t bytes) {
  std::vector<char> memory(static_cast<size_t>(bytes));
  for (char& byte : memory) byte = static_cast<char>(in->Random() >> 40);
  memory.shrink_to_fit();
  return memory;
}

std::vector<char> Floats(Input* in, int64_t count, bool positive) {
  std::vector<char> memory(static_cast<size_t>(count * 4));
  for (int64_t i = 0; i < count; ++i) {
    float x = static_cast<float>(static_cast<int64_t>(in->Random() % 4001) - 2000) / 64.0f;
    if (positive) x = std::fabs(x) + 0.015625f;
    if (in->Rarely()) x = std::ldexp(x, static_cast<int>(in->Below(200)) - 140);
    if (in->Rarely() && in->Rarely()) {
      const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, -1.0f, 1e-45f, 3e38f};
      x = odd[in->Below(8)];
    }
    std::memcpy(&memory[static_cast<size_t>(4 * i)], &x, 4);
  }
  return memory;
}

int64_t IndexAt(const void* data, int32_t type, int64_t i) {
  int64_t wide;
  int32_t narrow;
  if (type == MSSP_INDEX_INT64) return std::memcpy(&wide, static_cast<const char*>(data) + 8 * i, 8), wide;
  return std::memcpy(&narrow, static_cast<const char*>(data) + 4 * i, 4), narrow;
}

float FloatAt(const void* data, int64_t i) {
  float x;
  std::memcpy(&x, static_cast<const char*>(data) + 4 * i, 4);
  return x;
}

float Largest(int32_t type) { return type == MSSP_INT8 ? 127.0f : type == MSSP_FLOAT8_E5M2 ? 57344.0f : 448.0f; }

float DecodeCode(int32_t type, uint8_t code) {
  if (type == MSSP_INT8) return static_cast<float>(static_cast<int8_t>(code));
  return static_cast<float>(oracle::Decode(type, code));
}

// The nearest code, of two the even one; by trying all of them.
uint8_t Encode(int32_t type, float x, float lowest) {
  if (type == MSSP_INT8) {
    if (std::isnan(x)) return 0;
    return static_cast<uint8_t>(static_cast<int>(std::nearbyint(std::fmin(std::fmax(x, lowest), 127.0f))));
  }
  if (std::isnan(x)) return 0x7F;
  const float magnitude = std::fmin(std::fabs(x), Largest(type));
  int best = 0;
  double distance = std::numeric_limits<double>::infinity();
  for (int code = 0; code < 0x7F; ++code) {
    const double value = DecodeCode(type, static_cast<uint8_t>(code));
    if (!std::isfinite(value)) break;
    const double d = std::fabs(value - magnitude);
    if (d < distance || (d == distance && code % 2 == 0)) {
      best = code;
      distance = d;
    }
  }
  return static_cast<uint8_t>(best | (std::signbit(x) ? 0x80 : 0));
}

struct Shape {
  int32_t layout;
  int64_t heads, blocks, block_size;
};

int64_t CacheAt(const Shape& shape, const MsspPagedSide& side, int64_t slot, int64_t h, int64_t d) {
  const int64_t block = slot / shape.block_size, offset = slot % shape.block_size;
  const int64_t unit = 32 / oracle::ItemSize(side.cache_type);
  const int64_t channel = h * side.head_size + d;
  switch (shape.layout) {
    case MSSP_NORM:
      return block * side.block_stride + offset * shape.heads * side.head_size + channel;
    case MSSP_NHSD:
      return block * side.block_stride + (h * shape.block_size + offset) * side.head_size + d;
    default:
      return block * side.block_stride + (channel / unit * shape.block_size + offset) * unit + channel % unit;
  }
}

char* ScalePlace(const Shape& shape, const MsspScaling& scaling, int64_t slot, int64_t h) {
  const int64_t block = slot / shape.block_size, offset = slot % shape.block_size;
  const int64_t within = shape.layout == MSSP_NHSD ? h * shape.block_size + offset : offset * shape.heads + h;
  return static_cast<char*>(scaling.scale_cache) + 4 * (block * scaling.scale_block_stride + within);
}

int64_t ScaleIndex(const MsspScaling& scaling, int64_t h, int64_t d, int64_t head_size) {
  return scaling.granularity == MSSP_PER_TENSOR ? 0 : scaling.granularity == MSSP_PER_HEAD ? h : h * head_size + d;
}

MsspStatus CheckScales(const Shape& shape, const MsspPagedSide& side, int64_t scale, int64_t offset) {
  const MsspScaling& scaling = side.scaling;
  if (side.rows == nullptr || scaling.kind != MSSP_STATIC) return {};
  const int64_t count = ScaleIndex(scaling, shape.heads - 1, side.head_size - 1, side.head_size) + 1;
  for (int64_t i = 0; i < count; ++i) {
    const float x = FloatAt(scaling.scale, i);
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (!(x > 0 && std::isfinite(x))) return {MSSP_BAD_SCALE, i, bits, scale};
  }
  for (int64_t i = 0; scaling.offset != nullptr && i < count; ++i) {
    const float x = FloatAt(scaling.offset, i);
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (!std::isfinite(x)) return {MSSP_BAD_OFFSET, i, bits, offset};
  }
  return {};
}

const char* RowAt(const MsspPagedSide& side, int64_t t, int64_t h, int64_t d) {
  return static_cast<const char*>(side.rows) +
         (t * side.token_stride + h * side.head_stride + d) * oracle::ItemSize(side.rows_type);
}

float DecodeRow(const MsspPagedSide& side, const char* element) {
  return static_cast<float>(oracle::Decode(side.rows_type, oracle::ReadElement(element, side.rows_type)));
}

MsspStatus Quant(const MsspQuantCall& call) {
  const Shape shape = {call.layout, call.num_head, call.num_blocks, call.block_size};
  const int64_t capacity = call.num_blocks * call.block_size;
  for (int64_t t = 0; t < call.num_tokens; ++t) {
    const int64_t slot = IndexAt(call.slot_mapping, call.index_type, t);
    if (slot >= capacity) return {MSSP_BAD_SLOT, t, slot, capacity};
  }
  for (int64_t t = 0; t < call.num_tokens; ++t) {
    const int64_t slot = IndexAt(call.slot_mapping, call.index_type, t);
    for (int64_t u = 0; u < t && slot >= 0; ++u) {
      if (IndexAt(call.slot_mapping, call.index_type, u) == slot) return {MSSP_DUPLICATE, t, slot, u};
    }
  }
  MsspStatus status = CheckScales(shape, call.key, mssp::quant::kKeyScale, mssp::quant::kKeyOffset);
  if (status.code == 0) status = CheckScales(shape, call.value, mssp::quant::kValueScale, mssp::quant::kValueOffset);
  if (status.code != 0) return status;
  for (const MsspPagedSide* side : {&call.key, &call.value}) {
    if (side->rows == nullptr || side->head_size == 0) continue;  // no byte, no scale
    const MsspScaling& scaling = side->scaling;
    char* const cache = static_cast<char*>(side->cache);
    for (int64_t t = 0; t < call.num_tokens; ++t) {
      const int64_t slot = IndexAt(call.slot_mapping, call.index_type, t);
      if (slot < 0) continue;
      for (int64_t h = 0; h < call.num_head; ++h) {
        float scale = 1;
        if (scaling.kind == MSSP_GIVEN) {
          std::memcpy(ScalePlace(shape, scaling, slot, h),
                      static_cast<const char*>(scaling.scale) + 4 * (t * call.num_head + h), 4);
        } else if (scaling.kind == MSSP_DYNAMIC) {
          float most = 0;
          for (int64_t d = 0; d < side->head_size; ++d) {
            const float x = std::fabs(DecodeRow(*side, RowAt(*side, t, h, d)));
            if (std::isnan(x) || std::isnan(most) ? !std::isnan(most) : x > most) most = x;
          }
          scale = most / Largest(side->cache_type);
          if (scale == 0) scale = 1;
          std::memcpy(ScalePlace(shape, scaling, slot, h), &scale, 4);
        }
        for (int64_t d = 0; d < side->head_size; ++d) {
          const char* const from = RowAt(*side, t, h, d);
          char* const to = cache + CacheAt(shape, *side, slot, h, d);
          if (scaling.kind == MSSP_COPIED || scaling.kind == MSSP_GIVEN) {
            *to = *from;
            continue;
          }
          const int64_t i = ScaleIndex(scaling, h, d, side->head_size);
          float x = DecodeRow(*side, from);
          x = x / (scaling.kind == MSSP_STATIC ? FloatAt(scaling.scale, i) : scale);
          if (scaling.kind == MSSP_STATIC && scaling.offset != nullptr) x = x + FloatAt(scaling.offset, i);
          *to = static_cast<char>(Encode(side->cache_type, x, scaling.kind == MSSP_STATIC ? -128.0f : -127.0f));
        }
      }
    }
  }
  return {};
}

MsspStatus GatherRows(const MsspGatherCall& call) {
  const Shape shape = {call.layout, call.num_head, call.num_blocks, call.block_size};
  const int64_t sums = call.is_seq_lens_cumsum != 0 ? 1 : 0;
  std::vector<int64_t> lengths;
  const auto entry = [&](int64_t i) { return IndexAt(call.seq_lens, call.index_type, i); };
  if (sums != 0 && entry(0) != 0) return {MSSP_BAD_LENGTHS, 0, entry(0), 0};
  int64_t total = 0;
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t given = entry(b + sums);
    const int64_t room = call.num_tokens - (sums != 0 ? 0 : total);
    if (given < (sums != 0 ? total : 0) || given > room) return {MSSP_BAD_LENGTHS, b + sums, given, room};
    lengths.push_back(sums != 0 ? given - total : given);
    total += lengths.back();
  }
  if (total != call.num_tokens) {
    return {MSSP_BAD_LENGTHS, call.batch > 0 ? call.batch - 1 + sums : 0, total, call.num_tokens};
  }
  const auto offset_of = [&](int64_t b) {
    return call.seq_offset == nullptr ? 0 : IndexAt(call.seq_offset, call.index_type, b);
  };
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t offset = offset_of(b);
    if (offset < 0 || offset % call.block_size != 0) return {MSSP_BAD_OFFSET, b, offset, mssp::gather::kSeqOffset};
    const int64_t columns = call.table_width - offset / call.block_size;
    const int64_t room = columns < 0 ? 0 : columns * call.block_size;
    if (lengths[static_cast<size_t>(b)] > room) {
      return {MSSP_BAD_LENGTHS, b + sums, lengths[static_cast<size_t>(b)], room};
    }
  }
  MsspStatus status = CheckScales(shape, call.key, mssp::gather::kKeyScale, mssp::gather::kKeyOffset);
  if (status.code == 0) status = CheckScales(shape, call.value, mssp::gather::kValueScale, mssp::gather::kValueOffset);
  if (status.code != 0) return status;
  std::vector<int64_t> slots;
  for (int64_t b = 0; b < call.batch; ++b) {
    for (int64_t i = 0; i < lengths[static_cast<size_t>(b)]; ++i) {
      const int64_t at = b * call.table_width + offset_of(b) / call.block_size + i / call.block_size;
      const int64_t block = IndexAt(call.block_tables, call.index_type, at);
      if (block < 0 || block >= call.num_blocks) return {MSSP_BAD_SLOT, at, block, call.num_blocks};
      slots.push_back(block * call.block_size + i % call.block_size);
    }
  }
  for (const MsspPagedSide* side : {&call.key, &call.value}) {
    if (side->rows == nullptr) continue;
    const MsspScaling& scaling = side->scaling;
    const int64_t size = oracle::ItemSize(side->cache_type);
    for (int64_t t = 0; t < call.num_tokens; ++t) {
      const int64_t slot = slots[static_cast<size_t>(t)];
      for (int64_t h = 0; h < call.num_head; ++h) {
        for (int64_t d = 0; d < side->head_size; ++d) {
          char* const to = const_cast<char*>(RowAt(*side, t, h, d));
          const char* const from = static_cast<const char*>(side->cache) + CacheAt(shape, *side, slot, h, d) * size;
          if (scaling.kind == MSSP_COPIED) {
            std::memcpy(to, from, static_cast<size_t>(size));
            continue;
          }
          const int64_t i = ScaleIndex(scaling, h, d, side->head_size);
          float x = DecodeCode(side->cache_type, static_cast<uint8_t>(*from));
          if (scaling.kind == MSSP_STATIC && scaling.offset != nullptr) x = x - FloatAt(scaling.offset, i);
          x = x * (scaling.kind == MSSP_STATIC ? FloatAt(scaling.scale, i)
                                               : FloatAt(ScalePlace(shape, scaling, slot, h), 0));
          const uint32_t code = oracle::Encode(side->rows_type, x);
          std::memcpy(to, &code, static_cast<size_t>(oracle::ItemSize(side->rows_type)));
        }
      }
    }
  }
  return {};
}

[[noreturn]] void Fail(const char* what, const MsspStatus& got, const MsspStatus& want) {
  std::fprintf(stderr, "%s: got %lld %lld %lld %lld, want %lld %lld %lld %lld\n", what,
               static_cast<long long>(got.code), static_cast<long long>(got.position),
               static_cast<long long>(got.value), static_cast<long long>(got.limit), static_cast<long long>(want.code),
               static_cast<long long>(want.position), static_cast<long long>(want.value),
               static_cast<long long>(want.limit));
  std::abort();
}

// Everything that one side points to, with room to keep what was there.
struct SideMemory {
  std::vector<char> rows, cache, scale, offset, scale_cache;
};

// Draws a side; `rows_type` of a quantised side is a float type.
void Draw(Input* in, const Shape& shape, int64_t tokens, bool gathers, bool quantised, MsspPagedSide* side,
          SideMemory* memory) {
  constexpr int32_t kCodes[] = {MSSP_INT8, MSSP_FLOAT8_E5M2, MSSP_FLOAT8_E4M3FN};
  side->cache_type = quantised || !gathers ? kCodes[in->Below(3)] : static_cast<int32_t>(in->Below(12));
  side->rows_type = quantised ? static_cast<int32_t>(in->Below(3)) : side->cache_type;
  const int64_t unit = 32 / oracle::ItemSize(side->cache_type);
  side->head_size = shape.layout == MSSP_PA_NZ ? (1 + in->Below(3)) * unit : 1 + in->Below(70);
  const int64_t gap = in->Below(3) * 5;
  const bool heads_first = in->Below(4) == 0;
  side->head_stride = heads_first ? (side->head_size + gap) * tokens : side->head_size + gap;
  side->token_stride = heads_first ? side->head_size + gap : side->head_stride * shape.heads;
  side->block_stride = shape.block_size * shape.heads * side->head_size + in->Below(3) * unit;
  memory->rows = Filled(in, tokens * shape.heads * (side->head_size + gap) * oracle::ItemSize(side->rows_type));
  if (quantised && !gathers && side->rows_type == MSSP_FLOAT32) {
    memory->rows = Floats(in, static_cast<int64_t>(memory->rows.size()) / 4, false);
  }
  memory->cache = Filled(in, shape.blocks * side->block_stride * oracle::ItemSize(side->cache_type));
  static char nothing[1];
  side->rows = memory->rows.empty() ? nothing : memory->rows.data();
  side->cache = memory->cache.empty() ? nothing : memory->cache.data();
  MsspScaling* scaling = &side->scaling;
  scaling->kind = quantised ? MSSP_STATIC + static_cast<int32_t>(in->Below(2)) : MSSP_COPIED;
  if (!quantised && !gathers && in->Below(2) != 0) scaling->kind = MSSP_GIVEN;
  scaling->granularity = static_cast<int32_t>(in->Below(3));
  if (scaling->kind == MSSP_STATIC || scaling->kind == MSSP_GIVEN) {
    const int64_t count = scaling->kind == MSSP_GIVEN
                              ? tokens * shape.heads
                              : ScaleIndex(*scaling, shape.heads - 1, side->head_size - 1, side->head_size) + 1;
    memory->scale = Floats(in, count, scaling->kind == MSSP_STATIC);
    scaling->scale = memory->scale.empty() ? nothing : memory->scale.data();
    if (scaling->kind == MSSP_STATIC && side->cache_type == MSSP_INT8 && in->Below(2) != 0) {
      memory->offset = Floats(in, count, false);
      scaling->offset = memory->offset.data();
    }
  }
  if (scaling->kind == MSSP_DYNAMIC || scaling->kind == MSSP_GIVEN) {
    scaling->scale_block_stride = shape.block_size * shape.heads + in->Below(3);
    memory->scale_cache = Floats(in, shape.blocks * scaling->scale_block_stride, false);
    scaling->scale_cache = memory->scale_cache.data();
  }
}

bool Same(const std::vector<char>& got, const std::vector<char>& want, int32_t type, bool computed) {
  if (got == want) return true;
  if (!computed) return false;
  const auto size = static_cast<size_t>(oracle::ItemSize(type));
  for (size_t i = 0; i < got.size(); i += size) {
    if (std::memcmp(&got[i], &want[i], size) == 0) continue;
    if (!oracle::IsFloat(type)) return false;
    for (const char* at : {&got[i], &want[i]}) {
      if (!std::isnan(oracle::Decode(type, oracle::ReadElement(at, type)))) return false;
    }
  }
  return true;
}

using Wide = __int128;

constexpr Wide kMost = Wide{1} << 48;  // as the core says

struct Field {
  size_t offset;
  size_t size;
};

#define PAGED_SIDE_FIELDS(call, side)                                                                    \
  {offsetof(call, side) + offsetof(MsspPagedSide, head_size), 8},                                        \
      {offsetof(call, side) + offsetof(MsspPagedSide, token_stride), 8},                                 \
      {offsetof(call, side) + offsetof(MsspPagedSide, head_stride), 8},                                  \
      {offsetof(call, side) + offsetof(MsspPagedSide, block_stride), 8},                                 \
      {offsetof(call, side) + offsetof(MsspPagedSide, rows_type), 4},                                    \
      {offsetof(call, side) + offsetof(MsspPagedSide, cache_type), 4},                                   \
      {offsetof(call, side) + offsetof(MsspPagedSide, scaling) + offsetof(MsspScaling, kind), 4},        \
      {offsetof(call, side) + offsetof(MsspPagedSide, scaling) + offsetof(MsspScaling, granularity), 4}, \
      {offsetof(call, side) + offsetof(MsspPagedSide, scaling) + offsetof(MsspScaling, scale_block_stride), 8}

#define PAGED_FIELDS(call)                                                                                \
  PAGED_SIDE_FIELDS(call, key), PAGED_SIDE_FIELDS(call, value), {offsetof(call, layout), 4},              \
      {offsetof(call, index_type), 4}, {offsetof(call, num_threads), 4}, {offsetof(call, num_tokens), 8}, \
      {offsetof(call, num_head), 8}, {offsetof(call, num_blocks), 8}, {offsetof(call, block_size), 8}

const std::vector<Field>& FieldsOf(const MsspGatherCall& /*call*/) {
  static const std::vector<Field> fields = {PAGED_FIELDS(MsspGatherCall),
                                            {offsetof(MsspGatherCall, is_seq_lens_cumsum), 4},
                                            {offsetof(MsspGatherCall, batch), 8},
                                            {offsetof(MsspGatherCall, table_width), 8}};
  return fields;
}

const std::vector<Field>& FieldsOf(const MsspQuantCall& /*call*/) {
  static const std::vector<Field> fields = {PAGED_FIELDS(MsspQuantCall)};
  return fields;
}

template <typename Call>
void Break(Input* in, Call* call) {
  const std::vector<Field>& fields = FieldsOf(*call);
  const Field& field = fields[static_cast<size_t>(in->Below(static_cast<int64_t>(fields.size())))];
  char* const at = reinterpret_cast<char*>(call) + field.offset;
  uint64_t value = 0;  // wraps around
  std::memcpy(&value, at, field.size);
  const int64_t kind = in->Below(6);
  if (kind == 0) value = static_cast<uint64_t>(in->Below(5));
  if (kind == 1) value += static_cast<uint64_t>(in->Below(5) - 2);
  if (kind == 2) value = 0 - value;
  if (kind == 3) value = uint64_t{1} << in->Below(64);
  if (kind == 4) value = 0 - (uint64_t{1} << in->Below(64));
  if (kind == 5) value = (uint64_t{1} << in->Below(63)) + static_cast<uint64_t>(in->Below(64) - 32);
  std::memcpy(at, &value, field.size);
}

// Whether a call is legal, and whether the memory that it was drawn with is as large as it says.
struct Judge {
  bool legal = true;
  bool has_memory = true;

  void Need(bool condition) { legal = legal && condition; }

  // Dimensions with their strides, in elements of `size` bytes.
  void Span(std::initializer_list<std::pair<int64_t, int64_t>> dimensions, int64_t size, size_t available) {
    Wide before = 0;
    Wide after = 0;
    for (const auto& [count, stride] : dimensions) {
      if (count == 0) return;
      const Wide way = Wide{count - 1} * stride;
      (way < 0 ? before : after) += way;
    }
    Need((after - before + 1) * size <= kMost);
    has_memory = has_memory && before == 0 && (after + 1) * size <= static_cast<Wide>(available);
  }

  void Dimensions(std::initializer_list<int64_t> sizes) {
    for (const int64_t size : sizes) Need(0 <= size && size <= kMost);
  }

  static Wide Product(std::initializer_list<int64_t> sizes) {
    Wide product = 1;
    for (const int64_t size : sizes) product = std::min(product * std::max<int64_t>(size, 1), kMost + 1);
    return product;
  }

  template <typename Call>
  void Shape(const Call& call) {
    Need(0 <= call.layout && call.layout <= 2);
    Need(call.index_type == 0 || call.index_type == 1);
    Dimensions({call.num_tokens, call.num_head, call.num_blocks, call.block_size});
    Need(Wide{call.num_blocks} * call.block_size <= kMost);
  }

  template <typename Call>
  void Side(const Call& call, const MsspPagedSide& side, const SideMemory& memory, bool gathers) {
    if (side.rows == nullptr || !legal) return;
    Need(0 <= side.rows_type && side.rows_type < 12 && 0 <= side.cache_type && side.cache_type < 12);
    Dimensions({side.head_size});
    if (!legal) return;
    Need(Product({4, side.head_size, call.num_head, call.num_tokens}) <= kMost);
    Need(Product({4, side.head_size, call.num_head, call.block_size, call.num_blocks}) <= kMost);
    if (!legal) return;
    const int64_t item = oracle::ItemSize(side.cache_type);
    const int64_t block = call.block_size * call.num_head * side.head_size;
    Need(call.layout != MSSP_PA_NZ || side.head_size * call.num_head * item % 32 == 0);
    const MsspScaling& scaling = side.scaling;
    Need(MSSP_COPIED <= scaling.kind && scaling.kind <= (gathers ? MSSP_DYNAMIC : MSSP_GIVEN));
    const bool is_code =
        side.cache_type == MSSP_INT8 || side.cache_type == MSSP_FLOAT8_E5M2 || side.cache_type == MSSP_FLOAT8_E4M3FN;
    const bool keeps = scaling.kind == MSSP_COPIED || scaling.kind == MSSP_GIVEN;
    Need(keeps ? side.rows_type == side.cache_type : side.rows_type <= 2);
    Need(scaling.kind == MSSP_COPIED || is_code);
    Need(scaling.kind != MSSP_STATIC || (0 <= scaling.granularity && scaling.granularity <= 2));
    Need(scaling.kind != MSSP_STATIC || scaling.offset == nullptr || side.cache_type == MSSP_INT8);
    Need((scaling.kind != MSSP_STATIC && scaling.kind != MSSP_GIVEN) || scaling.scale != nullptr);
    Need((scaling.kind != MSSP_DYNAMIC && scaling.kind != MSSP_GIVEN) || scaling.scale_cache != nullptr);
    Need(gathers || call.num_blocks <= 1 || side.block_stride >= block);
    if (!legal) return;
    const int64_t rows_item = oracle::ItemSize(side.rows_type);
    Span({{call.num_tokens, side.token_stride}, {call.num_head, side.head_stride}, {side.head_size, 1}}, rows_item,
         memory.rows.size());
    Span({{call.num_blocks, side.block_stride}, {block, 1}}, item, memory.cache.size());
    if (scaling.kind == MSSP_DYNAMIC || scaling.kind == MSSP_GIVEN) {
      Span({{call.num_blocks, scaling.scale_block_stride}, {call.block_size * call.num_head, 1}}, 4,
           memory.scale_cache.size());
    }
    if (scaling.kind == MSSP_STATIC || scaling.kind == MSSP_GIVEN) {
      const int64_t count = scaling.kind == MSSP_GIVEN ? call.num_tokens * call.num_head
                            : scaling.granularity == MSSP_PER_TENSOR
                                ? 1
                                : call.num_head * (scaling.granularity == MSSP_PER_HEAD ? 1 : side.head_size);
      Span({{count, 1}}, 4, memory.scale.size());
      if (scaling.kind == MSSP_STATIC && scaling.offset != nullptr) Span({{count, 1}}, 4, memory.offset.size());
    }
    // What is written several times is written in an order of its own.
    if (gathers) {
      const auto apart = [&](int64_t inner, int64_t inner_count, int64_t outer, int64_t outer_count) {
        return (inner_count <= 1 || inner >= side.head_size) &&
               (outer_count <= 1 || outer >= Wide{inner_count - 1} * inner + side.head_size);
      };
      has_memory = has_memory && (apart(side.head_stride, call.num_head, side.token_stride, call.num_tokens) ||
                                  apart(side.token_stride, call.num_tokens, side.head_stride, call.num_head));
    } else if (scaling.kind == MSSP_DYNAMIC || scaling.kind == MSSP_GIVEN) {
      Need(call.num_blocks <= 1 || scaling.scale_block_stride >= call.block_size * call.num_head);
    }
  }
};

bool SameMemory(const SideMemory (&a)[2], const SideMemory (&b)[2]) {
  bool same = true;
  for (int i = 0; i < 2; ++i) {
    same = same && a[i].rows == b[i].rows && a[i].cache == b[i].cache && a[i].scale_cache == b[i].scale_cache;
  }
  return same;
}

// Nothing has a byte: whatever the status is, nothing is written.
template <typename Call, typename Core>
bool IsEmpty(const Call& call, const SideMemory (&memory)[2], Core core) {
  const bool no_row = (call.key.rows == nullptr || call.key.head_size == 0) &&
                      (call.value.rows == nullptr || call.value.head_size == 0);
  if (call.block_size != 0 && call.num_head != 0 && !no_row) return false;
  const SideMemory before[2] = {memory[0], memory[1]};
  const MsspStatus status = core(&call);
  if (!SameMemory(memory, before)) Fail("wrote although nothing has a byte", status, {});
  return true;
}

template <typename Call, typename Core>
void ExpectRefused(const Call& call, const SideMemory (&memory)[2], Core core, const char* what) {
  const SideMemory before[2] = {memory[0], memory[1]};
  const MsspStatus status = core(&call);
  if (status.code != MSSP_BAD_SHAPES) Fail(what, status, {MSSP_BAD_SHAPES, -1, -1, -1});
  if (!SameMemory(memory, before)) Fail("wrote although refused", status, {});
}

struct Argument {
  const void** pointer;
  size_t bytes;
};

// Where a side is read and written; of rows and caches that are strided, one element.
void AddArguments(MsspPagedSide* side, const SideMemory& memory, std::vector<Argument>* all) {
  const auto add = [&](void* pointer, const std::vector<char>& bytes, int64_t most) {
    all->push_back({static_cast<const void**>(pointer), std::min(bytes.size(), static_cast<size_t>(most))});
  };
  if (side->rows == nullptr) return;
  add(&side->rows, memory.rows, oracle::ItemSize(side->rows_type));
  add(&side->cache, memory.cache, oracle::ItemSize(side->cache_type));
  add(&side->scaling.scale, memory.scale, INT64_MAX);
  add(&side->scaling.offset, memory.offset, INT64_MAX);
  add(&side->scaling.scale_cache, memory.scale_cache, 4);
}

// Puts an argument so near the end of the address space that it wraps around; false where it has too few bytes.
bool Wrap(Input* in, const std::vector<Argument>& arguments) {
  const Argument& one = arguments[static_cast<size_t>(in->Below(static_cast<int64_t>(arguments.size())))];
  if (one.bytes < 2 || *one.pointer == nullptr) return false;
  const auto left = static_cast<uintptr_t>(in->Below(static_cast<int64_t>(std::min<size_t>(one.bytes - 1, 200))));
  *one.pointer = reinterpret_cast<const void*>(UINTPTR_MAX - left);
  return true;
}

// Puts an argument of `bytes` bytes where the call writes `target`; false where it does not fit.
bool Move(Input* in, const std::vector<char>& target, size_t bytes, const void** argument) {
  if (bytes == 0 || bytes > target.size()) return false;
  *argument = target.data() + in->Below(static_cast<int64_t>(std::min<size_t>(target.size() - bytes, 200)) + 1);
  return true;
}

template <typename Call, typename Core, typename Oracle, typename Format>
void Compare(const Call& call, SideMemory (&memory)[2], Core core, Oracle second, Format format) {
  const SideMemory before[2] = {memory[0], memory[1]};
  const MsspStatus status = core(&call);
  const SideMemory got[2] = {memory[0], memory[1]};
  for (int i = 0; i < 2; ++i) {  // in place: the call points there
    memory[i].rows.assign(before[i].rows.begin(), before[i].rows.end());
    memory[i].cache.assign(before[i].cache.begin(), before[i].cache.end());
    memory[i].scale_cache.assign(before[i].scale_cache.begin(), before[i].scale_cache.end());
  }
  const MsspStatus want = second(call);
  if (std::memcmp(&status, &want, sizeof(status)) != 0) Fail("status", status, want);
  for (int i = 0; i < 2; ++i) {
    const MsspPagedSide& side = i == 0 ? call.key : call.value;
    const bool computed = side.scaling.kind != MSSP_COPIED && side.scaling.kind != MSSP_GIVEN;
    if (!Same(got[i].rows, memory[i].rows, side.rows_type, computed)) Fail("rows", status, want);
    if (!Same(got[i].cache, memory[i].cache, side.cache_type, computed)) Fail("cache", status, want);
    if (!Same(got[i].scale_cache, memory[i].scale_cache, MSSP_FLOAT32, computed)) Fail("scales", status, want);
  }
  char sentence[512];
  const int64_t length = format(&call, &status, sentence, static_cast<int64_t>(sizeof(sentence)));
  if ((length == 0) != (status.code == 0) || length >= static_cast<int64_t>(sizeof(sentence))) {
    Fail("sentence", status, want);
  }
}

void FuzzQuant(Input* in, const Shape& shape) {
  MsspQuantCall call = {};
  call.layout = shape.layout;
  call.index_type = static_cast<int32_t>(in->Below(2));
  call.check_duplicates = 1;  // what duplicates write is undefined
  call.num_threads = 1 + static_cast<int32_t>(in->Below(3));
  call.num_tokens = in->Below(40);
  call.num_head = shape.heads;
  call.num_blocks = shape.blocks;
  call.block_size = shape.block_size;
  const int64_t capacity = shape.blocks * shape.block_size;
  const int64_t first = in->Below(capacity), step = 1 + 2 * in->Below(4);
  std::vector<int64_t> slots;
  for (int64_t t = 0; t < call.num_tokens; ++t) {
    slots.push_back(in->Rarely() ? Extreme(in) : t >= capacity || in->Rarely() ? -1 : (first + t * step) % capacity);
  }
  const std::vector<char> slot_bytes = fuzz::Narrow(slots, call.index_type);
  call.slot_mapping = slot_bytes.data();
  SideMemory memory[2];
  const int64_t sides = 1 + in->Below(2);
  for (int i = 0; i < sides; ++i) {
    Draw(in, shape, call.num_tokens, false, in->Below(3) != 0, i == 0 ? &call.key : &call.value, &memory[i]);
  }
  const int64_t kind = in->Below(6);
  if (kind == 5) {
    std::vector<Argument> arguments = {{&call.slot_mapping, slot_bytes.size()}};
    AddArguments(&call.key, memory[0], &arguments);
    AddArguments(&call.value, memory[1], &arguments);
    if (!Wrap(in, arguments)) return;
    return ExpectRefused(call, memory, MsspQuantScatterPaKvCache, "took an argument that wraps around");
  }
  if (kind == 4 && Move(in, memory[in->Below(sides)].cache, slot_bytes.size(), &call.slot_mapping)) {
    // Between blocks that lie apart lies what nobody writes.
    const auto has_gaps = [&](const MsspPagedSide& side) {
      return side.block_stride != call.block_size * call.num_head * side.head_size;
    };
    if (has_gaps(call.key) || (sides == 2 && has_gaps(call.value))) return;
    return ExpectRefused(call, memory, MsspQuantScatterPaKvCache, "took slots that lie in a cache");
  }
  for (int64_t broken = kind < 3 ? kind : 0; broken > 0; --broken) Break(in, &call);
  Judge judge;
  judge.Shape(call);
  judge.Need(Wide{call.num_tokens} * 8 <= kMost);
  judge.Side(call, call.key, memory[0], false);
  judge.Side(call, call.value, memory[1], false);
  if (!judge.legal) return ExpectRefused(call, memory, MsspQuantScatterPaKvCache, "accepted what is illegal");
  judge.Span({{call.num_tokens, 1}}, call.index_type == MSSP_INDEX_INT64 ? 8 : 4, slot_bytes.size());
  if (!judge.has_memory || IsEmpty(call, memory, MsspQuantScatterPaKvCache)) return;  // the caller's word
  Compare(call, memory, MsspQuantScatterPaKvCache, Quant, MsspFormatQuantStatus);
}

void FuzzGather(Input* in, const Shape& shape) {
  MsspGatherCall call = {};
  call.layout = shape.layout;
  call.index_type = static_cast<int32_t>(in->Below(2));
  call.num_threads = 1 + static_cast<int32_t>(in->Below(3));
  call.batch = in->Below(4);
  call.table_width = in->Below(5);
  call.num_head = shape.heads;
  call.num_blocks = shape.blocks;
  call.block_size = shape.block_size;
  call.is_seq_lens_cumsum = static_cast<int32_t>(in->Below(2));
  std::vector<int64_t> entries, offsets, tables;
  if (call.is_seq_lens_cumsum != 0) entries.push_back(in->Rarely() ? Extreme(in) : 0);
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t skipped = in->Below(2) == 0 ? 0 : in->Below(call.table_width + 1);
    const int64_t length = in->Below((call.table_width - skipped) * shape.block_size + 1);
    call.num_tokens += length;
    offsets.push_back(in->Rarely() ? Extreme(in) : skipped * shape.block_size);
    const int64_t good = call.is_seq_lens_cumsum != 0 ? call.num_tokens : length;
    entries.push_back(in->Rarely() ? (in->Below(2) ? Extreme(in) : good + in->Below(3) - 1) : good);
  }
  call.num_tokens += in->Rarely() && call.num_tokens > 0 ? 1 : 0;
  for (int64_t i = 0; i < call.batch * call.table_width; ++i) {
    tables.push_back(in->Rarely() && in->Rarely() ? Extreme(in) : in->Below(shape.blocks));
  }
  const std::vector<char> entry_bytes = fuzz::Narrow(entries, call.index_type);
  const std::vector<char> offset_bytes = fuzz::Narrow(offsets, call.index_type);
  const std::vector<char> table_bytes = fuzz::Narrow(tables, call.index_type);
  static char nothing[1];
  call.block_tables = table_bytes.empty() ? nothing : table_bytes.data();
  call.seq_lens = entry_bytes.empty() ? nothing : entry_bytes.data();
  if (in->Below(4) != 0) call.seq_offset = offset_bytes.empty() ? nothing : offset_bytes.data();
  SideMemory memory[2];
  const int64_t sides = 1 + in->Below(2);
  for (int i = 0; i < sides; ++i) {
    Draw(in, shape, call.num_tokens, true, in->Below(2) != 0, i == 0 ? &call.key : &call.value, &memory[i]);
  }
  const int64_t kind = in->Below(6);
  if (kind == 5) {
    std::vector<Argument> arguments = {{&call.block_tables, table_bytes.size()},
                                       {&call.seq_lens, entry_bytes.size()},
                                       {&call.seq_offset, offset_bytes.size()}};
    AddArguments(&call.key, memory[0], &arguments);
    AddArguments(&call.value, memory[1], &arguments);
    if (!Wrap(in, arguments)) return;
    return ExpectRefused(call, memory, MsspGatherPaKvCache, "took an argument that wraps around");
  }
  if (kind == 4) {
    const std::pair<const void**, size_t> indices[] = {{&call.block_tables, table_bytes.size()},
                                                       {&call.seq_lens, entry_bytes.size()},
                                                       {&call.seq_offset, offset_bytes.size()}};
    const auto& [index, bytes] = indices[in->Below(3)];
    if (*index != nullptr && Move(in, memory[in->Below(sides)].rows, bytes, index)) {
      // Between strided rows lies what nobody writes.
      const bool has_gaps = (call.key.token_stride != call.key.head_size * call.num_head) ||
                            (sides == 2 && call.value.token_stride != call.value.head_size * call.num_head);
      if (has_gaps) return;
      return ExpectRefused(call, memory, MsspGatherPaKvCache, "took indices that lie in the rows");
    }
  }
  for (int64_t broken = kind < 3 ? kind : 0; broken > 0; --broken) Break(in, &call);
  Judge judge;
  judge.Shape(call);
  judge.Dimensions({call.batch, call.table_width});
  judge.Need(Wide{call.batch} * call.table_width * 8 <= kMost);
  judge.Side(call, call.key, memory[0], true);
  judge.Side(call, call.value, memory[1], true);
  if (!judge.legal) return ExpectRefused(call, memory, MsspGatherPaKvCache, "accepted what is illegal");
  const int64_t index_size = call.index_type == MSSP_INDEX_INT64 ? 8 : 4;
  judge.Span({{call.batch * call.table_width, 1}}, index_size, table_bytes.size());
  judge.Span({{call.batch + (call.is_seq_lens_cumsum != 0 ? 1 : 0), 1}}, index_size, entry_bytes.size());
  if (call.seq_offset != nullptr) judge.Span({{call.batch, 1}}, index_size, offset_bytes.size());
  if (!judge.has_memory || IsEmpty(call, memory, MsspGatherPaKvCache)) return;  // the caller's word
  Compare(call, memory, MsspGatherPaKvCache, GatherRows, MsspFormatGatherStatus);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  constexpr const char* kPaths[] = {"portable", "avx2", "avx512", "neon", ""};
  MsspSetCpuFeatures("");
  MsspSetCpuFeatures(kPaths[in.Below(5)]);
  MsspSetThresholds(in.Below(2) ? 0 : INT64_MAX, 1);
  const Shape shape = {static_cast<int32_t>(in.Below(3)), 1 + in.Below(4), 1 + in.Below(6), 1 + in.Below(20)};
  if (in.Below(2)) {
    FuzzQuant(&in, shape);
  } else {
    FuzzGather(&in, shape);
  }
  return 0;
}
