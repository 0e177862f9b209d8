#include "contiguous.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "export.h"
#include "overlap.h"
#include "policy.h"
#include "shares.h"
#include "zip.h"

namespace mssp {
namespace {

constexpr int64_t kLineBytes = 64;
constexpr int64_t kUnitBytes = 16 << 10;  // of one unit of work, about
// A strided copy takes about as long as a plain one of so many times the bytes.
constexpr int64_t kEffort = 4;

struct Axis {
  int64_t size;
  int64_t from;  // stride of the source in bytes
  int64_t to;    // stride of the copy in bytes
};

// The tensor with as few dimensions as tell it. The innermost of the copy is `inner`; `across` is another one, along
// which the source lies closer together, or has size 1.
struct CopyAxes {
  Axis outer[MSSP_MAX_RANK];
  int num_outer = 0;
  Axis across;
  Axis inner;
};

CopyAxes AxesOf(const int64_t* shape, const int64_t* strides, int64_t ndim, int64_t item_size) {
  Axis merged[MSSP_MAX_RANK];  // the innermost first
  int count = 0;
  int64_t to = item_size;
  for (int64_t i = ndim - 1; i >= 0; --i) {
    if (shape[i] == 1) continue;
    const Axis axis{shape[i], strides[i] * item_size, to};
    to *= shape[i];
    if (count > 0 && axis.from == merged[count - 1].size * merged[count - 1].from) {
      merged[count - 1].size *= axis.size;
    } else {
      merged[count++] = axis;
    }
  }
  const Axis one{1, item_size, item_size};
  CopyAxes axes;
  axes.inner = count > 0 ? merged[0] : one;
  axes.across = one;
  const auto distance = [](const Axis& axis) { return axis.from < 0 ? -axis.from : axis.from; };
  int nearest = 0;
  for (int i = 1; i < count && distance(axes.inner) > item_size; ++i) {
    if (merged[i].from != 0 && distance(merged[i]) < distance(merged[nearest])) nearest = i;
  }
  if (nearest > 0) axes.across = merged[nearest];
  for (int i = 1; i < count; ++i) {
    if (i != nearest) axes.outer[axes.num_outer++] = merged[i];
  }
  return axes;
}

template <int kItem>
void CopyElement(uint8_t* to, const uint8_t* from) {
  std::memcpy(to, from, kItem);
}

template <int kItem, int64_t kStride>
void GatherEvery(uint8_t* to, const uint8_t* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) CopyElement<kItem>(to + i * kItem, from + i * kStride * kItem);
}

template <int kItem>
void Gather(uint8_t* to, const uint8_t* from, int64_t count, int64_t stride) {
  switch (stride) {
    case kItem:
      std::memcpy(to, from, static_cast<size_t>(count * kItem));
      return;
    case int64_t{2} * kItem:
      return GatherEvery<kItem, 2>(to, from, count);
    case int64_t{3} * kItem:
      return GatherEvery<kItem, 3>(to, from, count);
    case int64_t{4} * kItem:
      return GatherEvery<kItem, 4>(to, from, count);
    default:
      for (int64_t i = 0; i < count; ++i) CopyElement<kItem>(to + i * kItem, from + i * stride);
  }
}

// A square of vectors, of which `kRowBytes` of each row are there: element j of row i becomes element i of row j.
// Zipping the first half of the rows with the second half turns the numbers (row, element) by one bit; so many times as
// a row number has bits exchanges them.
template <int kItem, int kRowBytes>
void TransposeSquare(uint8_t* to, int64_t to_stride, const uint8_t* from, int64_t from_stride) {
  constexpr int kSide = kVectorBytes / kItem;
  Vector rows[2][kSide];
  for (int i = 0; i < kSide; ++i) {
    const uint8_t* const row = from + i * from_stride;
    rows[0][i] = kRowBytes == kVectorBytes ? LoadVector(row) : LoadHalf(row);
  }
  int now = 0;
  for (int side = kSide; side > 1; side /= 2, now ^= 1) {
    for (int i = 0; i < kSide / 2; ++i) {
      rows[now ^ 1][2 * i] = ZipLow<kItem>(rows[now][i], rows[now][i + kSide / 2]);
      rows[now ^ 1][2 * i + 1] = ZipHigh<kItem>(rows[now][i], rows[now][i + kSide / 2]);
    }
  }
  for (int i = 0; i < kRowBytes / kItem; ++i) StoreVector(to + i * to_stride, rows[now][i]);
}

// Up to a cache line in both directions. The square of whole vectors is put together in `tile`, so that the source is
// read and the copy written by whole lines, however far apart those are.
template <int kItem>
void CopyTile(uint8_t* to, const uint8_t* from, const Axis& inner, const Axis& across, int64_t width, int64_t height) {
  constexpr int64_t kSide = kVectorBytes / kItem;
  const bool dense = across.from == kItem;
  const int64_t whole_width = dense ? width - width % kSide : 0;
  const int64_t whole_height = dense && whole_width > 0 ? height - height % (kSide / 2) : 0;
  alignas(kLineBytes) uint8_t tile[kLineBytes / kItem * kLineBytes];
  for (int64_t i = 0; i < whole_width; i += kSide) {
    const uint8_t* const rows = from + i * inner.from;
    uint8_t* const columns = tile + i * kItem;
    int64_t j = 0;
    for (; j + kSide <= whole_height; j += kSide) {
      TransposeSquare<kItem, kVectorBytes>(columns + j * kLineBytes, kLineBytes, rows + j * kItem, inner.from);
    }
    if (j < whole_height) {
      TransposeSquare<kItem, kVectorBytes / 2>(columns + j * kLineBytes, kLineBytes, rows + j * kItem, inner.from);
    }
  }
  for (int64_t j = 0; j < whole_height; ++j) {
    if (whole_width * kItem == kLineBytes) {
      std::memcpy(to + j * across.to, tile + j * kLineBytes, kLineBytes);
    } else {
      std::memcpy(to + j * across.to, tile + j * kLineBytes, static_cast<size_t>(whole_width * kItem));
    }
  }
  for (int64_t j = 0; j < height; ++j) {
    for (int64_t i = j < whole_height ? whole_width : 0; i < width; ++i) {
      CopyElement<kItem>(to + j * across.to + i * kItem, from + j * across.from + i * inner.from);
    }
  }
}

template <int kItem>
class Copy {
 public:
  Copy(const CopyAxes& axes, uint8_t* to, const uint8_t* from) : axes_(axes), to_(to), from_(from) {
    const bool tiled = axes.across.size > 1;
    constexpr int64_t kLineItems = kLineBytes / kItem;
    width_ = std::min(axes.inner.size, tiled ? kLineItems : kUnitBytes / kItem);
    height_ = std::min(axes.across.size, tiled ? kUnitBytes / kLineBytes / kLineItems * kLineItems : int64_t{1});
    across_parts_ = (axes.across.size + height_ - 1) / height_;
    inner_parts_ = (axes.inner.size + width_ - 1) / width_;
    units_ = across_parts_ * inner_parts_;
    for (int i = 0; i < axes.num_outer; ++i) units_ *= axes.outer[i].size;
  }

  int64_t units() const { return units_; }

  void Unit(int64_t number) const {
    const int64_t row = number % across_parts_ * height_;
    number /= across_parts_;
    const int64_t column = number % inner_parts_ * width_;
    number /= inner_parts_;
    uint8_t* to = to_ + row * axes_.across.to + column * axes_.inner.to;
    const uint8_t* from = from_ + row * axes_.across.from + column * axes_.inner.from;
    for (int i = 0; i < axes_.num_outer; ++i) {
      const Axis& axis = axes_.outer[i];
      to += number % axis.size * axis.to;
      from += number % axis.size * axis.from;
      number /= axis.size;
    }
    const int64_t width = std::min(width_, axes_.inner.size - column);
    if (axes_.across.size == 1) {
      Gather<kItem>(to, from, width, axes_.inner.from);
      return;
    }
    const int64_t height = std::min(height_, axes_.across.size - row);
    constexpr int64_t kLineItems = kLineBytes / kItem;
    for (int64_t j = 0; j < height; j += kLineItems) {
      CopyTile<kItem>(to + j * axes_.across.to, from + j * axes_.across.from, axes_.inner, axes_.across, width,
                      std::min(kLineItems, height - j));
    }
  }

 private:
  const CopyAxes& axes_;
  uint8_t* to_;
  const uint8_t* from_;
  int64_t width_;   // of a unit, along the copy's innermost dimension
  int64_t height_;  // of a unit, along the other one
  int64_t across_parts_;
  int64_t inner_parts_;
  int64_t units_;
};

template <int kItem>
void CopyAll(const CopyAxes& axes, uint8_t* to, const uint8_t* from, const Team& team) {
  const Copy<kItem> copy(axes, to, from);
  try {
    Shares units(copy.units(), team.num_threads, 1);
    RunOnThreads(team, [&] {
      const int self = units.Join();
      for (Range piece; units.Take(self, &piece);) {
        for (int64_t i = piece.begin; i < piece.end; ++i) copy.Unit(i);
      }
    });
  } catch (const std::bad_alloc&) {  // of Shares: nothing was copied yet
    for (int64_t i = 0; i < copy.units(); ++i) copy.Unit(i);
  }
}

}  // namespace
}  // namespace mssp

extern "C" MSSP_EXPORT void MsspCopyContiguous(void* to, const void* from, const int64_t* shape, const int64_t* strides,
                                               int64_t ndim, int64_t item_size, int32_t num_threads) {
  const bool is_item = item_size == 1 || item_size == 2 || item_size == 4 || item_size == 8;
  if (!is_item || ndim < 0 || ndim > MSSP_MAX_RANK) return;
  int64_t bytes = item_size;
  for (int64_t i = 0; i < ndim; ++i) {
    if (!mssp::Multiply(&bytes, bytes, shape[i])) return;
  }
  mssp::Region region;
  if (bytes == 0 || !mssp::SpanOf(from, shape, strides, ndim, item_size, &region)) return;
  const mssp::CopyAxes axes = mssp::AxesOf(shape, strides, ndim, item_size);
  const mssp::Team team = mssp::ChooseTeam(num_threads, bytes * mssp::kEffort);
  auto* const out = static_cast<uint8_t*>(to);
  const auto* const in = static_cast<const uint8_t*>(from);
  switch (item_size) {
    case 1:
      return mssp::CopyAll<1>(axes, out, in, team);
    case 2:
      return mssp::CopyAll<2>(axes, out, in, team);
    case 4:
      return mssp::CopyAll<4>(axes, out, in, team);
    default:
      return mssp::CopyAll<8>(axes, out, in, team);
  }
}
