// Sixteen lanes, for quant_x86.h.
#include <immintrin.h>

#include <cstdint>

namespace mssp {
namespace {

constexpr bool kHasTables = true;
constexpr int64_t kWidth = 16;
using Floats = __m512;
using Words = __m512i;

inline Floats Set(float x) { return _mm512_set1_ps(x); }
inline Words SetWords(int32_t x) { return _mm512_set1_epi32(x); }
inline Floats LoadFloats(const float* from) { return _mm512_loadu_ps(from); }
inline void StoreFloats(float* to, Floats x) { _mm512_storeu_ps(to, x); }
inline Words Bits(Floats x) { return _mm512_castps_si512(x); }
inline Floats AsFloats(Words x) { return _mm512_castsi512_ps(x); }
inline Floats Add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats Sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats Div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats Max(Floats a, Floats b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }
inline Floats Min(Floats a, Floats b) { return _mm512_maskz_min_ps(0xFFFF, a, b); }
inline Floats Fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Words AddWords(Words a, Words b) { return _mm512_add_epi32(a, b); }
inline Words SubWords(Words a, Words b) { return _mm512_sub_epi32(a, b); }
inline Words AndWords(Words a, Words b) { return _mm512_and_si512(a, b); }
inline Words OrWords(Words a, Words b) { return _mm512_or_si512(a, b); }
template <int kBits>
inline Words ShiftRight(Words x) {
  return _mm512_maskz_srli_epi32(0xFFFF, x, kBits);
}
template <int kBits>
inline Words ShiftLeft(Words x) {
  return _mm512_maskz_slli_epi32(0xFFFF, x, kBits);
}
inline Words SelectBelow(Words a, Words b, Words x, Words y) {
  return _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(a, b), y, x);
}
inline Floats ZeroNan(Floats x) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x); }
inline Words RoundWords(Floats x) { return _mm512_maskz_cvtps_epi32(0xFFFF, x); }
inline Words InOrder(Words x) {
  const Words order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_maskz_permutexvar_epi32(0xFFFF, order, x);
}
inline Words SaturatedHalves(Words a, Words b) { return _mm512_packs_epi32(a, b); }
inline Words SaturatedUnsignedHalves(Words a, Words b) { return _mm512_packus_epi32(a, b); }
inline Words SaturatedBytes(Words a, Words b) { return _mm512_packs_epi16(a, b); }
inline Words SaturatedUnsigned(Words a, Words b) { return _mm512_packus_epi16(a, b); }
inline bool AnyHalf(Words a, Words b, int16_t x) {
  const Words all = _mm512_set1_epi16(x);
  return _kortestz_mask32_u8(_mm512_cmpeq_epi16_mask(a, all), _mm512_cmpeq_epi16_mask(b, all)) == 0;
}
inline bool AnyByte(Words a, uint8_t x) {
  return _mm512_cmpeq_epi8_mask(a, _mm512_set1_epi8(static_cast<char>(x))) != 0;
}
inline bool BytesDiffer(Words a, Words b) { return _mm512_cmpneq_epi8_mask(a, b) != 0; }
inline void StreamWords(void* to, Words x) { _mm512_stream_si512(static_cast<__m512i*>(to), x); }
inline void StoreWords(void* to, Words x) { _mm512_storeu_si512(to, x); }
inline Floats ConvertWords(Words x) { return _mm512_maskz_cvtepi32_ps(0xFFFF, x); }

using Doubts = __mmask16;
inline Doubts NoDoubts() { return 0; }
inline Doubts OrDoubts(Doubts a, Doubts b) { return static_cast<Doubts>(a | b); }
inline bool HasAny(Doubts x) { return x != 0; }
inline Doubts WordsBelow(Words a, Words b) { return _mm512_cmplt_epi32_mask(a, b); }
inline Words MaxHalves(Words a, Words b) { return _mm512_maskz_max_epu16(0xFFFFFFFF, a, b); }
inline Words MaxWords(Words a, Words b) { return _mm512_maskz_max_epu32(0xFFFF, a, b); }
inline Words LoadWords(const void* from) { return _mm512_loadu_si512(from); }
inline __m128i FoldHalves(Words x) {
  const __m256i half =
      _mm256_max_epu16(_mm512_maskz_extracti64x4_epi64(0xF, x, 0), _mm512_maskz_extracti64x4_epi64(0xF, x, 1));
  return _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
inline Floats EightFloat16(__m128i x) { return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_zextsi128_si256(x)); }
inline Words EightWords(__m128i x) { return _mm512_maskz_cvtepu16_epi32(0xFFFF, _mm256_zextsi128_si256(x)); }
inline uint32_t LargestWord(Words x) {
  __m256i halves[2];  // some GCCs warn of what is undefined inside of the extraction
  _mm512_storeu_si512(halves, x);
  const __m256i half = _mm256_max_epu32(halves[0], halves[1]);
  __m128i most = _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0x4E));
  most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0xB1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(most));
}

inline uint32_t DoubtBits(Doubts x) { return x; }
inline Words AddHalves(Words a, Words b) { return _mm512_add_epi16(a, b); }
template <int kBits>
inline Words ShiftRightHalves(Words x) {
  return _mm512_maskz_srli_epi16(0xFFFFFFFF, x, kBits);
}
inline Words SelectBits(Words mask, Words a, Words b) { return _mm512_ternarylogic_epi32(mask, a, b, 0xCA); }
inline Words AddBytes(Words a, Words b) { return _mm512_add_epi8(a, b); }
inline Words MinBytes(Words a, Words b) { return _mm512_maskz_min_epu8(~uint64_t{0}, a, b); }
inline Words InOrderOfPairs(Words x) {
  const Words within = _mm512_set4_epi32(0x0F0D0B09, 0x0E0C0A08, 0x07050301, 0x06040200);
  return InOrder(_mm512_shuffle_epi8(x, within));
}
inline void StreamPairOfUnits(char* to, int64_t stride, Words a, Words b) {
  StreamWords(to, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0x44));
  StreamWords(to + stride, _mm512_maskz_shuffle_i64x2(0xFF, a, b, 0xEE));
}

inline void StoreBytes(char* to, Words x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xFFFF, x));
}
inline void StoreLow16(char* to, Words x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi32_epi16(0xFFFF, x));
}
inline Words LoadBytes(const char* from) {
  return _mm512_maskz_cvtepu8_epi32(0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Words LoadSignedBytes(const char* from) {
  return _mm512_maskz_cvtepi8_epi32(0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Words LoadHalves(const char* from) {
  return _mm512_maskz_cvtepu16_epi32(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Floats HalvesToFloats(const char* from) {
  return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline void StoreHalves(char* to, Floats x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_maskz_cvtps_ph(0xFFFF, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace
}  // namespace mssp
