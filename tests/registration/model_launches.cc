// For tests that count.
#include "model_call.h"

#define MODEL_API extern "C" __attribute__((visibility("default")))

MODEL_API int64_t ModelAllocations() { return on_model::allocations; }
MODEL_API int64_t ModelLaunches() { return on_model::launches; }
MODEL_API int64_t ModelStridedLaunches() { return on_model::strided_launches; }
MODEL_API int64_t ModelAddress(int64_t index) { return on_model::addresses.at(static_cast<size_t>(index)); }
