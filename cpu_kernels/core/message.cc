#include "message.h"

#include <cinttypes>
#include <cstdint>

#include "call_sizes.h"
#include "export.h"
#include "op_info.h"
#include "overlap.h"
#include "pair.h"
#include "sentence.h"

namespace mssp {
namespace {

// Whether the status is of a pair that the call has: others are not, whatever they say.
bool HasPair(const MsspCall& call, const MsspStatus& status) {
  const bool has_offsets = call.scatter_mode == MSSP_ALIBI || call.compress_seq_offsets != nullptr;
  return IsCompressed(call) && call.num_head > 0 && status.position >= 0 &&
         status.position / call.num_head < call.batch && call.slot_mapping != nullptr &&
         call.compress_lens != nullptr && has_offsets && call.seq_lens != nullptr;
}

// 0 where the pair's lengths are not legal.
int64_t RowsOfPair(const Pair& pair, int32_t mode) {
  int64_t bad;
  return HasBadLength(pair, mode, &bad) ? 0 : PlanPair(pair, mode).NumRows();
}

void AddBadSlot(const MsspCall* call, const MsspStatus& status, Sentence* out) {
  out->Add("IndexError: slot_mapping[%" PRId64 "] = %" PRId64, status.position, status.value);
  if (call != nullptr && HasPair(*call, status)) {
    const PairArrays arrays(*call);
    const Pair pair =
        LoadPair(arrays, call->scatter_mode, status.position, arrays.lengths[status.position / call->num_head]);
    const int64_t rows = RowsOfPair(pair, call->scatter_mode);
    if (rows > 1 && rows > status.limit) {
      out->Add(" starts a run of %" PRId64
               " rows, which no place in the cache holds (num_blocks * block_size = %" PRId64
               "): expected a negative slot to skip",
               rows, status.limit);
      return;
    }
    if (rows > 1) {
      out->Add(" starts a run of %" PRId64
               " rows that ends outside the cache: expected at most num_blocks * block_size - "
               "%" PRId64 " = %" PRId64 ", or a negative slot to skip",
               rows, rows, status.limit - rows);
      return;
    }
  }
  if (call == nullptr && status.value < status.limit) {
    out->Add(
        " starts a run of rows that ends outside the cache: expected it to end below num_blocks * block_size = %" PRId64
        ", or a negative slot to skip",
        status.limit);
    return;
  }
  AddOutside(status.limit, out);
}

void AddDuplicate(const MsspStatus& status, Sentence* out) {
  out->Add("ValueError: slot_mapping[%" PRId64 "] and slot_mapping[%" PRId64 "] both write slot %" PRId64
           ": expected every slot at most once",
           status.limit, status.position, status.value);
}

void AddBadLengths(const MsspCall* call, const MsspStatus& status, Sentence* out) {
  if (call == nullptr || !HasPair(*call, status)) {
    out->Add("ValueError: seq_lens, compress_lens and compress_seq_offsets disagree at pair %" PRId64 ": got %" PRId64
             ", expected a value between 0 and %" PRId64,
             status.position, status.value, status.limit);
    return;
  }
  const PairArrays arrays(*call);
  const int64_t batch = status.position / call->num_head;
  const int64_t length = arrays.lengths[batch];
  const int64_t bound = call->packed ? call->num_tokens : call->seq_len;
  if (length < 0 || length > bound) {
    out->Add("ValueError: seq_lens[%" PRId64 "] = %" PRId64 ": expected between 0 and %s = %" PRId64, batch, length,
             call->packed ? "the number of rows of key" : "the sequence length of key", bound);
    return;
  }
  const Pair pair = LoadPair(arrays, call->scatter_mode, status.position, length);
  if (call->scatter_mode != MSSP_ALIBI && (pair.offset < 0 || pair.offset > length)) {
    out->Add("ValueError: compress_seq_offsets[%" PRId64 "] = %" PRId64
             ": expected -1, or between 0 and seq_lens[%" PRId64 "] = %" PRId64,
             status.position, pair.offset, batch, length);
    return;
  }
  out->Add("ValueError: compress_lens[%" PRId64 "] = %" PRId64 ": expected between 0 and seq_lens[%" PRId64 "]",
           status.position, pair.count, batch);
  if (call->scatter_mode == MSSP_ALIBI) {
    out->Add(" = %" PRId64, length);
  } else {
    out->Add(" - compress_seq_offsets[%" PRId64 "] = %" PRId64 " - %" PRId64, status.position, length, pair.offset);
  }
}

const char* NameOf(int64_t argument) {
  if (argument >= 0 && argument < MSSP_NUM_ARGUMENTS) return kArgumentNames[argument];
  if (argument == kLastStatusRegion) return "last_status";
  return argument == kStatusRegion ? "status" : "an argument";
}

void AddBadShapes(const MsspCall* call, const MsspStatus& status, Sentence* out) {
  const char* const name = NameOf(status.position);
  if (status.limit == -1) {
    out->Add("ValueError: %s overlaps %s in memory: expected storage of its own", name, NameOf(-1 - status.value));
    return;
  }
  if (call != nullptr && call->packed != 0 && status.position == kKey && status.value == call->num_tokens) {
    out->Add("ValueError: key has %" PRId64 " rows: expected sum(seq_lens) = %" PRId64, status.value, status.limit);
    return;
  }
  const MsspSide* const side = call == nullptr                  ? nullptr
                               : status.position == kKeyCache   ? &call->key
                               : status.position == kValueCache ? &call->value
                                                                : nullptr;
  if (side != nullptr && side->block_stride != 0 && status.value == side->block_stride && status.value < status.limit) {
    out->Add("ValueError: %s has blocks that overlap: got a block stride of %" PRId64
             " elements, expected at least %" PRId64,
             name, status.value, status.limit);
    return;
  }
  out->Add("ValueError: %s has a dimension that disagrees with the other arguments: got %" PRId64 ", expected %" PRId64,
           name, status.value, status.limit);
}

}  // namespace
}  // namespace mssp

extern "C" MSSP_EXPORT int64_t MsspFormatStatus(const MsspCall* call, const MsspStatus* status, char* buffer,
                                                int64_t size) {
  mssp::Sentence out(buffer, size);
  switch (status->code) {
    case MSSP_WRITTEN:
      break;
    case MSSP_NO_MEMORY:
      out.Add("%s", mssp::kNoMemory);
      break;
    case MSSP_BAD_SLOT:
      mssp::AddBadSlot(call, *status, &out);
      break;
    case MSSP_DUPLICATE:
      mssp::AddDuplicate(*status, &out);
      break;
    case MSSP_BAD_LENGTHS:
      mssp::AddBadLengths(call, *status, &out);
      break;
    case MSSP_BAD_SHAPES:
      mssp::AddBadShapes(call, *status, &out);
      break;
    default:
      out.Add("ValueError: status has the unknown code %" PRId64, status->code);
  }
  return out.length();
}
