// What changed its name between the MindSpore releases that the extension compiles against.
// MSSP_MINDSPORE is major * 10000 + minor * 100 + patch of the installed one.
#ifndef MS_SCATTER_PA_MINDSPORE_COMPAT_H_
#define MS_SCATTER_PA_MINDSPORE_COMPAT_H_

#include <cstddef>
#include <memory>

#include "ms_extension/api.h"

namespace mssp {

inline mindspore::tensor::TensorPtr TensorOfBytes(mindspore::TypeId type, const ShapeVector& shape, void* data,
                                                  size_t size) {
#if MSSP_MINDSPORE >= 20701
  return mindspore::tensor::from_buffer(type, shape, data, size);
#else
  return std::make_shared<mindspore::tensor::Tensor>(type, shape, data, size);
#endif
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_MINDSPORE_COMPAT_H_
