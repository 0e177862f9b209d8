// When to go past the caches, and on how many threads.
#ifndef MS_SCATTER_PA_CORE_POLICY_H_
#define MS_SCATTER_PA_CORE_POLICY_H_

#include <cstdint>

#include "scatter_pa.h"
#include "threads.h"

namespace mssp {

// True for caches so large that the rows written now are not in the processor's caches and will not stay there.
bool ShouldStream(const MsspCall& call);
bool ShouldStreamTo(int64_t cache_bytes);

// Threads for a call that takes as long as copying so many bytes in runs; 1 where a second one costs more than it
// brings. num_threads: the most; 0: DefaultNumThreads().
Team ChooseTeam(int64_t num_threads, int64_t bytes);

// Bytes of both caches from which rows are streamed, and bytes to write that pay for one more thread; a negative number
// goes back to the built-in one.
void SetThresholds(int64_t stream_cache_bytes, int64_t bytes_per_thread);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_POLICY_H_
