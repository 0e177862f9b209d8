// Included before everything else: stores past the caches become ordinary ones that are written down.
#ifndef MS_SCATTER_PA_TESTS_KERNELS_RECORDED_STORES_H_
#define MS_SCATTER_PA_TESTS_KERNELS_RECORDED_STORES_H_

#if defined(__x86_64__)

#include <immintrin.h>

extern "C" void MsspTestRecordStore(const void* to, int bytes);

#define _mm_stream_si128(to, x) (MsspTestRecordStore(to, 16), _mm_storeu_si128(to, x))
#define _mm256_stream_si256(to, x) (MsspTestRecordStore(to, 32), _mm256_storeu_si256(to, x))
#define _mm512_stream_si512(to, x) (MsspTestRecordStore(to, 64), _mm512_storeu_si512(to, x))

#endif

#endif  // MS_SCATTER_PA_TESTS_KERNELS_RECORDED_STORES_H_
