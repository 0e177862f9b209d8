// Compares dimensions of a call's tensors and remembers the first that disagrees.
#ifndef MS_SCATTER_PA_ENTRIES_COMPARISON_H_
#define MS_SCATTER_PA_ENTRIES_COMPARISON_H_

#include <cstdint>

#include "core/scatter_pa.h"

namespace mssp {

class Comparison {
 public:
  void Expect(int64_t argument, int64_t given, int64_t expected) {
    if (given != expected && ok()) status_ = {MSSP_BAD_SHAPES, argument, given, expected};
  }
  bool ok() const { return status_.code == MSSP_WRITTEN; }
  const MsspStatus& status() const { return status_; }

 private:
  MsspStatus status_{MSSP_WRITTEN, 0, 0, 0};
};

}  // namespace mssp

#endif  // MS_SCATTER_PA_ENTRIES_COMPARISON_H_
