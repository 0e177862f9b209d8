#include "plain_entry.h"

#include "core/check.h"
#include "core/export.h"
#include "core/write.h"

extern "C" {

MSSP_EXPORT MsspStatus MsspScatterPaKvCache(const MsspCall* call) {
  const MsspStatus status = mssp::CheckCall(*call);
  if (status.code == MSSP_WRITTEN) mssp::WriteCall(*call);
  return status;
}

MSSP_EXPORT int32_t MsspVersion(void) { return MSSP_INTERFACE_VERSION; }

MSSP_EXPORT const char* MsspCpuFeatures(void) { return "portable"; }

}  // extern "C"
