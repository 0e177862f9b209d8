// Several threads call the operator at once, each with workers: for -fsanitize=thread. Caches of their own, and
// disjoint slots of a shared one.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "plain_entry.h"

namespace {

constexpr int kCallers = 3;
constexpr int64_t kTokens = 96, kHeads = 2, kSize = 64, kBlockSize = 16, kSlots = kTokens * kCallers;

std::atomic<int> failures{0};

void Expect(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s\n", what);
  ++failures;
}

MsspCall Describe(const std::vector<uint16_t>& rows, std::vector<uint16_t>* cache, const std::vector<int64_t>& slots) {
  MsspCall call = {};
  call.key.rows = rows.data();
  call.key.cache = cache->data();
  call.key.head_size = kSize;
  call.key.token_stride = kHeads * kSize;
  call.key.head_stride = kSize;
  call.key.element_type = MSSP_BFLOAT16;
  call.value = call.key;
  call.value.rows = nullptr;
  call.index_type = MSSP_INDEX_INT64;
  call.num_threads = 3;
  call.num_tokens = kTokens;
  call.num_head = kHeads;
  call.num_blocks = kSlots / kBlockSize;
  call.block_size = kBlockSize;
  call.slot_mapping = slots.data();
  return call;
}

// Tokens caller, caller + kCallers, ... of the shared cache; every token of its own cache.
void Call(int caller, std::vector<uint16_t>* shared, int rounds) {
  std::vector<uint16_t> rows(kTokens * kHeads * kSize), own(kSlots * kHeads * kSize);
  std::vector<int64_t> slots(kTokens);
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < rows.size(); ++i)
      rows[i] = static_cast<uint16_t>(i * 31 + static_cast<size_t>(round * 7 + caller));
    for (int64_t t = 0; t < kTokens; ++t) slots[static_cast<size_t>(t)] = t * kCallers + caller;
    MsspCall call = Describe(rows, shared, slots);
    Expect(MsspScatterPaKvCache(&call).code == MSSP_WRITTEN, "shared cache: refused");
    for (int64_t t = 0; t < kTokens; ++t) {
      Expect(std::memcmp(&(*shared)[static_cast<size_t>(slots[static_cast<size_t>(t)] * kHeads * kSize)],
                         &rows[static_cast<size_t>(t * kHeads * kSize)], kHeads * kSize * 2) == 0,
             "shared cache: wrong row");
    }
    for (int64_t t = 0; t < kTokens; ++t) slots[static_cast<size_t>(t)] = t;
    for (int layout : {MSSP_NORM, MSSP_PA_NZ, MSSP_NHSD}) {
      call = Describe(rows, &own, slots);
      call.layout = layout;
      Expect(MsspScatterPaKvCache(&call).code == MSSP_WRITTEN, "own cache: refused");
    }
    // Rope: one batch element, both heads, a mean in each.
    const int64_t lengths[] = {kTokens}, counts[] = {40, 50}, offsets[] = {5, 9}, starts[] = {0, kTokens};
    call = Describe(rows, &own, slots);
    call.scatter_mode = MSSP_ROPE;
    call.packed = 1;
    call.batch = 1;
    call.slot_mapping = starts;
    call.seq_lens = lengths;
    call.compress_lens = counts;
    call.compress_seq_offsets = offsets;
    Expect(MsspScatterPaKvCache(&call).code == MSSP_WRITTEN, "rope: refused");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 50;
  MsspSetThresholds(0, 1);
  for (const char* path : {"portable", ""}) {
    MsspSetCpuFeatures(path);
    std::vector<uint16_t> shared(kSlots * kHeads * kSize);
    std::vector<std::thread> callers;
    for (int i = 0; i < kCallers; ++i) callers.emplace_back(Call, i, &shared, rounds);
    for (std::thread& caller : callers) caller.join();
  }
  std::printf("%d failures\n", failures.load());
  return failures == 0 ? 0 : 1;
}
