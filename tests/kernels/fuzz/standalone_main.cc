// Runs the harness without a fuzzing engine: every file named, then `--random N` inputs of a fixed sequence.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  long files = 0, inputs = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--random") == 0 && i + 1 < argc) {
      inputs = std::strtol(argv[++i], nullptr, 10);
      continue;
    }
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 1;
    }
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++files;
  }
  uint64_t state = 1;
  std::vector<uint8_t> input;
  for (long n = 0; n < inputs; ++n) {
    input.resize(32 + n % 200);
    for (uint8_t& byte : input) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      byte = static_cast<uint8_t>(state >> 32);
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%ld files, %ld random inputs\n", files, inputs);
  return 0;
}
