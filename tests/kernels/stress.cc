// Several threads call the operator, quantise, gather and copy blocks at once, each with workers: for
// -fsanitize=thread. Caches of their own, and disjoint slots and blocks of shared ones.
#include <algorithm>
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

// Blocks caller, caller + kCallers, ... of a pool that all callers share: one is filled, copied to another, and from
// there, in the same call, to a third; then out to memory of the caller's own.
constexpr int64_t kPoolBlocks = 3 * kCallers, kPoolBytes = 200'000;

void CopyBlocks(int caller, std::vector<char>* pool, int rounds) {
  const int64_t sources[] = {caller, caller + kCallers}, targets[] = {caller + kCallers, caller + 2 * kCallers};
  std::vector<char> own(2 * kPoolBytes);
  for (int round = 0; round < rounds; ++round) {
    char* const first = pool->data() + caller * kPoolBytes;
    for (int64_t i = 0; i < kPoolBytes; ++i) first[i] = static_cast<char>(i * 31 + round * 7 + caller);
    MsspBlockCopy copy = {};
    copy.source = copy.target = pool->data();
    copy.source_blocks = sources;
    copy.target_blocks = targets;
    copy.count = 2;
    copy.source_num_blocks = copy.target_num_blocks = kPoolBlocks;
    copy.source_stride = copy.target_stride = copy.block_bytes = kPoolBytes;
    Expect(MsspCopyBlocks(&copy, 1, 3).code == MSSP_WRITTEN, "pool: refused");
    copy.source_blocks = targets;
    copy.target_blocks = nullptr;
    copy.target = own.data();
    copy.target_num_blocks = 2;
    Expect(MsspCopyBlocks(&copy, 1, 3).code == MSSP_WRITTEN, "own memory: refused");
    for (int64_t block : {0, 1}) {
      Expect(std::memcmp(own.data() + block * kPoolBytes, first, kPoolBytes) == 0, "own memory: wrong block");
    }
  }
}

// Blocks caller, caller + kCallers, ... of a shared cache of codes and one of scales: written with scales that are
// computed, then with those of channels, and gathered back. Every row is a code times a scale of 1.
constexpr int64_t kQuantTokens = 512, kQuantBlocks = kQuantTokens / kBlockSize * kCallers;

struct QuantPool {
  std::vector<char> codes = std::vector<char>(kQuantBlocks * kBlockSize * kHeads * kSize);
  std::vector<float> scales = std::vector<float>(kQuantBlocks * kBlockSize * kHeads);
};

void QuantiseAndGather(int caller, QuantPool* pool, int rounds) {
  std::vector<uint16_t> rows(kQuantTokens * kHeads * kSize), back(rows.size());
  std::vector<int64_t> slots(kQuantTokens), blocks;
  for (int64_t b = 0; b < kQuantTokens / kBlockSize; ++b) blocks.push_back(b * kCallers + caller);
  for (int64_t t = 0; t < kQuantTokens; ++t) {
    slots[static_cast<size_t>(t)] = blocks[static_cast<size_t>(t / kBlockSize)] * kBlockSize + t % kBlockSize;
  }
  const std::vector<float> ones(kHeads * kSize, 1.0f);
  const int64_t length = kQuantTokens;
  for (int round = 0; round < rounds; ++round) {
    const bool is_int8 = round % 2 == 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto number = i % kSize == 0
                              ? (is_int8 ? 127.0f : 448.0f)
                              : static_cast<float>((i * 7 + static_cast<size_t>(round + caller)) % 33) - 16.0f;
      uint32_t bits;
      std::memcpy(&bits, &number, sizeof(bits));
      rows[i] = static_cast<uint16_t>(bits >> 16);
    }
    MsspQuantCall write = {};
    write.key.rows = rows.data();
    write.key.cache = pool->codes.data();
    write.key.head_size = kSize;
    write.key.token_stride = kHeads * kSize;
    write.key.head_stride = kSize;
    write.key.block_stride = kBlockSize * kHeads * kSize;
    write.key.rows_type = MSSP_BFLOAT16;
    write.key.cache_type = is_int8 ? MSSP_INT8 : MSSP_FLOAT8_E4M3FN;
    write.layout = round % MSSP_NUM_LAYOUTS;
    write.index_type = MSSP_INDEX_INT64;
    write.num_threads = 3;
    write.num_tokens = kQuantTokens;
    write.num_head = kHeads;
    write.num_blocks = kQuantBlocks;
    write.block_size = kBlockSize;
    write.slot_mapping = slots.data();
    MsspGatherCall gather = {};
    gather.layout = write.layout;
    gather.index_type = MSSP_INDEX_INT64;
    gather.num_threads = 3;
    gather.num_tokens = kQuantTokens;
    gather.batch = 1;
    gather.table_width = static_cast<int64_t>(blocks.size());
    gather.num_head = kHeads;
    gather.num_blocks = kQuantBlocks;
    gather.block_size = kBlockSize;
    gather.block_tables = blocks.data();
    gather.seq_lens = &length;
    for (const int kind : {MSSP_DYNAMIC, MSSP_STATIC}) {
      MsspScaling& scaling = write.key.scaling;
      scaling = {};
      scaling.kind = kind;
      if (kind == MSSP_DYNAMIC) {
        scaling.scale_cache = pool->scales.data();
        scaling.scale_block_stride = kBlockSize * kHeads;
      } else {
        scaling.granularity = MSSP_PER_CHANNEL;
        scaling.scale = ones.data();
      }
      Expect(MsspQuantScatterPaKvCache(&write).code == MSSP_WRITTEN, "quantised: refused");
      gather.key = write.key;
      gather.key.rows = back.data();
      std::fill(back.begin(), back.end(), uint16_t{0});
      Expect(MsspGatherPaKvCache(&gather).code == MSSP_WRITTEN, "gathered: refused");
      bool same = true;  // -0 is 0
      for (size_t i = 0; i < rows.size(); ++i)
        same = same && (back[i] == rows[i] || ((back[i] | rows[i]) & 0x7FFF) == 0);
      Expect(same, "gathered: wrong row");
    }
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
    std::vector<char> pool(kPoolBlocks * kPoolBytes);
    for (int i = 0; i < kCallers; ++i) callers.emplace_back(CopyBlocks, i, &pool, rounds);
    QuantPool quantised;
    for (int i = 0; i < kCallers; ++i) callers.emplace_back(QuantiseAndGather, i, &quantised, rounds / 8 + 1);
    for (std::thread& caller : callers) caller.join();
  }
  std::printf("%d failures\n", failures.load());
  return failures == 0 ? 0 : 1;
}
