// Streamed stores of part of a cache line, at the borders of rows and to scattered PA_NZ units. A processor may send
// them to memory as they are, beside the ordinary stores that wait for their lines, so that a share of both is the
// fastest; or it may hold everything up until memory has put the line together, at several times the price of an
// ordinary store whose line was read ahead. Vendors do not say which, and virtual machines do not say what they run on:
// it is measured.
#ifndef MS_SCATTER_PA_CORE_PARTIAL_STORES_H_
#define MS_SCATTER_PA_CORE_PARTIAL_STORES_H_

#include <atomic>
#include <cstdint>

namespace mssp {

// How parts of lines are stored: 0: by ordinary stores; 1: streamed; negative: not decided yet, ordinary until then.
extern std::atomic<int32_t> partial_stores;

inline bool StreamsPartialLines() { return partial_stores.load(std::memory_order_relaxed) > 0; }

struct PartialStoreTimes {
  double ordinary;  // nanoseconds of a store whose line was read ahead
  double streamed;
};

// Some 0.3 milliseconds of stores to memory of its own. Zeros where the processor has no streamed stores.
PartialStoreTimes MeasurePartialStores();

// Decides, once per process: what MS_SCATTER_PA_PARTIAL_STORES or SetPartialStores says, else what is measured.
void DecideNow();
inline void DecidePartialStores() {
  if (partial_stores.load(std::memory_order_relaxed) < 0) DecideNow();
}

// 0 or 1 as above; a negative number: as the process began, to be decided again.
void SetPartialStores(int32_t streamed);

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_PARTIAL_STORES_H_
