// The cases that cases.py writes: buffers, which of them each parameter is, tiling, and the bytes that must come out.
#ifndef MS_SCATTER_PA_CASE_FILE_H_
#define MS_SCATTER_PA_CASE_FILE_H_

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace ascend_sim {

struct Buffer {
  std::string name;
  int32_t ge_type;  // ge::DataType, which is aclDataType too
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;
  std::vector<uint8_t> expected;  // empty: an input, which nobody looks at afterwards
};

struct Case {
  std::string name;
  uint32_t block_dim;
  std::vector<uint8_t> tiling;
  std::vector<Buffer> buffers;      // inputs in their order, then the status
  std::vector<int32_t> parameters;  // of the kernel before workspace and tiling: numbers of buffers
};

class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path, std::ios::binary), path_(path) {
    if (!file_) {
      throw std::runtime_error(path + ": cannot be read");
    }
  }
  int64_t Number() {
    int64_t value = 0;
    Read(&value, sizeof(value));
    return value;
  }
  std::vector<uint8_t> Bytes() {
    const int64_t length = Number();
    if (length < 0 || length > (int64_t{1} << 32)) {
      throw std::runtime_error(path_ + ": not a file of cases");
    }
    std::vector<uint8_t> bytes(static_cast<size_t>(length));
    Read(bytes.data(), bytes.size());
    return bytes;
  }
  std::string Text() {
    const std::vector<uint8_t> bytes = Bytes();
    return std::string(bytes.begin(), bytes.end());
  }

 private:
  void Read(void* to, size_t length) {
    if (!file_.read(static_cast<char*>(to), static_cast<std::streamsize>(length))) {
      throw std::runtime_error(path_ + ": ends too early");
    }
  }

  std::ifstream file_;
  std::string path_;
};

inline Case ReadCase(const std::string& path) {
  Reader reader(path);
  Case result;
  result.name = reader.Text();
  result.block_dim = static_cast<uint32_t>(reader.Number());
  result.tiling = reader.Bytes();
  const int64_t buffers = reader.Number();
  for (int64_t i = 0; i < buffers; ++i) {
    Buffer buffer;
    buffer.name = reader.Text();
    buffer.ge_type = static_cast<int32_t>(reader.Number());
    const int64_t rank = reader.Number();
    for (int64_t axis = 0; axis < rank; ++axis) {
      buffer.dims.push_back(reader.Number());
    }
    buffer.bytes = reader.Bytes();
    buffer.expected = reader.Bytes();
    result.buffers.push_back(buffer);
  }
  const int64_t parameters = reader.Number();
  for (int64_t i = 0; i < parameters; ++i) {
    result.parameters.push_back(static_cast<int32_t>(reader.Number()));
  }
  return result;
}

// Says which byte differs first; true when none does.
inline bool Compare(const Case& the_case, const Buffer& buffer, const std::vector<uint8_t>& got) {
  for (size_t i = 0; i < buffer.expected.size(); ++i) {
    if (got[i] != buffer.expected[i]) {
      std::printf("%s: %s differs at byte %zu: %u, expected %u\n", the_case.name.c_str(), buffer.name.c_str(), i,
                  static_cast<unsigned>(got[i]), static_cast<unsigned>(buffer.expected[i]));
      return false;
    }
  }
  return true;
}

// Runs `run` on every file; the process's exit code.
template <typename Run>
int RunAll(int count, char** paths, Run run) {
  int failed = 0;
  try {
    for (int i = 1; i < count; ++i) {
      const Case the_case = ReadCase(paths[i]);
      const bool good = run(the_case);
      std::printf("%s %s\n", good ? "ok    " : "FAILED", the_case.name.c_str());
      failed += good ? 0 : 1;
    }
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 2;
  }
  std::printf("%d of %d cases are bit-exact\n", count - 1 - failed, count - 1);
  return failed == 0 && count > 1 ? 0 : 1;
}

}  // namespace ascend_sim

#endif  // MS_SCATTER_PA_CASE_FILE_H_
