#include "write.h"

#include "layout.h"

namespace mssp {

void Write(const MsspCall& call) {
  if (Capacity(call) == 0 || NumRows(call) == 0) return;  // nothing but skipped slots, or nothing to write
  if (IsCompressed(call)) {
    WritePairs(call);
  } else {
    WriteTokens(call);
  }
}

}  // namespace mssp
