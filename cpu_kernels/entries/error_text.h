// The core's sentences begin with the error's type, which is all that ops.Custom keeps; other entries throw the type.
#ifndef MS_SCATTER_PA_ERROR_TEXT_H_
#define MS_SCATTER_PA_ERROR_TEXT_H_

#include <cstdio>
#include <cstring>
#include <new>

namespace mssp {

inline const char* WithoutType(const char* message) {
  const char* text = std::strstr(message, ": ");
  return text == nullptr ? message : text + 2;
}

// What pybind11 makes a MemoryError of, with a text; it asks for no memory itself.
class NoMemory : public std::bad_alloc {
 public:
  explicit NoMemory(const char* text) { std::snprintf(text_, sizeof(text_), "%s", text); }
  const char* what() const noexcept override { return text_; }

 private:
  char text_[256];
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_ERROR_TEXT_H_
