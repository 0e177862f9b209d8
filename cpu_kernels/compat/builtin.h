// MindSpore's built-in operators over raw pointers, without MindSpore: what the entries and the tests call.
#ifndef MS_SCATTER_PA_COMPAT_BUILTIN_H_
#define MS_SCATTER_PA_COMPAT_BUILTIN_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum MsspBuiltinType {
  MSSP_BUILTIN_NONE = 0,  // the argument is None
  MSSP_BUILTIN_FLOAT32 = 1,
  MSSP_BUILTIN_FLOAT16 = 2,
  MSSP_BUILTIN_BFLOAT16 = 3,
  MSSP_BUILTIN_FLOAT64 = 4,
  MSSP_BUILTIN_BOOL = 5,
  MSSP_BUILTIN_INT8 = 6,
  MSSP_BUILTIN_UINT8 = 7,
  MSSP_BUILTIN_INT16 = 8,
  MSSP_BUILTIN_UINT16 = 9,
  MSSP_BUILTIN_INT32 = 10,
  MSSP_BUILTIN_UINT32 = 11,
  MSSP_BUILTIN_INT64 = 12,
  MSSP_BUILTIN_UINT64 = 13,
  MSSP_BUILTIN_COMPLEX64 = 14,  // this and what follows no kernel here takes
  MSSP_BUILTIN_COMPLEX128 = 15,
  MSSP_BUILTIN_OTHER = 16,
} MsspBuiltinType;

// A contiguous tensor, or a number (rank 0) or a tuple of numbers (rank 1) in the operator's order of arguments.
typedef struct MsspBuiltinTensor {
  void* data;
  const int64_t* shape;
  int32_t rank;
  int32_t type;
} MsspBuiltinTensor;

typedef enum MsspBuiltinError {
  MSSP_BUILTIN_OK = 0,
  MSSP_BUILTIN_TYPE_ERROR = 1,
  MSSP_BUILTIN_VALUE_ERROR = 2,
  MSSP_BUILTIN_INDEX_ERROR = 3,
  MSSP_BUILTIN_MEMORY_ERROR = 4,
} MsspBuiltinError;

// Runs the operator of that name. When it refuses, nothing is written but `message`, a sentence with the argument's
// name. Outputs lie apart from inputs, except that MoveTo's and the caches' readers may share.
int32_t MsspBuiltinRun(const char* name, const MsspBuiltinTensor* inputs, int32_t num_inputs,
                       const MsspBuiltinTensor* outputs, int32_t num_outputs, char* message, int64_t message_size);

// The i-th operator's name, or NULL past the last.
const char* MsspBuiltinName(int32_t index);

// A row-major sgemm with oneDNN's signature (dnnl_sgemm), which runs on the calling thread, for blocks of attention
// scores; NULL goes back to the kernels here.
typedef int (*MsspSgemm)(char transa, char transb, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                         int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
void MsspBuiltinSetSgemm(MsspSgemm sgemm);

#ifdef __cplusplus
}
#endif

#endif  // MS_SCATTER_PA_COMPAT_BUILTIN_H_
