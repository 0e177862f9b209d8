// The core's sentences begin with the error's type, which is all that ops.Custom keeps; other entries throw the type.
#ifndef MS_SCATTER_PA_ERROR_TEXT_H_
#define MS_SCATTER_PA_ERROR_TEXT_H_

#include <cstring>

namespace mssp {

inline const char* WithoutType(const char* message) {
  const char* text = std::strstr(message, ": ");
  return text == nullptr ? message : text + 2;
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_ERROR_TEXT_H_
