#include "plain_entry.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/export.h"
#include "core/gather_pa.h"
#include "core/indices.h"
#include "core/no_memory.h"
#include "core/policy.h"
#include "core/quant_scatter_pa.h"
#include "core/scaling.h"
#include "core/simd/cpu_features.h"
#include "core/simd/partial_stores.h"
#include "core/threads.h"
#include "core/write.h"

namespace {

using mssp::IndexCopies;

const void* Copy(const void* data, int64_t bytes, IndexCopies* copies) {
  if (bytes == 0) return nullptr;
  return std::memcpy(copies->Take(bytes), data, static_cast<size_t>(bytes));
}

const void* Copy(const MsspCall& call, int argument, const void* data, IndexCopies* copies) {
  return Copy(data, mssp::IndexCount(call, argument) * MsspIndexSize(call.index_type), copies);
}

// Scales whose values are checked are copied as indices are.
int64_t ScaleBytes(const mssp::PagedShape& shape, const MsspPagedSide& side) {
  if (side.rows == nullptr || side.scaling.kind != MSSP_STATIC) return 0;
  return mssp::NumScales(shape, side) * int64_t{sizeof(float)} * (side.scaling.offset == nullptr ? 1 : 2);
}

template <typename Call>
int64_t ScaleBytes(const mssp::PagedShape& shape, const Call& call) {
  return ScaleBytes(shape, call.key) + ScaleBytes(shape, call.value);
}

template <typename Call>
void UseOwnScales(const mssp::PagedShape& shape, Call* call, IndexCopies* copies) {
  for (MsspPagedSide* const side : {&call->key, &call->value}) {
    if (ScaleBytes(shape, *side) == 0) continue;
    const int64_t bytes = mssp::NumScales(shape, *side) * int64_t{sizeof(float)};
    MsspScaling* const scaling = &side->scaling;
    scaling->scale = Copy(scaling->scale, bytes, copies);
    if (scaling->offset != nullptr) scaling->offset = Copy(scaling->offset, bytes, copies);
  }
}

constexpr MsspStatus kNoCall = {MSSP_BAD_SHAPES, 0, 0, 1};

MsspStatus Scatter(const MsspCall* call) {
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

MsspStatus GatherRows(const MsspGatherCall* call) {
  MsspGatherCall own = *call;
  MsspStatus status = mssp::CheckGatherDescription(own);
  if (status.code == MSSP_WRITTEN) status = mssp::CheckGatherOverlap(own);
  if (status.code != MSSP_WRITTEN) return status;
  const int64_t index_size = MsspIndexSize(own.index_type);
  const int64_t entries = own.batch * own.table_width * index_size;
  const int64_t lengths = mssp::LengthCount(own) * index_size;
  const int64_t offsets = own.seq_offset == nullptr ? 0 : own.batch * index_size;
  const mssp::PagedShape shape = mssp::ShapeOf(own);
  IndexCopies copies(entries + lengths + offsets + ScaleBytes(shape, own));
  own.block_tables = Copy(own.block_tables, entries, &copies);
  own.seq_lens = Copy(own.seq_lens, lengths, &copies);
  own.seq_offset = Copy(own.seq_offset, offsets, &copies);
  UseOwnScales(shape, &own, &copies);
  std::vector<int64_t> starts;
  status = mssp::CheckGatherValues(own, &starts);
  if (status.code == MSSP_WRITTEN) mssp::Gather(own, starts);
  return status;
}

MsspStatus QuantScatter(const MsspQuantCall* call) {
  MsspQuantCall own = *call;
  MsspStatus status = mssp::CheckQuantDescription(own);
  if (status.code == MSSP_WRITTEN) status = mssp::CheckQuantOverlap(own);
  if (status.code != MSSP_WRITTEN) return status;
  const int64_t slots = own.num_tokens * MsspIndexSize(own.index_type);
  const mssp::PagedShape shape = mssp::ShapeOf(own);
  IndexCopies copies(slots + ScaleBytes(shape, own));
  own.slot_mapping = Copy(own.slot_mapping, slots, &copies);
  UseOwnScales(shape, &own, &copies);
  status = mssp::CheckQuantValues(own);
  if (status.code == MSSP_WRITTEN) mssp::WriteQuantised(own);
  return status;
}

}  // namespace

extern "C" {

MSSP_EXPORT MsspStatus MsspScatterPaKvCache(const MsspCall* call) {
  return call == nullptr ? kNoCall : mssp::WithoutExceptions([call] { return Scatter(call); });
}

MSSP_EXPORT MsspStatus MsspGatherPaKvCache(const MsspGatherCall* call) {
  return call == nullptr ? kNoCall : mssp::WithoutExceptions([call] { return GatherRows(call); });
}

MSSP_EXPORT MsspStatus MsspQuantScatterPaKvCache(const MsspQuantCall* call) {
  return call == nullptr ? kNoCall : mssp::WithoutExceptions([call] { return QuantScatter(call); });
}

MSSP_EXPORT int32_t MsspVersion(void) { return MSSP_INTERFACE_VERSION; }

MSSP_EXPORT const char* MsspCpuFeatures(void) { return mssp::ActiveKernels().name; }

MSSP_EXPORT int32_t MsspSetCpuFeatures(const char* name) { return mssp::SelectKernels(name) ? 1 : 0; }

MSSP_EXPORT void MsspSetNumThreads(int32_t num_threads) { mssp::SetNumThreads(num_threads); }

MSSP_EXPORT int32_t MsspGetNumThreads(void) { return mssp::DefaultNumThreads(); }

MSSP_EXPORT void MsspSetThresholds(int64_t stream_cache_bytes, int64_t bytes_per_thread) {
  mssp::SetThresholds(stream_cache_bytes, bytes_per_thread);
}

MSSP_EXPORT int32_t MsspPartialStores(void) {
  mssp::DecidePartialStores();
  return mssp::StreamsPartialLines() ? 1 : 0;
}

MSSP_EXPORT void MsspSetPartialStores(int32_t streamed) { mssp::SetPartialStores(streamed); }

MSSP_EXPORT void MsspMeasurePartialStores(double* ordinary, double* streamed) {
  const mssp::PartialStoreTimes times = mssp::MeasurePartialStores();
  *ordinary = times.ordinary;
  *streamed = times.streamed;
}

}  // extern "C"
