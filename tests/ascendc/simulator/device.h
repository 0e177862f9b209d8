// Device memory with its errors, for both programs.
#ifndef MS_SCATTER_PA_DEVICE_H_
#define MS_SCATTER_PA_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "acl/acl.h"

namespace ascend_sim {

inline void Check(int code, const char* what) {
  if (code != 0) {
    throw std::runtime_error(std::string(what) + " failed with code " + std::to_string(code));
  }
}

class Device {
 public:
  Device() {
    Check(aclInit(nullptr), "aclInit");
    Check(aclrtSetDevice(0), "aclrtSetDevice");
    Check(aclrtCreateStream(&stream_), "aclrtCreateStream");
  }
  ~Device() {
    (void)aclrtDestroyStream(stream_);
    (void)aclrtResetDevice(0);
    (void)aclFinalize();
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  aclrtStream stream() const { return stream_; }

 private:
  aclrtStream stream_ = nullptr;
};

// One tensor's memory; a placeholder of at least 32 bytes where it is empty.
class DeviceMemory {
 public:
  explicit DeviceMemory(const std::vector<uint8_t>& bytes) : size_(bytes.size()) {
    Check(aclrtMalloc(&data_, size_ > 0 ? size_ : 32, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    if (size_ > 0) {
      Check(aclrtMemcpy(data_, size_, bytes.data(), size_, ACL_MEMCPY_HOST_TO_DEVICE), "aclrtMemcpy to the device");
    }
  }
  ~DeviceMemory() { (void)aclrtFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  void* data() const { return data_; }
  std::vector<uint8_t> Read() const {
    std::vector<uint8_t> bytes(size_);
    if (size_ > 0) {
      Check(aclrtMemcpy(bytes.data(), size_, data_, size_, ACL_MEMCPY_DEVICE_TO_HOST), "aclrtMemcpy to the host");
    }
    return bytes;
  }

 private:
  void* data_ = nullptr;
  size_t size_;
};

}  // namespace ascend_sim

#endif  // MS_SCATTER_PA_DEVICE_H_
