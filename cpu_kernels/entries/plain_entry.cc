#include "plain_entry.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/export.h"
#include "core/gather_pa.h"
#include "core/indices.h"
#include "core/policy.h"
#include "core/quant_scatter_pa.h"
#include "core/simd/cpu_features.h"
#include "core/threads.h"
#include "core/write.h"

namespace {

using mssp::IndexCopies;

const void* Copy(const MsspCall& call, int argument, const void* data, IndexCopies* copies) {
  const int64_t bytes = mssp::IndexCount(call, argument) * MsspIndexSize(call.index_type);
  if (bytes == 0) return nullptr;
  return std::memcpy(copies->Take(bytes), data, static_cast<size_t>(bytes));
}

}  // namespace

extern "C" {

MSSP_EXPORT MsspStatus MsspScatterPaKvCache(const MsspCall* call) {
  MsspCall own = *call;
  MsspStatus status = mssp::CheckDescription(own);
  if (status.code != MSSP_WRITTEN) return status;
  status = mssp::CheckOverlap(own);
  if (status.code != MSSP_WRITTEN) return status;
  IndexCopies copies(mssp::IndexBytes(own));
  own.slot_mapping = Copy(own, mssp::kSlotMapping, call->slot_mapping, &copies);
  own.compress_lens = Copy(own, mssp::kCompressLens, call->compress_lens, &copies);
  own.compress_seq_offsets = Copy(own, mssp::kCompressSeqOffsets, call->compress_seq_offsets, &copies);
  own.seq_lens = Copy(own, mssp::kSeqLens, call->seq_lens, &copies);
  status = mssp::CheckValues(own);
  if (status.code == MSSP_WRITTEN) mssp::Write(own);
  return status;
}

MSSP_EXPORT MsspStatus MsspGatherPaKvCache(const MsspGatherCall* call) {
  std::vector<int64_t> starts;
  const MsspStatus status = mssp::CheckGather(*call, &starts);
  if (status.code == MSSP_WRITTEN) mssp::Gather(*call, starts);
  return status;
}

MSSP_EXPORT MsspStatus MsspQuantScatterPaKvCache(const MsspQuantCall* call) {
  const MsspStatus status = mssp::CheckQuant(*call);
  if (status.code == MSSP_WRITTEN) mssp::WriteQuantised(*call);
  return status;
}

MSSP_EXPORT int32_t MsspVersion(void) { return MSSP_INTERFACE_VERSION; }

MSSP_EXPORT const char* MsspCpuFeatures(void) { return mssp::ActiveKernels().name; }

MSSP_EXPORT int32_t MsspSetCpuFeatures(const char* name) { return mssp::SelectKernels(name) ? 1 : 0; }

MSSP_EXPORT void MsspSetNumThreads(int32_t num_threads) { mssp::SetNumThreads(num_threads); }

MSSP_EXPORT int32_t MsspGetNumThreads(void) { return mssp::DefaultNumThreads(); }

MSSP_EXPORT void MsspSetThresholds(int64_t stream_cache_bytes, int64_t bytes_per_thread) {
  mssp::SetThresholds(stream_cache_bytes, bytes_per_thread);
}

}  // extern "C"
