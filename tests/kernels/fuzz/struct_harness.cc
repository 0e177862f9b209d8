// Bytes -> a whole MsspCall with any subset of its fields broken -> the core refuses what the judge below calls
// illegal, leaving every byte, and does what the oracle does with the rest. Memory is exactly as large as a legal call
// says.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <vector>

#include "drawing.h"
#include "message.h"
#include "oracle.h"
#include "plain_entry.h"

using namespace fuzz;  // NOLINT: one program

namespace {

using Wide = __int128;

constexpr Wide kMost = Wide{1} << 48;     // as the core says
constexpr int64_t kAffordable = 1 << 18;  // bytes of one argument that a test call may have

struct Field {
  size_t offset;
  size_t size;
};

#define SIDE_FIELDS(side)                                               \
  {offsetof(MsspCall, side) + offsetof(MsspSide, head_size), 8},        \
      {offsetof(MsspCall, side) + offsetof(MsspSide, batch_stride), 8}, \
      {offsetof(MsspCall, side) + offsetof(MsspSide, token_stride), 8}, \
      {offsetof(MsspCall, side) + offsetof(MsspSide, head_stride), 8},  \
      {offsetof(MsspCall, side) + offsetof(MsspSide, block_stride), 8}, \
      {offsetof(MsspCall, side) + offsetof(MsspSide, element_type), 4}, \
      {offsetof(MsspCall, side) + offsetof(MsspSide, reserved), 4}

constexpr Field kFields[] = {SIDE_FIELDS(key),
                             SIDE_FIELDS(value),
                             {offsetof(MsspCall, layout), 4},
                             {offsetof(MsspCall, scatter_mode), 4},
                             {offsetof(MsspCall, packed), 4},
                             {offsetof(MsspCall, index_type), 4},
                             {offsetof(MsspCall, check_duplicates), 4},
                             {offsetof(MsspCall, num_threads), 4},
                             {offsetof(MsspCall, num_tokens), 8},
                             {offsetof(MsspCall, batch), 8},
                             {offsetof(MsspCall, seq_len), 8},
                             {offsetof(MsspCall, num_head), 8},
                             {offsetof(MsspCall, num_blocks), 8},
                             {offsetof(MsspCall, block_size), 8}};

void Break(Bytes* in, MsspCall* call) {
  const Field& field = kFields[in->Below(std::size(kFields))];
  char* const at = reinterpret_cast<char*>(call) + field.offset;
  uint64_t value = 0;  // wraps around
  std::memcpy(&value, at, field.size);
  const int64_t kind = in->Below(8);
  if (kind == 0) value = static_cast<uint64_t>(in->Below(4));
  if (kind == 1) value += static_cast<uint64_t>(in->Below(5) - 2);
  if (kind == 2) value = 0 - value;
  if (kind == 3) value = uint64_t{1} << in->Below(64);
  if (kind == 4) value = 0 - (uint64_t{1} << in->Below(64));
  if (kind == 5) value = (uint64_t{1} << 63) + static_cast<uint64_t>(in->Below(80) - 40);
  if (kind == 6) value = (uint64_t{1} << in->Below(62)) + static_cast<uint64_t>(in->Below(64) - 32);
  if (kind == 7) value = in->Next() * uint64_t{0x0101010101010101};
  std::memcpy(at, &value, field.size);
}

// Elements from the first, which may have some before it, to the last; -1 when that is beyond all bounds.
struct Extent {
  Wide before = 0;
  Wide after = 0;
  Wide logical = 1;
};

Extent ExtentOf(std::initializer_list<std::pair<int64_t, int64_t>> dimensions) {
  Extent extent;
  for (const auto& [size, stride] : dimensions) {
    extent.logical *= std::min<Wide>(std::max<int64_t>(size, 1), kMost + 1);
    extent.logical = std::min(extent.logical, kMost + 1);
    const Wide way = Wide{size - 1} * stride;
    (way < 0 ? extent.before : extent.after) += way;
  }
  for (const auto& [size, stride] : dimensions) {
    if (size == 0) extent.before = 0, extent.after = -1;
  }
  return extent;
}

// `count` blocks of `bytes` bytes, `stride` bytes apart.
struct Place {
  const char* begin;
  Wide bytes;
  Wide stride;
  Wide count;
};

// Rows as pieces at one distance that is more than a piece; a count of 1: they are none.
Place PiecesOf(std::initializer_list<std::pair<int64_t, int64_t>> dimensions, int64_t itemsize) {
  Wide piece = 1, count = 1, stride = 0;
  for (auto at = std::rbegin(dimensions); at != std::rend(dimensions); ++at) {
    const auto& [size, step] = *at;
    if (size == 0) return {nullptr, 0, 1, 1};
    if (size == 1) continue;
    if (count == 1 && step == piece) {
      piece *= size;
    } else if (count == 1 || step == stride * count) {
      if (count == 1) stride = step;
      count *= size;
    } else {
      return {nullptr, 0, 1, 1};
    }
  }
  if (stride <= piece) return {nullptr, 0, 1, 1};
  return {nullptr, piece * itemsize, stride * itemsize, count};
}

struct Judge {
  const MsspCall& call;
  bool legal = true;
  bool affordable = true;
  bool compressed = false;
  Extent rows[2];
  Place row_pieces[2] = {{nullptr, 0, 1, 1}, {nullptr, 0, 1, 1}};
  Wide cache_bytes[2] = {0, 0};  // from the first to the last
  Wide block_bytes[2] = {0, 0};
  Wide block_stride[2] = {0, 0};   // bytes; that of contiguous blocks too
  Wide indices[4] = {0, 0, 0, 0};  // slot_mapping, compress_lens, compress_seq_offsets, seq_lens

  void Need(bool condition) { legal = legal && condition; }

  explicit Judge(const MsspCall& given) : call(given) {
    Need(0 <= call.layout && call.layout <= 2);
    Need(0 <= call.scatter_mode && call.scatter_mode <= 3);
    Need(call.index_type == 0 || call.index_type == 1);
    compressed = call.scatter_mode != 0;
    const bool has_batch = compressed && call.packed == 0;
    Need(!compressed || call.layout == 0);
    const auto dimension = [&](int64_t size, int64_t least) { Need(least <= size && size <= kMost); };
    dimension(call.num_head, 1);
    dimension(call.num_blocks, 0);
    dimension(call.block_size, 1);
    if (!has_batch) dimension(call.num_tokens, 0);
    if (has_batch) dimension(call.seq_len, 0);
    if (compressed) dimension(call.batch, 0);
    if (!legal) return;
    Need(Wide{call.num_blocks} * call.block_size <= kMost);
    Need(!has_batch || Wide{call.batch} * call.seq_len <= kMost);
    indices[0] = compressed ? Wide{call.batch} * call.num_head : call.num_tokens;
    if (compressed) {
      indices[1] = indices[0];
      indices[2] = call.scatter_mode == 1 ? 0 : indices[0];
      indices[3] = call.batch;
    }
    for (const Wide count : indices) {
      Need(count * (call.index_type == 1 ? 8 : 4) <= kMost);
      affordable = affordable && count <= kAffordable;
    }
    for (int i = 0; i < 2 && legal; ++i) {
      const MsspSide& side = i == 0 ? call.key : call.value;
      if (side.rows == nullptr) continue;
      Need(0 <= side.element_type && side.element_type < 12);
      dimension(side.head_size, 1);
      if (!legal) return;
      const int64_t itemsize = oracle::ItemSize(side.element_type);
      const Wide row = Wide{side.head_size} * itemsize;
      const Wide wide_row = std::min(row, kMost + 1) * (compressed ? 1 : call.num_head);
      Need(wide_row <= kMost);
      if (!legal) return;
      Need(call.layout != 1 || wide_row % 32 == 0);
      const Wide block = wide_row * call.block_size;
      Need(block <= kMost && std::min(block, kMost + 1) * std::max<int64_t>(call.num_blocks, 1) <= kMost);
      if (!legal) return;
      Need(side.block_stride == 0 || call.num_blocks <= 1 || Wide{side.block_stride} * itemsize >= block);
      if (!legal) return;
      block_bytes[i] = block;
      block_stride[i] = side.block_stride != 0 && call.num_blocks > 1 ? Wide{side.block_stride} * itemsize : block;
      cache_bytes[i] = call.num_blocks == 0 ? 0 : (call.num_blocks - 1) * block_stride[i] + block;
      Need(cache_bytes[i] <= kMost);
      rows[i] = ExtentOf({{has_batch ? call.batch : 1, side.batch_stride},
                          {has_batch ? call.seq_len : call.num_tokens, side.token_stride},
                          {call.num_head, side.head_stride},
                          {side.head_size, 1}});
      row_pieces[i] = PiecesOf({{has_batch ? call.batch : 1, side.batch_stride},
                                {has_batch ? call.seq_len : call.num_tokens, side.token_stride},
                                {call.num_head, side.head_stride},
                                {side.head_size, 1}},
                               itemsize);
      Need(rows[i].logical * itemsize <= kMost);
      Need((rows[i].after - rows[i].before + 1) * itemsize <= kMost);
      affordable =
          affordable && cache_bytes[i] <= kAffordable && (rows[i].after - rows[i].before + 1) * itemsize <= kAffordable;
    }
  }
};

MsspCall DrawLegal(Bytes* in) {
  MsspCall call = {};
  const int64_t scenario = in->Below(6);
  call.layout = static_cast<int32_t>(scenario < 3 ? scenario : 0);
  call.scatter_mode = static_cast<int32_t>(scenario < 3 ? 0 : scenario - 2);
  call.packed = static_cast<int32_t>(in->Below(2));
  call.index_type = static_cast<int32_t>(in->Below(2));
  call.check_duplicates = 1;
  call.num_threads = static_cast<int32_t>(in->Below(3));
  call.num_tokens = in->Below(12);
  call.batch = in->Below(4);
  call.seq_len = in->Below(10);
  call.num_head = 1 + in->Below(4);
  call.num_blocks = in->Below(5);
  call.block_size = 1 + in->Below(6);
  for (MsspSide* side : {&call.key, &call.value}) {
    side->element_type = static_cast<int32_t>(in->Below(12));
    side->head_size = call.layout == 1 ? 32 / oracle::ItemSize(side->element_type) : 1 + in->Below(20);
    side->head_stride = side->head_size + in->Below(3);
    side->token_stride = side->head_stride * call.num_head;
    side->batch_stride = side->token_stride * call.seq_len;
    const int64_t heads = call.scatter_mode != 0 ? 1 : call.num_head;
    if (in->Below(2) != 0) side->block_stride = call.block_size * heads * side->head_size * (1 + in->Below(3));
  }
  return call;
}

bool Touch(const Place& a, const Place& b) {
  if (a.begin == nullptr || b.begin == nullptr || a.bytes * a.count <= 0 || b.bytes * b.count <= 0) return false;
  const auto first = static_cast<Wide>(reinterpret_cast<uintptr_t>(a.begin));
  const auto second = static_cast<Wide>(reinterpret_cast<uintptr_t>(b.begin));
  for (Wide i = 0; i < a.count; ++i) {
    const Wide a_at = first + i * a.stride;
    const Wide near = (a_at - second) / b.stride;  // the others are too far away
    for (Wide j = std::max<Wide>(near - 2, 0); j < b.count && j <= near + 2 + a.bytes / b.stride; ++j) {
      const Wide b_at = second + j * b.stride;
      if (a_at < b_at + b.bytes && b_at < a_at + a.bytes) return true;
    }
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  constexpr const char* kPaths[] = {"portable", "avx2", "avx512", "neon", ""};
  MsspSetCpuFeatures("");
  MsspSetCpuFeatures(kPaths[in.Below(5)]);
  MsspSetThresholds(in.Below(2) != 0 ? 0 : INT64_MAX, 1);
  uint64_t seed = in.Next();
  MsspSetPartialStores(static_cast<int32_t>(seed & 1));
  MsspCall call = DrawLegal(&in);
  static char present;
  const int64_t sides = in.Below(5);  // 0: neither
  call.key.rows = sides == 0 || sides == 4 ? nullptr : &present;
  call.value.rows = sides == 1 || sides == 0 ? nullptr : &present;
  for (int64_t broken = in.Below(4); broken > 0; --broken) Break(&in, &call);

  const Judge judge(call);
  if (judge.legal && !judge.affordable) return 0;  // no memory is that large: the caller's word
  const bool has_memory = judge.legal;

  // Everything in one stretch of memory of its own size: rows and caches of both sides, then indices.
  struct Argument {
    std::unique_ptr<char[]> memory;
    char* begin = nullptr;
    Wide bytes = 0;
    char* first = nullptr;  // what the call points to
  };
  Argument arguments[8];
  const auto give = [&](int i, Wide bytes, Wide before) {
    arguments[i].bytes = bytes;
    arguments[i].memory.reset(new char[static_cast<size_t>(bytes)]);
    arguments[i].begin = arguments[i].memory.get();
    arguments[i].first = arguments[i].begin + static_cast<int64_t>(before);
    for (int64_t k = 0; k < bytes; ++k) arguments[i].begin[k] = static_cast<char>(Mix(&seed) >> 40);
  };
  MsspSide* const both[] = {&call.key, &call.value};
  for (int i = 0; i < 2; ++i) {
    if (both[i]->rows == nullptr) continue;
    const int64_t itemsize = has_memory ? oracle::ItemSize(both[i]->element_type) : 1;
    const Extent& extent = judge.rows[i];
    give(i, has_memory ? std::max<Wide>(extent.after - extent.before + 1, 0) * itemsize : 64,
         has_memory ? -extent.before * itemsize : 0);
    give(2 + i, has_memory ? judge.cache_bytes[i] : 64, 0);
  }
  const int64_t index_size = call.index_type == 1 ? 8 : 4;
  const int64_t capacity = has_memory ? call.num_blocks * call.block_size : 1;
  const bool none_written = in.Below(4) == 0;
  bool all_skipped = true;
  for (int i = 0; i < 4; ++i) {
    const int64_t count = has_memory ? static_cast<int64_t>(judge.indices[i]) : 4;
    if (i > 0 && count == 0) continue;
    give(4 + i, count * index_size, 0);
    for (int64_t k = 0; k < count; ++k) {
      int64_t value = i == 0 ? in.Around(-1, std::max<int64_t>(capacity, 1)) : in.Around(-1, 10);
      if (i == 0 && none_written) value = -1 - in.Below(3);
      if (i == 0 && !none_written && in.Below(2) != 0 && capacity > 0) value = k * 7 % capacity;
      if (i == 0 && (index_size == 8 ? value : static_cast<int32_t>(value)) >= 0) all_skipped = false;
      std::memcpy(arguments[4 + i].begin + k * index_size, &value, static_cast<size_t>(index_size));
    }
  }
  // Rows that are one and the same memory may be many; only skipped ones are then worth the oracle's time.
  if (has_memory && !all_skipped && (judge.rows[0].logical > kAffordable || judge.rows[1].logical > kAffordable)) {
    return 0;
  }

  // Now and then two arguments share memory, and now and then a pointer is missing.
  bool overlaps = false;
  bool refused = !judge.legal;
  if (has_memory && in.Below(3) == 0) {
    const int64_t cache = 2 + in.Below(2);
    const int64_t other = in.Below(8);
    Argument& moved = arguments[other];
    const Argument& target = arguments[cache];
    const Wide room = moved.bytes + target.bytes;
    if (other != cache && moved.bytes > 0 && target.bytes > 0 && room <= kAffordable) {
      // One memory for both: the other one begins `shift` bytes into it, so that they touch, share or lie side by side.
      int64_t shift = in.Below(static_cast<int64_t>(target.bytes) + 1);
      if (in.Below(3) == 0) shift = std::min(shift, static_cast<int64_t>(judge.block_bytes[cache - 2]));
      const auto before = static_cast<int64_t>(moved.first - moved.begin);
      std::unique_ptr<char[]> shared(new char[static_cast<size_t>(room)]);
      std::memcpy(shared.get(), target.begin, static_cast<size_t>(target.bytes));
      std::memcpy(shared.get() + shift, moved.begin, static_cast<size_t>(moved.bytes));
      arguments[cache].memory = std::move(shared);
      arguments[cache].begin = arguments[cache].first = arguments[cache].memory.get();
      moved.memory.reset();
      moved.begin = arguments[cache].begin + shift;
      moved.first = moved.begin + before;
    }
  }
  const int64_t missing = in.Below(40);
  if (missing < 8 && arguments[missing].first != nullptr && missing >= 2) arguments[missing].first = nullptr;
  // Or it is so near the end of the address space that its bytes wrap around.
  const int64_t wrapped = in.Below(40);
  if (has_memory && wrapped < 8 && arguments[wrapped].first != nullptr) {
    const Wide after =
        arguments[wrapped].bytes - static_cast<Wide>(arguments[wrapped].first - arguments[wrapped].begin);
    const bool is_used = wrapped < 4 || judge.indices[wrapped - 4] > 0;
    if (is_used && after >= 2) {
      arguments[wrapped].first = reinterpret_cast<char*>(UINTPTR_MAX - static_cast<uintptr_t>(after - 2));
      refused = true;
    }
  }

  call.key.rows = arguments[0].first;
  call.value.rows = arguments[1].first;
  call.key.cache = arguments[2].first;
  call.value.cache = arguments[3].first;
  call.slot_mapping = arguments[4].first;
  call.compress_lens = arguments[5].first;
  call.compress_seq_offsets = arguments[6].first;
  call.seq_lens = arguments[7].first;
  if (has_memory) {
    const bool empty = judge.compressed ? call.batch == 0 : call.num_tokens == 0;
    for (int i = 0; i < 2; ++i) {
      if (both[i]->rows != nullptr && both[i]->cache == nullptr && capacity > 0 && !empty) refused = true;
    }
    for (int i = 0; i < 4; ++i) {
      if (judge.indices[i] > 0 && arguments[4 + i].first == nullptr) refused = true;
    }
    const auto place = [&](int i) -> Place {
      if (i < 2 && judge.row_pieces[i].count > 1) {
        const Place& pieces = judge.row_pieces[i];
        return {arguments[i].first, pieces.bytes, pieces.stride, pieces.count};
      }
      if (i != 2 && i != 3) return {arguments[i].begin, arguments[i].bytes, arguments[i].bytes, 1};
      const Wide block = judge.block_bytes[i - 2], stride = judge.block_stride[i - 2];
      if (stride == block) return {arguments[i].begin, arguments[i].bytes, stride, 1};
      return {arguments[i].begin, block, stride, call.num_blocks};
    };
    for (int cache = 2; cache < 4; ++cache) {
      if (both[cache - 2]->rows == nullptr || arguments[cache].first == nullptr) continue;
      for (int other = 0; other < 8; ++other) {
        if (other == cache || arguments[other].first == nullptr) continue;
        if (other == 3 && call.value.rows == nullptr) continue;
        if (other == 2 && call.key.rows == nullptr) continue;
        if (other >= 4 && judge.indices[other - 4] == 0) continue;
        overlaps = overlaps || Touch(place(cache), place(other));
      }
    }
  }

  std::vector<std::vector<char>> before(8), got(8);
  const auto all = [&](std::vector<std::vector<char>>* to) {
    for (size_t i = 0; i < 8; ++i) {
      if (arguments[i].begin != nullptr) {
        (*to)[i].assign(arguments[i].begin, arguments[i].begin + static_cast<int64_t>(arguments[i].bytes));
      }
    }
  };
  if (call.check_duplicates == 0) call.check_duplicates = 7;  // what duplicates write is undefined
  all(&before);
  const MsspStatus status = MsspScatterPaKvCache(&call);
  all(&got);
  const MsspStatus shapes = {MSSP_BAD_SHAPES, -1, -1, -1};
  if (refused || overlaps) {
    if (status.code != MSSP_BAD_SHAPES) Fail("accepted what is illegal", status, shapes);
    if (!refused && status.limit != -1) Fail("names no overlap", status, shapes);
    if (got != before) Fail("wrote although refused", status, shapes);
  } else {
    for (int i : {2, 3}) {
      if (!before[static_cast<size_t>(i)].empty()) {
        std::memcpy(arguments[i].begin, before[static_cast<size_t>(i)].data(), before[static_cast<size_t>(i)].size());
      }
    }
    const MsspStatus expected = oracle::Scatter(call);
    if (std::memcmp(&status, &expected, sizeof(status)) != 0) Fail("status", status, expected);
    std::vector<std::vector<char>> want(8);
    all(&want);
    for (size_t i = 0; i < 8; ++i) {
      const bool is_cache = i == 2 || i == 3;
      if (is_cache && both[i - 2]->rows != nullptr ? !SameCache(call, *both[i - 2], got[i], want[i], 0)
                                                   : got[i] != want[i]) {
        Fail("bytes", status, expected);
      }
    }
  }
  char sentence[512];
  const int64_t length = MsspFormatStatus(&call, &status, sentence, sizeof(sentence));
  if ((length == 0) != (status.code == 0) || length >= static_cast<int64_t>(sizeof(sentence))) {
    Fail("sentence", status, shapes);
  }
  return 0;
}
