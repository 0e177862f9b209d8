// What the attention operators check alike.
#ifndef MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
#define MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_

#include <cstdint>

#include "arguments.h"

namespace mssp {
namespace compat {

// The number of heads that argument i names, at least 1.
inline int64_t HeadCount(const Arguments& call, int i) {
  const int64_t heads = call.Int(i);
  if (heads < 1) call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, std::to_string(heads), "a number >= 1");
  return heads;
}

// The size of one of `heads` equal parts of `width`.
inline int64_t PartOf(const Arguments& call, int i, int64_t width, int64_t heads) {
  if (width % heads != 0) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(call.In(i)),
                "a last dimension that is a multiple of " + std::to_string(heads) + " heads");
  }
  return width / heads;
}

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_ATTENTION_ARGUMENTS_H_
