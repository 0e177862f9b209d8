// What the writers of a compressed call need of it: where rows lie, and which pairs plan what.
#ifndef MS_SCATTER_PA_CORE_PAIR_WORK_H_
#define MS_SCATTER_PA_CORE_PAIR_WORK_H_

#include <cstdint>

#include "layout.h"
#include "pair.h"
#include "pair_shares.h"
#include "policy.h"
#include "simd/cpu_features.h"

namespace mssp {

struct PairWork {
  explicit PairWork(const MsspCall& compressed_call)
      : call(compressed_call),
        arrays(call),
        kernels(ActiveKernels()),
        stream(ShouldStream(call)),
        sides{ViewSide(call, call.key), ViewSide(call, call.value)} {}

  const char* Rows(const Share& share, int64_t head) const {
    const SideView& side = sides[share.side];
    const int64_t first = call.packed ? share.first_row * side.token_stride : share.batch * side.batch_stride;
    return side.rows + first + head * side.head_stride;
  }

  PairPlan Plan(const Share& share, int64_t head) const {
    const int64_t position = share.batch * call.num_head + head;
    return PlanPair(LoadPair(arrays, call.scatter_mode, position, share.length), call.scatter_mode);
  }

  const MsspCall& call;
  const PairArrays arrays;
  const Kernels& kernels;
  const bool stream;
  const SideView sides[2];
};

inline constexpr int64_t kMaxMeanHeads = 16;

// The mean rows of the heads of a share, at most kMaxMeanHeads. The caller holds an IeeeScope.
void WriteMeans(const PairWork& work, const Share& share);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_PAIR_WORK_H_
