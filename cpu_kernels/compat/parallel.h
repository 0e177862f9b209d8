// Tasks shared out over the core's threads, each with memory of its own.
#ifndef MS_SCATTER_PA_COMPAT_PARALLEL_H_
#define MS_SCATTER_PA_COMPAT_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "../core/call_sizes.h"
#include "../core/float_environment.h"
#include "../core/policy.h"
#include "../core/simd/partial_stores.h"
#include "../core/threads.h"

namespace mssp {
namespace compat {

// Runs work(task, scratch) for every task of 0..tasks-1, where scratch has `floats` numbers that the tasks of one
// thread share. `bytes` says how much there is to do, as the policy counts it. `work` does not throw.
template <typename Work>
void ForEachTask(int64_t tasks, int64_t bytes, int64_t floats, const Work& work) {
  Team team = ChooseTeam(0, bytes);
  team.num_threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(team.num_threads, tasks)));
  std::vector<float> scratch(static_cast<size_t>(floats) * static_cast<size_t>(team.num_threads));
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> slot{0};
  RunOnThreads(team, [&] {
    const IeeeScope ieee;
    float* own = scratch.data() + slot.fetch_add(1, std::memory_order_relaxed) * floats;
    for (;;) {
      const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
      if (task >= tasks) return;
      work(task, own);
    }
  });
}

// Whether results of so many bytes go past the caches: they would not stay there. In rows of `row_bytes`, written by
// aligned stores of 16 bytes, as MindSpore's large tensors allow; on whole lines where the processor is slow with
// others.
inline bool StreamsTo(const void* to, int64_t bytes, int64_t row_bytes) {
  if (!ShouldStreamTo(bytes)) return false;
  const int64_t border = StreamsPartialLines() ? 16 : kLine;
  return reinterpret_cast<uintptr_t>(to) % border == 0 && row_bytes % border == 0;
}

// The same for rows: pieces of them, a few for each thread.
template <typename Work>
void ForEachPiece(int64_t rows, int64_t bytes, int64_t floats, const Work& work) {
  constexpr int64_t kSmall = int64_t{1} << 20;  // as long as it takes to wake a worker: as few beginnings as can be
  const int64_t threads = ChooseTeam(0, bytes).num_threads;
  const int64_t pieces = std::max<int64_t>(1, std::min<int64_t>(rows, bytes < kSmall ? threads : 4 * threads));
  ForEachTask(pieces, bytes, floats, [&](int64_t piece, float* scratch) {
    work(rows * piece / pieces, rows * (piece + 1) / pieces, scratch);
  });
}

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_PARALLEL_H_
