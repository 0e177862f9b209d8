// The little of CANN's acl_base.h that MindSpore's generated callback names.
#ifndef STAND_IN_ACL_BASE_H_
#define STAND_IN_ACL_BASE_H_

#include <cstddef>
#include <cstdint>

typedef int aclError;
typedef int32_t aclDataType;
typedef void* aclrtStream;

#endif  // STAND_IN_ACL_BASE_H_
