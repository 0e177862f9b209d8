// The runtime and aclnn functions that the two programs call, on a host: memory is memory, and streams run at once.
#ifndef MS_SCATTER_PA_ON_HOST_ACL_H_
#define MS_SCATTER_PA_ON_HOST_ACL_H_

#include <cstddef>
#include <cstdint>

#include "aclnn/acl_meta.h"

enum aclrtMemcpyKind { ACL_MEMCPY_HOST_TO_DEVICE = 1, ACL_MEMCPY_DEVICE_TO_HOST = 2 };
enum aclrtMemMallocPolicy { ACL_MEM_MALLOC_HUGE_FIRST };
enum aclFormat { ACL_FORMAT_ND = 2 };

int aclInit(const char* configuration);
int aclFinalize();
int aclrtSetDevice(int32_t device);
int aclrtResetDevice(int32_t device);
int aclrtCreateStream(aclrtStream* stream);
int aclrtDestroyStream(aclrtStream stream);
int aclrtSynchronizeStream(aclrtStream stream);
int aclrtMalloc(void** data, size_t bytes, aclrtMemMallocPolicy policy);
int aclrtFree(void* data);
int aclrtMemcpy(void* to, size_t most, const void* from, size_t bytes, aclrtMemcpyKind kind);
aclTensor* aclCreateTensor(const int64_t* dims, uint64_t rank, aclDataType type, const int64_t* strides, int64_t offset,
                           aclFormat format, const int64_t* storage_dims, uint64_t storage_rank, void* data);
int aclDestroyTensor(const aclTensor* tensor);

#endif  // MS_SCATTER_PA_ON_HOST_ACL_H_
