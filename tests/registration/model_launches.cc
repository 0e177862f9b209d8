#include "model_call.h"

// For tests that count.
extern "C" __attribute__((visibility("default"))) int64_t ModelAllocations() { return on_model::allocations; }
extern "C" __attribute__((visibility("default"))) int64_t ModelLaunches() { return on_model::launches; }
