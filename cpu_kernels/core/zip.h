// Interleaves the elements of two vectors of 16 bytes; the second half of LoadHalf is 0.
// SSE2 and NEON are in every x86-64 and AArch64.
#ifndef MS_SCATTER_PA_CORE_ZIP_H_
#define MS_SCATTER_PA_CORE_ZIP_H_

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace mssp {

inline constexpr int kVectorBytes = 16;

#if defined(__SSE2__)

using Vector = __m128i;

inline Vector LoadVector(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline Vector LoadHalf(const uint8_t* from) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)); }
inline void StoreVector(uint8_t* to, Vector x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x); }

template <int kItem>
inline Vector ZipLow(Vector a, Vector b) {
  if constexpr (kItem == 1) return _mm_unpacklo_epi8(a, b);
  if constexpr (kItem == 2) return _mm_unpacklo_epi16(a, b);
  if constexpr (kItem == 4) return _mm_unpacklo_epi32(a, b);
  return _mm_unpacklo_epi64(a, b);
}

template <int kItem>
inline Vector ZipHigh(Vector a, Vector b) {
  if constexpr (kItem == 1) return _mm_unpackhi_epi8(a, b);
  if constexpr (kItem == 2) return _mm_unpackhi_epi16(a, b);
  if constexpr (kItem == 4) return _mm_unpackhi_epi32(a, b);
  return _mm_unpackhi_epi64(a, b);
}

#elif defined(__aarch64__)

using Vector = uint8x16_t;

inline Vector LoadVector(const uint8_t* from) { return vld1q_u8(from); }
inline Vector LoadHalf(const uint8_t* from) { return vcombine_u8(vld1_u8(from), vdup_n_u8(0)); }
inline void StoreVector(uint8_t* to, Vector x) { vst1q_u8(to, x); }

template <int kItem>
inline Vector ZipLow(Vector a, Vector b) {
  if constexpr (kItem == 1) return vzip1q_u8(a, b);
  if constexpr (kItem == 2) {
    return vreinterpretq_u8_u16(vzip1q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
  }
  if constexpr (kItem == 4) {
    return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
  }
  return vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}

template <int kItem>
inline Vector ZipHigh(Vector a, Vector b) {
  if constexpr (kItem == 1) return vzip2q_u8(a, b);
  if constexpr (kItem == 2) {
    return vreinterpretq_u8_u16(vzip2q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
  }
  if constexpr (kItem == 4) {
    return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
  }
  return vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}

#else

struct Vector {
  uint8_t bytes[kVectorBytes];
};

inline Vector LoadVector(const uint8_t* from) {
  Vector x;
  std::memcpy(x.bytes, from, kVectorBytes);
  return x;
}
inline Vector LoadHalf(const uint8_t* from) {
  Vector x{};
  std::memcpy(x.bytes, from, kVectorBytes / 2);
  return x;
}
inline void StoreVector(uint8_t* to, const Vector& x) { std::memcpy(to, x.bytes, kVectorBytes); }

template <int kItem>
inline Vector Zip(const uint8_t* a, const uint8_t* b) {
  Vector x;
  for (int i = 0; i < kVectorBytes / 2; i += kItem) {
    std::memcpy(x.bytes + 2 * i, a + i, kItem);
    std::memcpy(x.bytes + 2 * i + kItem, b + i, kItem);
  }
  return x;
}

template <int kItem>
inline Vector ZipLow(const Vector& a, const Vector& b) {
  return Zip<kItem>(a.bytes, b.bytes);
}

template <int kItem>
inline Vector ZipHigh(const Vector& a, const Vector& b) {
  return Zip<kItem>(a.bytes + kVectorBytes / 2, b.bytes + kVectorBytes / 2);
}

#endif

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_ZIP_H_
