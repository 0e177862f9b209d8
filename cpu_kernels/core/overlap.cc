#include "overlap.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace mssp {
namespace {

struct Interval {
  int64_t begin;
  int64_t end;
};

Interval Hull(const Region& region, uintptr_t origin) {
  const auto begin = static_cast<int64_t>(region.begin - origin);
  return {begin, begin + (region.count - 1) * region.stride + region.bytes};
}

int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// floor((a * i + b) / m) added up for 0 <= i < n, modulo 2^64: in steps of Euclid's algorithm. Nothing is negative, m
// is not 0, and a * n + b is far below 2^63.
uint64_t SumOfQuotients(int64_t n, int64_t a, int64_t b, int64_t m) {
  uint64_t sum = 0;
  for (;;) {
    const auto pairs =
        static_cast<uint64_t>(n % 2 == 0 ? n / 2 : n) * static_cast<uint64_t>(n % 2 == 0 ? n - 1 : (n - 1) / 2);
    sum += pairs * static_cast<uint64_t>(a / m) + static_cast<uint64_t>(n) * static_cast<uint64_t>(b / m);
    a %= m;
    b %= m;
    const int64_t last = a * n + b;
    if (last < m) return sum;
    n = last / m;
    b = last % m;
    std::swap(a, m);
  }
}

bool IsWritten(uint32_t written, int place) { return (written >> place & 1) != 0; }

}  // namespace

bool SpanOf(const void* data, const int64_t* shape, const int64_t* strides, int64_t ndim, int64_t item_size,
            Region* region) {
  *region = Region{};
  if (std::any_of(shape, shape + ndim, [](int64_t dimension) { return dimension == 0; })) return true;
  int64_t before = 0;  // elements before and after the first one
  int64_t after = 0;
  int64_t contiguous = 1;
  for (int64_t i = ndim - 1; i >= 0; --i) {
    const int64_t stride = strides == nullptr ? contiguous : strides[i];
    int64_t distance = 0;  // from the first index to the last
    if (shape[i] < 0 || __builtin_mul_overflow(shape[i] - 1, stride, &distance)) return false;
    int64_t* const sum = distance < 0 ? &before : &after;
    if (__builtin_add_overflow(*sum, distance, sum) || after > kMaxBytes || before < -kMaxBytes) return false;
    if (strides == nullptr && !Multiply(&contiguous, contiguous, shape[i])) return false;
  }
  const int64_t bytes = (after - before + 1) * item_size;
  const auto first = reinterpret_cast<uintptr_t>(data) - static_cast<uintptr_t>(-before * item_size);
  if (bytes > kMaxBytes || first > reinterpret_cast<uintptr_t>(data) ||
      first > UINTPTR_MAX - static_cast<uintptr_t>(bytes)) {
    return false;
  }
  *region = {first, bytes, bytes, 1};
  return true;
}

bool BlocksOf(const void* data, int64_t count, int64_t stride, int64_t block, int64_t item_size, Region* region) {
  const int64_t shape[] = {count, block};
  const int64_t strides[] = {stride, 1};
  if (!SpanOf(data, shape, strides, 2, item_size, region)) return false;
  if (region->count != 0 && count > 1 && stride > block) {
    *region = {reinterpret_cast<uintptr_t>(data), block * item_size, stride * item_size, count};
  }
  return true;
}

bool RegionOf(const void* data, const int64_t* shape, const int64_t* strides, int64_t ndim, int64_t item_size,
              Region* region) {
  int64_t block = 1;  // elements that lie together
  int64_t count = 1;  // of blocks, one every `stride` elements
  int64_t stride = 0;
  bool has_blocks = strides != nullptr;
  for (int64_t i = ndim - 1; has_blocks && i >= 0; --i) {
    if (shape[i] == 1) continue;
    if (count == 1 && strides[i] == block) {
      block = Times(block, shape[i]);
    } else if (count == 1) {
      count = shape[i];
      stride = strides[i];
    } else {
      has_blocks = strides[i] == Times(stride, count);
      count = Times(count, shape[i]);
    }
  }
  return has_blocks && count > 1 ? BlocksOf(data, count, stride, block, item_size, region)
                                 : SpanOf(data, shape, strides, ndim, item_size, region);
}

bool Overlap(const Region& a, const Region& b) {
  if (a.bytes == 0 || a.count == 0 || b.bytes == 0 || b.count == 0) return false;
  const uintptr_t origin = std::min(a.begin, b.begin);
  // Regions begin more than kMaxBytes apart, or their distance is a small number.
  if (std::max(a.begin, b.begin) - origin > static_cast<uintptr_t>(2 * kMaxBytes)) return false;
  const Interval hull_a = Hull(a, origin);
  const Interval hull_b = Hull(b, origin);
  if (hull_a.end <= hull_b.begin || hull_b.end <= hull_a.begin) return false;
  // The blocks of a that lie between the first and the last byte of b.
  const int64_t stride = a.count > 1 ? a.stride : a.bytes;
  const int64_t least = std::max<int64_t>(FloorDivide(hull_b.begin - hull_a.begin - a.bytes, stride) + 1, 0);
  const int64_t most = std::min(FloorDivide(hull_b.end - 1 - hull_a.begin, stride), a.count - 1);
  if (least > most || b.count == 1) return least <= most;
  // Such a block of a, which ends at y in b, touches a block of b when y % b.stride < a.bytes + b.bytes - 1.
  const int64_t window = a.bytes + b.bytes - 1;
  if (window >= b.stride) return true;
  const int64_t first = hull_a.begin + least * stride + a.bytes - 1 - hull_b.begin;
  const int64_t count = most - least + 1;
  return SumOfQuotients(count, stride, first + b.stride, b.stride) !=
         SumOfQuotients(count, stride, first + b.stride - window, b.stride);
}

bool OverlapsWritten(const Region* regions, int count, uint32_t written, int place) {
  for (int target = 0; target < count; ++target) {
    if (target != place && IsWritten(written, target) && Overlap(regions[target], regions[place])) return true;
  }
  return false;
}

MsspStatus FindOverlap(const Region* regions, int count, uint32_t written) {
  for (int target = 0; target < count; ++target) {
    if (!IsWritten(written, target) || regions[target].count == 0) continue;
    for (int other = 0; other < count; ++other) {
      const bool is_later = IsWritten(written, other) && other > target;  // which is named when its turn comes
      if (other == target || is_later) continue;
      if (Overlap(regions[target], regions[other])) return {MSSP_BAD_SHAPES, target, -1 - other, -1};
    }
  }
  return {MSSP_WRITTEN, 0, 0, 0};
}

}  // namespace mssp
