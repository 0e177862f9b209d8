// Which bytes an argument takes, and whether two arguments share one.
#ifndef MS_SCATTER_PA_CORE_OVERLAP_H_
#define MS_SCATTER_PA_CORE_OVERLAP_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "../../aicore_kernels/op_host/ms_scatter_pa_cache_shape.h"
#include "scatter_pa.h"

namespace mssp {

// No process can address more; sums and products of a few numbers below it are far from overflowing.
inline constexpr int64_t kMaxBytes = int64_t{1} << 48;

// a * b * ...; false when a factor is negative or the product is above kMaxBytes.
template <typename... Factors>
bool Multiply(int64_t* product, Factors... factors) {
  *product = 1;
  for (const int64_t factor : {static_cast<int64_t>(factors)...}) {
    if (factor < 0 || __builtin_mul_overflow(*product, factor, product) || *product > kMaxBytes) return false;
  }
  return true;
}

inline int64_t Product(const int64_t* shape, int64_t ndim) {
  int64_t product = 1;
  for (int64_t i = 0; i < ndim; ++i) product = Times(product, shape[i]);
  return product;
}

// Whether a tensor that has elements has no memory: it is not there yet, and must not be taken for an absent one.
inline bool IsMissing(const void* data, const int64_t* shape, int64_t ndim) {
  return data == nullptr && std::find(shape, shape + ndim, 0) == shape + ndim;
}

// `count` blocks of `bytes` bytes, the first at `begin`, one every `stride` bytes, which is more than a block. A tensor
// is one block unless it is in equal pieces at one distance, as a cache whose blocks lie apart or a slice of a fused
// QKV.
struct Region {
  uintptr_t begin = 0;
  int64_t bytes = 0;
  int64_t stride = 0;
  int64_t count = 0;
};

// The bytes from the first to the last of a tensor whose strides count elements (NULL: contiguous); no bytes when a
// dimension is 0. False when they are more than kMaxBytes or wrap around the end of the address space.
bool SpanOf(const void* data, const int64_t* shape, const int64_t* strides, int64_t ndim, int64_t item_size,
            Region* region);

// `count` blocks of `block` contiguous elements, one every `stride` elements: as blocks where they do not cross, else
// as SpanOf.
bool BlocksOf(const void* data, int64_t count, int64_t stride, int64_t block, int64_t item_size, Region* region);

// The same for a tensor: pieces at one distance as blocks, anything else as SpanOf.
bool RegionOf(const void* data, const int64_t* shape, const int64_t* strides, int64_t ndim, int64_t item_size,
              Region* region);

// Whether a byte belongs to both.
bool Overlap(const Region& a, const Region& b);

// The tensors of a call by their positions in op_info's ARGUMENTS, and what follows those.
enum { kLastStatusRegion = MSSP_NUM_ARGUMENTS, kStatusRegion, kNumRegions };

// The rule of every operator and entry: nothing that a call is given shares a byte with what it writes. `written` has a
// bit for the place of each region that is. The status names that one (the later one of two) as its position, and the
// other argument a as value -1 - a with limit -1.
MsspStatus FindOverlap(const Region* regions, int count, uint32_t written);

// Whether the region at `place` shares a byte with one that is written: a status that does is not stored.
bool OverlapsWritten(const Region* regions, int count, uint32_t written, int place);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_OVERLAP_H_
