// Bytes -> a call of the operator -> the core and the oracle must agree in status and in every byte of the caches. All
// memory is exactly as large as the call says, so that a sanitizer sees every step beside it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "drawing.h"
#include "message.h"
#include "oracle.h"
#include "plain_entry.h"

using namespace fuzz;  // NOLINT: one program

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  MsspCall call = {};
  constexpr const char* kPaths[] = {"portable", "avx2", "avx512", "neon", ""};
  const int path = static_cast<int>(in.Below(5));
  MsspSetCpuFeatures("");
  MsspSetCpuFeatures(kPaths[path]);
  MsspSetThresholds(in.Below(2) ? 0 : INT64_MAX, 1);
  uint64_t seed = in.Next();
  MsspSetPartialStores(static_cast<int32_t>(seed & 1));

  const int scenario = static_cast<int>(in.Below(6));
  call.layout = scenario < 3 ? scenario : MSSP_NORM;
  call.scatter_mode = scenario < 3 ? MSSP_NONE : scenario - 2;
  const bool compressed = call.scatter_mode != MSSP_NONE;
  call.packed = compressed && in.Below(2);
  call.index_type = static_cast<int32_t>(in.Below(2));
  call.check_duplicates = 1;  // what duplicates write is undefined
  call.num_threads = static_cast<int32_t>(in.Below(3)) + 1;
  call.num_head = 1 + in.Below(5);
  call.block_size = 1 + in.Below(40);
  call.num_blocks = 1 + in.Below(6);
  const int64_t capacity = call.num_blocks * call.block_size;
  const int type = static_cast<int>(in.Below(12));
  const int64_t itemsize = oracle::ItemSize(type);

  std::vector<int64_t> slots, counts, offsets, lengths;
  if (compressed) {
    call.batch = in.Below(4);
    call.seq_len = in.Below(24);
    int64_t sum = 0;
    for (int64_t b = 0; b < call.batch; ++b) {
      lengths.push_back(in.Around(0, call.seq_len));
      if (lengths.back() > 0 && lengths.back() < 1000) sum += lengths.back();
    }
    call.num_tokens = call.packed ? sum + (in.Next() < 8) : 0;
    int64_t next = 0;
    for (int64_t i = 0; i < call.batch * call.num_head; ++i) {
      const int64_t length = std::clamp<int64_t>(lengths[static_cast<size_t>(i / call.num_head)], 0, call.seq_len);
      offsets.push_back(in.Around(-1, length));
      counts.push_back(in.Around(0, length));
      slots.push_back(in.Next() < 200 ? next : in.Around(-1, capacity));
      next += length + in.Below(3);
    }
  } else {
    call.num_tokens = in.Below(80);
    const bool ascending = in.Below(2) != 0;
    const int64_t step = 1 + 2 * in.Below(8);
    const int64_t first = in.Below(capacity);
    for (int64_t t = 0; t < call.num_tokens; ++t) {
      const uint8_t kind = in.Next();
      if (kind < 12) {
        slots.push_back(in.Around(-1, capacity));
      } else {
        slots.push_back(ascending ? first + t : (first + t * step) % capacity);
      }
    }
  }
  const std::vector<char> slot_bytes = Narrow(slots, call.index_type), count_bytes = Narrow(counts, call.index_type);
  const std::vector<char> offset_bytes = Narrow(offsets, call.index_type),
                          length_bytes = Narrow(lengths, call.index_type);
  call.slot_mapping = slot_bytes.data();
  call.compress_lens = count_bytes.data();
  call.compress_seq_offsets = offset_bytes.data();
  call.seq_lens = length_bytes.data();

  std::vector<std::unique_ptr<Memory>> rows, caches;
  const int64_t margin = in.Below(80);
  const int sides = in.Below(4) == 0 ? 1 : 2;
  enum { kContiguous, kGaps, kInterleaved };  // how blocks lie; interleaved: those of K and V in one pool
  const int64_t blocks = in.Below(3);
  for (int i = 0; i < sides; ++i) {
    MsspSide& side = i == 0 ? call.key : call.value;
    side.element_type = type;
    side.head_size = 1 + in.Below(72);
    if (call.layout == MSSP_PA_NZ) side.head_size = (1 + in.Below(4)) * (32 / itemsize);
    if (call.layout == MSSP_PA_NZ && call.num_head % 2 == 0 && in.Below(2)) side.head_size /= 2;
    if (i == 1 && in.Below(2)) side.head_size = call.key.head_size;
    const int64_t tokens = compressed && !call.packed ? call.seq_len : call.num_tokens;
    const bool heads_first = in.Below(4) == 0;
    const int64_t gap = in.Below(3) * 7;
    side.head_stride = heads_first ? (side.head_size + gap) * tokens : side.head_size + gap;
    side.token_stride = heads_first ? side.head_size + gap : side.head_stride * call.num_head;
    side.batch_stride = (side.head_size + gap) * tokens * call.num_head;
    const int64_t elements = side.batch_stride * (compressed && !call.packed ? call.batch : 1);
    rows.push_back(std::make_unique<Memory>(elements * itemsize, in.Below(80), &seed));
    side.rows = rows.back()->begin();
    const int64_t block = call.block_size * (compressed ? 1 : call.num_head) * side.head_size;
    const int64_t gap_of_blocks = blocks == kContiguous ? 0 : in.Below(40) + (blocks == kInterleaved ? block : 0);
    side.block_stride = block + gap_of_blocks;
    if (blocks == kInterleaved && i == 1 && side.head_size == call.key.head_size) {
      side.block_stride = call.key.block_stride;
      side.cache = static_cast<char*>(call.key.cache) + block * itemsize;
      continue;
    }
    // The gap after the last block belongs to it in a pool, where V may be.
    const int64_t last = blocks == kInterleaved ? side.block_stride : block;
    caches.push_back(
        std::make_unique<Memory>(((call.num_blocks - 1) * side.block_stride + last) * itemsize, margin, &seed));
    side.cache = caches.back()->begin();
    if (blocks == kContiguous && in.Below(2)) side.block_stride = 0;
  }

  std::vector<std::vector<char>> before, got;
  for (const auto& cache : caches) before.push_back(cache->All());
  const MsspStatus status = MsspScatterPaKvCache(&call);
  for (size_t i = 0; i < caches.size(); ++i) {
    got.push_back(caches[i]->All());
    caches[i]->Restore(before[i]);
  }
  const MsspStatus expected = oracle::Scatter(call);
  if (std::memcmp(&status, &expected, sizeof(status)) != 0) Fail("status", status, expected);
  for (size_t i = 0; i < caches.size(); ++i) {
    const MsspSide& side = i == 0 ? call.key : call.value;
    if (!SameCache(call, side, got[i], caches[i]->All(), margin)) Fail("cache", status, expected);
  }
  char sentence[512];
  const int64_t length = MsspFormatStatus(&call, &status, sentence, sizeof(sentence));
  if ((length == 0) != (status.code == 0) || length >= static_cast<int64_t>(sizeof(sentence))) {
    Fail("sentence", status, expected);
  }
  return 0;
}
