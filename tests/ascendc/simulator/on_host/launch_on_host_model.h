// `kernel<<<blocks, nullptr, stream>>>(...)` on the host model.
#ifndef MS_SCATTER_PA_LAUNCH_ON_HOST_MODEL_H_
#define MS_SCATTER_PA_LAUNCH_ON_HOST_MODEL_H_

#include <stdexcept>

#include "acl/acl.h"
#include "machine.h"

template <typename Kernel, typename... Arguments>
void Launch(Kernel kernel, uint32_t block_dim, aclrtStream, Arguments... arguments) {
  const twin::Rates rates = {64, 64, 100, 10, 10, 32};  // times are of no interest here
  twin::Machine machine(192 * 1024, rates);
  int count = 0;
  const HostAllocation* memory = HostAllocations(&count);
  for (int i = 0; i < count; ++i) {
    // Rows and index arrays are read, caches and statuses are written: two views of one place would be an error.
    machine.AddRegion("allocation " + std::to_string(i), memory[i].data, memory[i].bytes, IsWritten(i));
  }
  twin::SetCurrent(&machine);
  for (uint32_t core = 0; core < block_dim; ++core) {
    machine.StartCore(static_cast<int>(core));
    kernel(arguments...);
    machine.CheckDeclared();
    machine.FinishCore();
  }
  twin::SetCurrent(nullptr);
}

#endif  // MS_SCATTER_PA_LAUNCH_ON_HOST_MODEL_H_
