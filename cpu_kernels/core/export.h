// Symbols that leave the library.
#ifndef MS_SCATTER_PA_CORE_EXPORT_H_
#define MS_SCATTER_PA_CORE_EXPORT_H_

#define MSSP_EXPORT __attribute__((visibility("default")))

#endif  // MS_SCATTER_PA_CORE_EXPORT_H_
