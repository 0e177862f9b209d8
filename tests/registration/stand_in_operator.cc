// Stands in for the Ascend operator where there is no NPU: the same nine inputs and the same status lines, on the CPU's
// core. Bad rows are skipped and the others written, as the vector cores do; the codes go to the lines of their position.
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "call.h"
#include "core/arguments.h"

namespace {

constexpr int kMode = MSSP_NUM_ARGUMENTS;
constexpr int kStatus = kMode + 1;
constexpr int kParameters = kStatus + 1;
constexpr int64_t kLines = 64;

int64_t ElementTypeOf(const std::string &name) {
  const char *names[] = {"float16", "float32", "bfloat16", "int8", "uint8", "int16", "uint16", "int32", "uint32"};
  for (int64_t code = 0; code < 9; ++code) {
    if (name == names[code]) {
      return code;
    }
  }
  throw std::runtime_error("stand-in: dtype " + name);
}

int64_t Count(const int64_t *shape, int ndim) {
  int64_t count = 1;
  for (int i = 0; i < ndim; ++i) {
    count *= shape[i];
  }
  return count;
}

void Expect(bool condition, const char *text) {
  if (!condition) {
    throw std::runtime_error(std::string("stand-in: ") + text);
  }
}

}  // namespace

extern "C" int MsScatterPaKvCache(int nparam, void **params, int *ndims, int64_t **shapes, const char **dtypes,
                                  void * /*stream*/, void * /*extra*/) {
  Expect(nparam == kParameters, "expected nine inputs and one output");
  Expect(ndims[kMode] == 4 && std::string(dtypes[kMode]) == "uint8", "mode: expected uint8 with four dimensions");
  Expect(ndims[kStatus] == 2 && shapes[kStatus][0] == kLines, "status: expected [64, 4]");
  MsspOptions options = {};
  options.layout = shapes[kMode][0] - 1;
  options.scatter_mode = shapes[kMode][1] - 1;
  options.key_only = shapes[kMode][2] - 1;
  options.packed = shapes[kMode][3] - 1;
  options.record = 1;
  options.key_type = ElementTypeOf(dtypes[mssp::kKey]);
  options.value_type = ElementTypeOf(dtypes[mssp::kValue]);
  options.index_type = std::string(dtypes[mssp::kSlotMapping]) == "int64" ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32;
  const bool compressed = options.scatter_mode != MSSP_NONE;
  Expect(ndims[mssp::kKey] == (compressed && options.packed == 0 ? 4 : 3), "key: the operator takes no flattened rows");

  MsspTensor tensors[MSSP_NUM_ARGUMENTS];
  for (int i = 0; i < MSSP_NUM_ARGUMENTS; ++i) {
    tensors[i] = {params[i], shapes[i], nullptr, ndims[i]};
  }
  const int64_t item = options.index_type == MSSP_INDEX_INT64 ? 8 : 4;
  std::vector<char> slots(static_cast<size_t>(Count(shapes[mssp::kSlotMapping], ndims[mssp::kSlotMapping]) * item));
  std::memcpy(slots.data(), params[mssp::kSlotMapping], slots.size());
  tensors[mssp::kSlotMapping].data = slots.data();

  auto *lines = static_cast<int64_t *>(params[kStatus]);
  std::memset(lines, 0, kLines * MSSP_STATUS_SIZE * sizeof(int64_t));
  char message[256];
  int64_t status[MSSP_STATUS_SIZE];
  for (;;) {
    const MsspStatus found = MsspRun(tensors, &options, status, nullptr, message, sizeof(message));
    if (found.code == MSSP_WRITTEN) {
      return 0;
    }
    Expect(found.code == MSSP_BAD_SLOT || found.code == MSSP_BAD_LENGTHS, message);
    // From the last line backwards, so that the lowest position is not simply the first line.
    int64_t *line = lines + (kLines - 1 - found.position % kLines) * MSSP_STATUS_SIZE;
    if (line[0] == 0) {
      std::memcpy(line, status, sizeof(status));
    }
    std::memset(slots.data() + found.position * item, 0xff, static_cast<size_t>(item));  // -1: skipped
  }
}
