#include "on_host.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace on_host {

std::vector<Allocation>& Allocations() {
  static std::vector<Allocation> allocations;
  return allocations;
}

void AddRegions(host_model::Machine* machine, const std::vector<uint8_t*>& parameters) {
  size_t first_twice = parameters.size();
  const auto comes_before = [&](size_t i) {
    return std::find(parameters.begin(), parameters.begin() + static_cast<std::ptrdiff_t>(i), parameters[i]) !=
           parameters.begin() + static_cast<std::ptrdiff_t>(i);
  };
  for (size_t i = parameters.size(); i-- > 0;) {
    if (comes_before(i) && parameters[i] != nullptr) {
      first_twice = i;
    }
  }
  for (size_t i = 0; i + 2 < parameters.size(); ++i) {  // but for workspace and tiling
    if (comes_before(i)) {
      continue;
    }
    const bool written = i + 1 == first_twice || std::count(parameters.begin(), parameters.end(), parameters[i]) > 1;
    for (const Allocation& allocation : Allocations()) {
      if (allocation.data == parameters[i]) {
        machine->AddRegion("parameter " + std::to_string(i), allocation.data, allocation.bytes, written);
      }
    }
  }
}

}  // namespace on_host

int aclInit(const char*) { return 0; }
int aclFinalize() { return 0; }
int aclrtSetDevice(int32_t) { return 0; }
int aclrtResetDevice(int32_t) { return 0; }
int aclrtCreateStream(aclrtStream*) { return 0; }
int aclrtDestroyStream(aclrtStream) { return 0; }
int aclrtSynchronizeStream(aclrtStream) { return 0; }

int aclrtMalloc(void** data, size_t bytes, aclrtMemMallocPolicy) {
  *data = std::calloc(bytes, 1);
  on_host::Allocations().push_back({static_cast<uint8_t*>(*data), static_cast<int64_t>(bytes)});
  return 0;
}

int aclrtFree(void* data) {
  std::vector<on_host::Allocation>& all = on_host::Allocations();
  all.erase(std::remove_if(all.begin(), all.end(), [&](const on_host::Allocation& x) { return x.data == data; }),
            all.end());
  std::free(data);
  return 0;
}

int aclrtMemcpy(void* to, size_t most, const void* from, size_t bytes, aclrtMemcpyKind) {
  if (bytes > most) {
    return 1;
  }
  std::memcpy(to, from, bytes);
  return 0;
}

aclTensor* aclCreateTensor(const int64_t* dims, uint64_t rank, aclDataType type, const int64_t* strides, int64_t offset,
                           aclFormat format, const int64_t* storage_dims, uint64_t storage_rank, void* data) {
  int64_t stride = 1;
  bool contiguous = offset == 0 && format == ACL_FORMAT_ND && rank == storage_rank;
  for (uint64_t axis = rank; contiguous && axis-- > 0; stride *= dims[axis]) {
    contiguous = strides[axis] == stride && dims[axis] == storage_dims[axis];
  }
  return contiguous ? new aclTensor{{dims, dims + rank}, type, static_cast<uint8_t*>(data)} : nullptr;
}

int aclDestroyTensor(const aclTensor* tensor) {
  delete tensor;
  return 0;
}
