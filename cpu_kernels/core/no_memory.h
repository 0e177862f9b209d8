// Where exceptions end: the plain C functions have callers that know none.
#ifndef MS_SCATTER_PA_CORE_NO_MEMORY_H_
#define MS_SCATTER_PA_CORE_NO_MEMORY_H_

#include <atomic>
#include <new>

#include "scatter_pa.h"
#include "threads.h"

namespace mssp {

// What `body` returns, or MSSP_NO_MEMORY.
template <typename Body>
MsspStatus WithoutExceptions(const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return {MSSP_NO_MEMORY, 0, 0, 0};
  }
}

// RunOnThreads for work that needs memory of its own on each thread: `prepare()` returns it, `work(it)` takes shares
// of the call. A thread that gets none leaves its share to the others; where none gets any nothing is done, and
// std::bad_alloc is thrown.
template <typename Prepare, typename Work>
void RunWithMemory(const Team& team, const Prepare& prepare, const Work& work) {
  std::atomic<bool> done{false};
  RunOnThreads(team, [&] {
    try {
      auto memory = prepare();
      done.store(true, std::memory_order_relaxed);
      work(memory);
    } catch (const std::bad_alloc&) {
      // `work` asks for none.
    }
  });
  if (!done.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_NO_MEMORY_H_
