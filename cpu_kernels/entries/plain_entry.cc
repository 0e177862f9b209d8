#include "plain_entry.h"

#include "core/check.h"
#include "core/export.h"
#include "core/layout.h"
#include "core/policy.h"
#include "core/simd/cpu_features.h"
#include "core/threads.h"
#include "core/write.h"

extern "C" {

MSSP_EXPORT MsspStatus MsspScatterPaKvCache(const MsspCall* call) {
  const MsspStatus status = mssp::CheckCall(*call);
  if (status.code != MSSP_WRITTEN) return status;
  if (mssp::IsCompressed(*call)) {
    mssp::WritePairs(*call);
  } else {
    mssp::WriteTokens(*call);
  }
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
