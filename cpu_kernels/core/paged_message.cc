// The sentences for a bad status of the gather and of the quantising write.
#include <cinttypes>
#include <cstdint>

#include "export.h"
#include "indices.h"
#include "op_info.h"
#include "paged_call.h"
#include "sentence.h"
#include "small_float.h"

namespace mssp {
namespace {

struct Names {
  const char* const* names;
  int count;

  const char* operator()(int64_t position) const {
    if (position == count || position == count + 1) return position == count ? "last_status" : "status";
    return position >= 0 && position < count ? names[position] : "an argument";
  }
};

constexpr Names kGatherNames = {gather::kArgumentNames, MSSP_GATHER_NUM_ARGUMENTS};
constexpr Names kQuantNames = {quant::kArgumentNames, MSSP_QUANT_NUM_ARGUMENTS};

void AddShared(const MsspStatus& status, const Names& names, Sentence* out) {
  const double value = BitsFloat(static_cast<uint32_t>(status.value));
  switch (status.code) {
    case MSSP_BAD_SHAPES:
      if (status.limit == -1) {
        out->Add("ValueError: %s overlaps %s in memory: expected storage of its own", names(status.position),
                 names(-1 - status.value));
        return;
      }
      out->Add("ValueError: %s has a dimension that disagrees with the other arguments: got %" PRId64
               ", expected %" PRId64,
               names(status.position), status.value, status.limit);
      return;
    case MSSP_BAD_SCALE:
      out->Add("ValueError: %s[%" PRId64 "] = %g (flat index): expected a positive, finite scale", names(status.limit),
               status.position, value);
      return;
    case MSSP_BAD_OFFSET:
      out->Add("ValueError: %s[%" PRId64 "] = %g (flat index): expected a finite offset", names(status.limit),
               status.position, value);
      return;
    default:
      out->Add("ValueError: status has the unknown code %" PRId64, status.code);
  }
}

void AddGatherLengths(const MsspGatherCall* call, const MsspStatus& status, Sentence* out) {
  out->Add("ValueError: seq_lens[%" PRId64 "]: given %" PRId64, status.position, status.value);
  if (call == nullptr) {
    out->Add(", limit %" PRId64, status.limit);
    return;
  }
  const bool sums = call->is_seq_lens_cumsum != 0;
  if (sums && status.position == 0) {
    out->Add(", expected 0, where sums of lengths begin");
  } else if (status.value < 0) {
    out->Add(", expected a length of at least 0");
  } else if (status.limit == call->num_tokens && status.value < status.limit) {
    out->Add(sums ? ", expected sums that do not fall and end with the %" PRId64 " rows of key"
                  : " rows in all, expected the %" PRId64 " of key",
             call->num_tokens);
  } else if (status.value > status.limit && status.limit % (call->block_size > 0 ? call->block_size : 1) == 0 &&
             status.value <= call->num_tokens) {
    out->Add(", expected at most %" PRId64 ", which the rest of its row of block_tables holds", status.limit);
  } else {
    out->Add(", expected at most %" PRId64 ", since key has %" PRId64 " rows", status.limit, call->num_tokens);
  }
}

}  // namespace
}  // namespace mssp

extern "C" MSSP_EXPORT int64_t MsspFormatGatherStatus(const MsspGatherCall* call, const MsspStatus* status,
                                                      char* buffer, int64_t size) {
  mssp::Sentence out(buffer, size);
  switch (status->code) {
    case MSSP_WRITTEN:
      break;
    case MSSP_NO_MEMORY:
      out.Add("%s", mssp::kNoMemory);
      break;
    case MSSP_BAD_SLOT:
      if (call != nullptr && call->table_width > 0) {
        out.Add("IndexError: block_tables[%" PRId64 ", %" PRId64 "]", status->position / call->table_width,
                status->position % call->table_width);
      } else {
        out.Add("IndexError: block_tables[%" PRId64 "] (flat index)", status->position);
      }
      out.Add(" = %" PRId64, status->value);
      if (status->limit > 0) {
        out.Add(": expected a block between 0 and num_blocks - 1 = %" PRId64, status->limit - 1);
      } else {
        out.Add(", and the cache has no blocks: expected lengths of 0");
      }
      break;
    case MSSP_BAD_LENGTHS:
      mssp::AddGatherLengths(call, *status, &out);
      break;
    case MSSP_BAD_OFFSET:
      if (status->limit == mssp::gather::kSeqOffset) {
        out.Add("ValueError: seq_offset[%" PRId64 "] = %" PRId64 ": expected a multiple of block_size, at least 0",
                status->position, status->value);
        break;
      }
      [[fallthrough]];
    default:
      mssp::AddShared(*status, mssp::kGatherNames, &out);
  }
  return out.length();
}

extern "C" MSSP_EXPORT int64_t MsspFormatQuantStatus(const MsspQuantCall* /*call*/, const MsspStatus* status,
                                                     char* buffer, int64_t size) {
  mssp::Sentence out(buffer, size);
  switch (status->code) {
    case MSSP_WRITTEN:
      break;
    case MSSP_NO_MEMORY:
      out.Add("%s", mssp::kNoMemory);
      break;
    case MSSP_BAD_SLOT:
      out.Add("IndexError: slot_mapping[%" PRId64 "] = %" PRId64, status->position, status->value);
      mssp::AddOutside(status->limit, &out);
      break;
    case MSSP_DUPLICATE:
      out.Add("ValueError: slot_mapping[%" PRId64 "] and slot_mapping[%" PRId64 "] both write slot %" PRId64
              ": expected every slot at most once",
              status->limit, status->position, status->value);
      break;
    default:
      mssp::AddShared(*status, mssp::kQuantNames, &out);
  }
  return out.length();
}
