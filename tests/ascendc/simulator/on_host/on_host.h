// What stands behind the two programs on a host: allocations, and the host model that runs the kernel on them.
#ifndef MS_SCATTER_PA_ON_HOST_H_
#define MS_SCATTER_PA_ON_HOST_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "acl/acl.h"
#include "machine.h"

struct aclTensor {
  std::vector<int64_t> dims;
  int32_t type;
  uint8_t* data;
};

namespace on_host {

struct Allocation {
  uint8_t* data;
  int64_t bytes;
};

std::vector<Allocation>& Allocations();

// Adds every tensor among the kernel's parameters. Those that come twice are the caches and what else is written in
// place; the status is the output before the first of them.
void AddRegions(host_model::Machine* machine, const std::vector<uint8_t*>& parameters);

template <typename Kernel, size_t... I>
void Launch(Kernel kernel, uint32_t block_dim, const std::vector<uint8_t*>& parameters, std::index_sequence<I...>) {
  const host_model::Rates rates = {64, 64, 100, 10, 10, 32};  // times are of no interest here
  host_model::Machine machine(192 * 1024, rates);
  AddRegions(&machine, parameters);
  host_model::SetCurrent(&machine);
  for (uint32_t core = 0; core < block_dim; ++core) {
    machine.StartCore(static_cast<int>(core));
    kernel(parameters[I]...);
    machine.CheckDeclared();
    machine.FinishCore();
  }
  host_model::SetCurrent(nullptr);
}

}  // namespace on_host

#endif  // MS_SCATTER_PA_ON_HOST_H_
