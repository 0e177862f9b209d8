// The sentence for a bad status; every entry raises with it.
#ifndef MS_SCATTER_PA_CORE_MESSAGE_H_
#define MS_SCATTER_PA_CORE_MESSAGE_H_

#include <stdint.h>

#include "scatter_pa.h"

#ifdef __cplusplus
extern "C" {
#endif

// Writes into `buffer` (at most `size` bytes, always terminated when size > 0) a sentence that begins with the name of
// the Python exception type, names the argument, what was given and what was expected: "IndexError: slot_mapping[3] =
// 70 is outside ...". `call` may be NULL: the sentence then says what the status alone knows. A status of MSSP_WRITTEN
// gives an empty string. Returns the length of the whole sentence without its terminator.
int64_t MsspFormatStatus(const MsspCall* call, const MsspStatus* status, char* buffer, int64_t size);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_CORE_MESSAGE_H_
