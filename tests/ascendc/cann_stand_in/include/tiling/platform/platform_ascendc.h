#ifndef MS_SCATTER_PA_STAND_IN_PLATFORM_ASCENDC_H_
#define MS_SCATTER_PA_STAND_IN_PLATFORM_ASCENDC_H_

#include "exe_graph/runtime/tiling_context.h"

namespace platform_ascendc {

enum class CoreMemType { L0_A = 0, L0_B = 1, L0_C = 2, L1 = 3, L2 = 4, UB = 5, HBM = 6 };

class PlatformAscendC {
 public:
  explicit PlatformAscendC(fe::PlatFormInfos* platform) : platform_(platform) {}
  uint32_t GetCoreNumAiv() const { return platform_->vector_cores; }
  uint32_t GetCoreNumAic() const { return platform_->cube_cores; }
  uint32_t GetCoreNum() const { return platform_->cube_cores; }
  void GetCoreMemSize(const CoreMemType& type, uint64_t& size) const {
    size = type == CoreMemType::UB ? platform_->unified_buffer_bytes : 512 * 1024;
  }

 private:
  fe::PlatFormInfos* platform_;
};

}  // namespace platform_ascendc

#endif  // MS_SCATTER_PA_STAND_IN_PLATFORM_ASCENDC_H_
