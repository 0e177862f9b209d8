// The builtins that the kernel reaches, declared strictly; model.cpp has them. Where clang takes any type, one is
// meant.
#ifndef MS_SCATTER_PA_REAL_LIBRARY_BUILTINS_H_
#define MS_SCATTER_PA_REAL_LIBRARY_BUILTINS_H_

#include "front.h"

extern "C" {
void unmodelled(const char* name);

int64_t get_block_idx();
int64_t get_block_num();
int64_t get_subblockid();
int64_t get_subblockdim();
int64_t sff0(uint64_t bits);
uint64_t sbitset0(uint64_t bits, int64_t bit);
uint64_t sbitset1(uint64_t bits, int64_t bit);
void set_atomic_none();
void set_mov_pad_val(uint64_t value);
void set_mask_count();
void set_mask_norm();
void set_vector_mask(uint64_t high, uint64_t low);
void set_flag(pipe_t from, pipe_t to, int event);
void wait_flag(pipe_t from, pipe_t to, int event);
void pipe_barrier(pipe_t pipe);
void copy_gm_to_ubuf_align_b8(__ubuf__ void* to, __gm__ void* from, uint8_t sid, uint16_t count, uint32_t length,
                              uint8_t left, uint8_t right, uint32_t from_gap, uint32_t to_gap);
void copy_ubuf_to_gm_align_b8(__gm__ void* to, __ubuf__ void* from, uint8_t sid, uint16_t count, uint32_t length,
                              uint8_t left, uint8_t right, uint32_t from_gap, uint32_t to_gap);
void copy_ubuf_to_ubuf(__ubuf__ void* to, __ubuf__ void* from, uint8_t sid, uint16_t count, uint16_t length,
                       uint16_t from_gap, uint16_t to_gap);
void model_dup(__ubuf__ float* to, float value, const int64_t* strides);
void model_add(__ubuf__ float* to, __ubuf__ float* a, __ubuf__ float* b, const int64_t* strides);
void vconv_f162f32_model(__ubuf__ float* to, __ubuf__ half* from, const int64_t* strides);
void vconv_bf162f32_model(__ubuf__ float* to, __ubuf__ bfloat16_t* from, const int64_t* strides);
void vconv_f322f16r_model(__ubuf__ half* to, __ubuf__ float* from, const int64_t* strides);
void vconv_f322bf16r_model(__ubuf__ bfloat16_t* to, __ubuf__ float* from, const int64_t* strides);
}

template <typename T, typename S, typename... A>
inline void vector_dup(__ubuf__ T* to, S value, A... strides) {
  if constexpr (__is_same(T, float)) {
    const int64_t given[] = {(int64_t)strides...};
    model_dup(to, value, given);
  } else {
    unmodelled("vector_dup of another type");
  }
}

template <typename T, typename... A>
inline void vadd(__ubuf__ T* to, __ubuf__ T* a, __ubuf__ T* b, A... strides) {
  if constexpr (__is_same(T, float)) {
    const int64_t given[] = {(int64_t)strides...};
    model_add(to, a, b, given);
  } else {
    unmodelled("vadd of another type");
  }
}

#define MODEL_CONVERSION(name, To, From)                           \
  template <typename... A>                                         \
  inline void name(__ubuf__ To* to, __ubuf__ From* from, A... a) { \
    const int64_t given[] = {(int64_t)a...};                       \
    name##_model(to, from, given);                                 \
  }
MODEL_CONVERSION(vconv_f162f32, float, half)
MODEL_CONVERSION(vconv_bf162f32, float, bfloat16_t)
MODEL_CONVERSION(vconv_f322f16r, half, float)
MODEL_CONVERSION(vconv_f322bf16r, bfloat16_t, float)

#endif  // MS_SCATTER_PA_REAL_LIBRARY_BUILTINS_H_
