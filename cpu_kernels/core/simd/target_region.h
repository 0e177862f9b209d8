// What lies between the two macros may use an instruction set that the rest of the library must not: functions, members
// and templates that are defined there. Include every header that others share before it: a function of theirs that was
// compiled for the set could be the copy that the linker keeps for all.
#ifndef MS_SCATTER_PA_CORE_SIMD_TARGET_REGION_H_
#define MS_SCATTER_PA_CORE_SIMD_TARGET_REGION_H_

#define MSSP_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define MSSP_BEGIN_TARGET(features) \
  MSSP_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define MSSP_END_TARGET MSSP_PRAGMA(clang attribute pop)
#else
#define MSSP_BEGIN_TARGET(features) MSSP_PRAGMA(GCC push_options) MSSP_PRAGMA(GCC target(features))
#define MSSP_END_TARGET MSSP_PRAGMA(GCC pop_options)
#endif

#endif  // MS_SCATTER_PA_CORE_SIMD_TARGET_REGION_H_
