// Bytes -> copies of blocks -> the core refuses what the judge below calls illegal, leaving every byte, and does what
// one copy after another would do with the rest. All memory is exactly as large as the copies say; lists may lie in it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

#include "drawing.h"
#include "plain_entry.h"

using namespace fuzz;  // NOLINT: one program

namespace {

using Wide = __int128;

constexpr Wide kMost = Wide{1} << 48;  // as the core says
constexpr int64_t kMostCopies = 3;

// What a copy points to; source and target may be one memory.
struct Place {
  std::vector<char> source, target;
  std::vector<int64_t> source_blocks, target_blocks;
};

constexpr size_t kFields[] = {
    offsetof(MsspBlockCopy, source),
    offsetof(MsspBlockCopy, target),
    offsetof(MsspBlockCopy, count),
    offsetof(MsspBlockCopy, source_num_blocks),
    offsetof(MsspBlockCopy, target_num_blocks),
    offsetof(MsspBlockCopy, source_stride),
    offsetof(MsspBlockCopy, target_stride),
    offsetof(MsspBlockCopy, block_bytes),
};

void Break(Bytes* in, MsspBlockCopy* copy) {
  char* const at = reinterpret_cast<char*>(copy) + kFields[in->Below(std::size(kFields))];
  uint64_t value = 0;  // wraps around
  std::memcpy(&value, at, sizeof(value));
  const int64_t kind = in->Below(6);
  if (kind == 0) value = static_cast<uint64_t>(in->Below(5));
  if (kind == 1) value += static_cast<uint64_t>(in->Below(5) - 2);
  if (kind == 2) value = 0 - value;
  if (kind == 3) value = uint64_t{1} << in->Below(64);
  if (kind == 4) value = 0 - (uint64_t{1} << in->Below(64)) + static_cast<uint64_t>(in->Below(9) - 4);
  if (kind == 5) value = (uint64_t{1} << in->Below(63)) + static_cast<uint64_t>(in->Below(64) - 32);
  std::memcpy(at, &value, sizeof(value));
}

MsspBlockCopy Draw(Bytes* in, uint64_t* seed, Place* place) {
  MsspBlockCopy copy = {};
  copy.block_bytes = in->Below(4) == 0 ? in->Below(3) * 5000 : 1 + in->Below(24);
  copy.source_stride = copy.block_bytes + in->Below(3) * 8;
  copy.target_stride = copy.block_bytes + in->Below(3) * 8;
  copy.source_num_blocks = in->Below(7);
  copy.target_num_blocks = in->Below(7);
  const bool same = in->Below(2) == 0;
  if (same) {
    copy.target_stride = copy.source_stride;
    copy.target_num_blocks = copy.source_num_blocks;
  }
  const auto fill = [seed](std::vector<char>* memory, int64_t blocks, int64_t stride) {
    memory->resize(static_cast<size_t>(blocks * stride));
    memory->shrink_to_fit();
    for (char& byte : *memory) byte = static_cast<char>(Mix(seed) >> 40);
  };
  fill(&place->source, copy.source_num_blocks, copy.source_stride);
  if (!same) fill(&place->target, copy.target_num_blocks, copy.target_stride);
  copy.source = place->source.data();
  copy.target = same ? place->source.data() : place->target.data();
  copy.count = in->Below(9);
  const auto list = [&](std::vector<int64_t>* blocks, int64_t bound) -> const int64_t* {
    if (in->Below(3) == 0) return nullptr;
    for (int64_t i = 0; i < copy.count; ++i) {
      blocks->push_back(in->Below(16) == 1 ? in->Around(-1, bound) : in->Below(std::max<int64_t>(bound, 1)));
    }
    blocks->shrink_to_fit();
    static const int64_t nothing[1] = {0};
    if (blocks->empty()) return nothing;
    // Now and then it lies in what is written.
    std::vector<char>& written = same ? place->source : place->target;
    const size_t bytes = blocks->size() * sizeof(int64_t);
    const size_t at = static_cast<size_t>(in->Below(8)) * sizeof(int64_t);
    if (in->Below(3) != 0 || at + bytes > written.size()) return blocks->data();
    std::memcpy(written.data() + at, blocks->data(), bytes);
    return reinterpret_cast<const int64_t*>(written.data() + at);
  };
  copy.source_blocks = list(&place->source_blocks, copy.source_num_blocks);
  copy.target_blocks = list(&place->target_blocks, copy.target_num_blocks);
  return copy;
}

bool Fits(const void* data, int64_t blocks, int64_t stride, int64_t bytes) {
  if (blocks < 0 || blocks > kMost || stride < bytes || Wide{blocks} * stride > kMost) return false;
  const Wide all = Wide{blocks} * stride;
  return all == 0 || (data != nullptr && static_cast<Wide>(reinterpret_cast<uintptr_t>(data)) + all <= UINTPTR_MAX);
}

bool IsLegal(const MsspBlockCopy& copy, Wide* sum) {
  if (copy.block_bytes < 0 || copy.count < 0) return false;
  *sum += Wide{copy.count} * copy.block_bytes;
  const bool has_lists = copy.source_blocks != nullptr || copy.target_blocks != nullptr;
  return *sum <= kMost && copy.count <= kMost && (!has_lists || Wide{copy.count} * 8 <= kMost) &&
         Fits(copy.source, copy.source_num_blocks, copy.source_stride, copy.block_bytes) &&
         Fits(copy.target, copy.target_num_blocks, copy.target_stride, copy.block_bytes);
}

// Whether what the copy looks at is there: the rest is the caller's word.
bool HasMemory(const MsspBlockCopy& given, const MsspBlockCopy& copy, const Place& place) {
  const bool has_lists = copy.source_blocks != nullptr || copy.target_blocks != nullptr;
  if (has_lists && copy.count > given.count) return false;
  if (copy.block_bytes == 0) return true;
  if (copy.source == copy.target && copy.source_stride == copy.target_stride && !has_lists) return true;
  const auto size = [](const std::vector<char>& memory) { return static_cast<Wide>(memory.size()); };
  return copy.source == given.source && copy.target == given.target &&
         Wide{copy.source_num_blocks} * copy.source_stride <= size(place.source) &&
         Wide{copy.target_num_blocks} * copy.target_stride <=
             size(given.source == given.target ? place.source : place.target) &&
         (copy.source != copy.target || copy.source_stride == copy.target_stride);
}

MsspStatus OneAfterAnother(const std::vector<MsspBlockCopy>& copies) {
  std::vector<std::vector<int64_t>> lists;
  const auto own = [&lists](const int64_t* list, int64_t count) -> const int64_t* {
    if (list == nullptr) return nullptr;
    lists.emplace_back(list, list + count);
    lists.back().reserve(1);
    return lists.back().data();
  };
  std::vector<MsspBlockCopy> listed = copies;
  for (MsspBlockCopy& copy : listed) {
    copy.source_blocks = own(copy.source_blocks, copy.count);
    copy.target_blocks = own(copy.target_blocks, copy.count);
  }
  const auto at = [](const int64_t* list, int64_t i) { return list == nullptr ? i : list[i]; };
  for (const MsspBlockCopy& copy : listed) {
    const bool counted = copy.source_blocks == nullptr && copy.target_blocks == nullptr;
    // Of blocks that are counted the last one tells whether one is missing.
    const int64_t enough = std::min(copy.source_num_blocks, copy.target_num_blocks);
    for (int64_t i = counted && copy.count <= enough ? copy.count : counted ? enough : 0; i < copy.count; ++i) {
      const int64_t source = at(copy.source_blocks, i), target = at(copy.target_blocks, i);
      if (source < 0 || source >= copy.source_num_blocks) return {MSSP_BAD_SLOT, i, source, copy.source_num_blocks};
      if (target < 0 || target >= copy.target_num_blocks) return {MSSP_BAD_SLOT, i, target, copy.target_num_blocks};
    }
  }
  for (const MsspBlockCopy& copy : listed) {
    const bool counted = copy.source_blocks == nullptr && copy.target_blocks == nullptr;
    if (copy.block_bytes == 0 || (counted && copy.source == copy.target)) continue;
    for (int64_t i = 0; i < copy.count; ++i) {
      std::memmove(static_cast<char*>(copy.target) + at(copy.target_blocks, i) * copy.target_stride,
                   static_cast<const char*>(copy.source) + at(copy.source_blocks, i) * copy.source_stride,
                   static_cast<size_t>(copy.block_bytes));
    }
  }
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  MsspSetThresholds(in.Below(2) != 0 ? 0 : INT64_MAX, 1);
  uint64_t seed = in.Next();
  Place places[kMostCopies];
  std::vector<MsspBlockCopy> copies;
  for (int64_t i = in.Below(kMostCopies + 1); i > 0; --i) copies.push_back(Draw(&in, &seed, &places[copies.size()]));
  const std::vector<MsspBlockCopy> given = copies;
  for (int64_t broken = copies.empty() ? 0 : in.Below(3); broken > 0; --broken) {
    Break(&in, &copies[static_cast<size_t>(in.Below(static_cast<int64_t>(copies.size())))]);
  }
  const auto threads = static_cast<int32_t>(in.Below(4));
  Wide sum = 0;
  int64_t illegal = -1;
  bool has_memory = true;
  for (size_t i = 0; i < copies.size() && illegal < 0; ++i) {
    if (!IsLegal(copies[i], &sum)) illegal = static_cast<int64_t>(i);
    has_memory = has_memory && HasMemory(given[i], copies[i], places[i]);
  }
  if (illegal < 0 && !has_memory) return 0;

  std::vector<std::vector<char>> before, got, want;
  const auto all = [&places](std::vector<std::vector<char>>* to) {
    to->clear();
    for (const Place& place : places) {
      to->push_back(place.source);
      to->push_back(place.target);
    }
  };
  all(&before);
  const MsspStatus status = MsspCopyBlocks(copies.data(), static_cast<int64_t>(copies.size()), threads);
  all(&got);
  if (illegal >= 0) {
    const MsspStatus refused = {MSSP_BAD_SHAPES, illegal, copies[static_cast<size_t>(illegal)].block_bytes, 0};
    if (std::memcmp(&status, &refused, sizeof(status)) != 0) Fail("accepted what is illegal", status, refused);
    if (got != before) Fail("wrote although refused", status, refused);
    return 0;
  }
  for (size_t i = 0; i < std::size(places); ++i) {  // in place: the copies point there
    std::copy(before[2 * i].begin(), before[2 * i].end(), places[i].source.begin());
    std::copy(before[2 * i + 1].begin(), before[2 * i + 1].end(), places[i].target.begin());
  }
  const MsspStatus expected = OneAfterAnother(copies);
  all(&want);
  if (std::memcmp(&status, &expected, sizeof(status)) != 0) Fail("status", status, expected);
  if (got != want) Fail("bytes", status, expected);
  return 0;
}
