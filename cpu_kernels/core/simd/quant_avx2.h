// Eight lanes, for quant_x86.h.
#include <immintrin.h>

#include <cstdint>

namespace mssp {
namespace {

constexpr bool kHasTables = false;
constexpr int64_t kWidth = 8;
using Floats = __m256;
using Words = __m256i;

inline Floats Set(float x) { return _mm256_set1_ps(x); }
inline Words SetWords(int32_t x) { return _mm256_set1_epi32(x); }
inline Floats LoadFloats(const float* from) { return _mm256_loadu_ps(from); }
inline void StoreFloats(float* to, Floats x) { _mm256_storeu_ps(to, x); }
inline Words Bits(Floats x) { return _mm256_castps_si256(x); }
inline Floats AsFloats(Words x) { return _mm256_castsi256_ps(x); }
inline Floats Add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats Sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats Div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
inline Floats Max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats Min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats Fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Words AddWords(Words a, Words b) { return _mm256_add_epi32(a, b); }
inline Words SubWords(Words a, Words b) { return _mm256_sub_epi32(a, b); }
inline Words AndWords(Words a, Words b) { return _mm256_and_si256(a, b); }
inline Words OrWords(Words a, Words b) { return _mm256_or_si256(a, b); }
template <int kBits>
inline Words ShiftRight(Words x) {
  return _mm256_srli_epi32(x, kBits);
}
template <int kBits>
inline Words ShiftLeft(Words x) {
  return _mm256_slli_epi32(x, kBits);
}
inline Words SelectBelow(Words a, Words b, Words x, Words y) {
  return _mm256_blendv_epi8(y, x, _mm256_cmpgt_epi32(b, a));
}
inline Floats ZeroNan(Floats x) { return _mm256_and_ps(x, _mm256_cmp_ps(x, x, _CMP_ORD_Q)); }
inline Words RoundWords(Floats x) { return _mm256_cvtps_epi32(x); }
inline Words InOrder(Words x) { return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); }
inline Words SaturatedHalves(Words a, Words b) { return _mm256_packs_epi32(a, b); }
inline Words SaturatedUnsignedHalves(Words a, Words b) { return _mm256_packus_epi32(a, b); }
inline Words SaturatedBytes(Words a, Words b) { return _mm256_packs_epi16(a, b); }
inline Words SaturatedUnsigned(Words a, Words b) { return _mm256_packus_epi16(a, b); }
inline bool AnyHalf(Words a, Words b, int16_t x) {
  const Words all = _mm256_set1_epi16(x);
  return _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi16(a, all), _mm256_cmpeq_epi16(b, all))) != 0;
}
inline bool AnyByte(Words a, uint8_t x) {
  return _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, _mm256_set1_epi8(static_cast<char>(x)))) != 0;
}
inline bool BytesDiffer(Words a, Words b) { return _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)) != -1; }
inline void StreamWords(void* to, Words x) { _mm256_stream_si256(static_cast<__m256i*>(to), x); }
inline void StoreWords(void* to, Words x) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }
inline Floats ConvertWords(Words x) { return _mm256_cvtepi32_ps(x); }

using Doubts = __m256;
inline Doubts NoDoubts() { return _mm256_setzero_ps(); }
inline Doubts OrDoubts(Doubts a, Doubts b) { return _mm256_or_ps(a, b); }
inline bool HasAny(Doubts x) { return _mm256_movemask_ps(x) != 0; }
inline Doubts WordsBelow(Words a, Words b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a)); }
inline Words MaxHalves(Words a, Words b) { return _mm256_max_epu16(a, b); }
inline Words MaxWords(Words a, Words b) { return _mm256_max_epu32(a, b); }
inline Words LoadWords(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline __m128i FoldHalves(Words x) { return _mm_max_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)); }
inline Floats EightFloat16(__m128i x) { return _mm256_cvtph_ps(x); }
inline Words EightWords(__m128i x) { return _mm256_cvtepu16_epi32(x); }
inline uint32_t LargestWord(Words x) {
  __m128i most = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0x4E));
  most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0xB1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(most));
}

inline uint32_t DoubtBits(Doubts x) { return static_cast<uint32_t>(_mm256_movemask_ps(x)); }
inline Words AddHalves(Words a, Words b) { return _mm256_add_epi16(a, b); }
template <int kBits>
inline Words ShiftRightHalves(Words x) {
  return _mm256_srli_epi16(x, kBits);
}
inline Words SelectBits(Words mask, Words a, Words b) {
  return OrWords(AndWords(mask, a), _mm256_andnot_si256(mask, b));
}
inline Words AddBytes(Words a, Words b) { return _mm256_add_epi8(a, b); }
inline Words MinBytes(Words a, Words b) { return _mm256_min_epu8(a, b); }
inline Words InOrderOfPairs(Words x) {
  const Words within =
      _mm256_setr_epi32(0x06040200, 0x07050301, 0x0E0C0A08, 0x0F0D0B09, 0x06040200, 0x07050301, 0x0E0C0A08, 0x0F0D0B09);
  return InOrder(_mm256_shuffle_epi8(x, within));
}
inline void StreamPairOfUnits(char* to, int64_t, Words a, Words b) {
  StreamWords(to, a);
  StreamWords(to + sizeof(Words), b);
}

// Words 0 to 0xFFFF as eight halves.
inline __m128i Halves(Words x) { return _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)); }
inline void StoreBytes(char* to, Words x) {
  const __m128i halves = Halves(AndWords(x, SetWords(0xFF)));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(halves, halves));
}
inline void StoreLow16(char* to, Words x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), Halves(AndWords(x, SetWords(0xFFFF))));
}
inline Words LoadBytes(const char* from) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
inline Words LoadSignedBytes(const char* from) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
inline Words LoadHalves(const char* from) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Floats HalvesToFloats(const char* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline void StoreHalves(char* to, Floats x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace
}  // namespace mssp
