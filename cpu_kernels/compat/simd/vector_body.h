// The table's functions, once for every instruction set. Before this is included there are
//   MSSP_LANES                floats of a vector
//   MSSP_SUMS                 vectors of sums that stay in registers beside what they are made of
//   LoadHalf, NarrowHalf      MSSP_LANES float16
//   StreamVector              an aligned store past the caches, where there is one
// and compiles with contraction, so that a * b + c is one instruction where there is one.
#include <cstdint>
#include <cstring>
#include <limits>

#include "../../core/small_float.h"
#include "../builtin.h"
#include "vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

#if defined(__clang__) || __GNUC__ >= 12
#define MSSP_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MSSP_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Ints{__VA_ARGS__})
#endif

// Sums of neighbours in steps of `kStep` lanes, a's and b's by turns: one blend and one shuffle.
template <int kStep>
MSSP_INLINE Floats AddNeighbours(Floats a, Floats b) {
#if MSSP_LANES == 16
  if constexpr (kStep == 8) {
    return MSSP_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31) +
           MSSP_SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23);
  }
  if constexpr (kStep == 4) {
    return MSSP_SHUFFLE(a, b, 0, 1, 2, 3, 20, 21, 22, 23, 8, 9, 10, 11, 28, 29, 30, 31) +
           MSSP_SHUFFLE(a, b, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
  }
  if constexpr (kStep == 2) {
    return MSSP_SHUFFLE(a, b, 0, 1, 18, 19, 4, 5, 22, 23, 8, 9, 26, 27, 12, 13, 30, 31) +
           MSSP_SHUFFLE(a, b, 2, 3, 16, 17, 6, 7, 20, 21, 10, 11, 24, 25, 14, 15, 28, 29);
  }
  return MSSP_SHUFFLE(a, b, 0, 17, 2, 19, 4, 21, 6, 23, 8, 25, 10, 27, 12, 29, 14, 31) +
         MSSP_SHUFFLE(a, b, 1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30);
#elif MSSP_LANES == 8
  if constexpr (kStep == 4) {
    return MSSP_SHUFFLE(a, b, 0, 1, 2, 3, 12, 13, 14, 15) + MSSP_SHUFFLE(a, b, 4, 5, 6, 7, 8, 9, 10, 11);
  }
  if constexpr (kStep == 2) {
    return MSSP_SHUFFLE(a, b, 0, 1, 10, 11, 4, 5, 14, 15) + MSSP_SHUFFLE(a, b, 2, 3, 8, 9, 6, 7, 12, 13);
  }
  return MSSP_SHUFFLE(a, b, 0, 9, 2, 11, 4, 13, 6, 15) + MSSP_SHUFFLE(a, b, 1, 8, 3, 10, 5, 12, 7, 14);
#else
  if constexpr (kStep == 2) return MSSP_SHUFFLE(a, b, 0, 1, 6, 7) + MSSP_SHUFFLE(a, b, 2, 3, 4, 5);
  return MSSP_SHUFFLE(a, b, 0, 5, 2, 7) + MSSP_SHUFFLE(a, b, 1, 4, 3, 6);
#endif
}

// Lane i is the sum of x[i]'s lanes.
template <int kStep = 1>
MSSP_INLINE Floats SumEach(Floats* x) {
  if constexpr (kStep == MSSP_LANES) {
    return x[0];
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < MSSP_LANES; i += 2 * kStep) x[i] = AddNeighbours<kStep>(x[i], x[i + kStep]);
    return SumEach<2 * kStep>(x);
  }
}

MSSP_INLINE Floats Splat(float x) { return Floats{} + x; }

// Sums and maxima of lanes by quarters of a line: one after another they would wait for each other.
typedef float Quad __attribute__((vector_size(16)));

MSSP_INLINE float Sum(Floats x) {
  Quad parts[MSSP_LANES / 4];
  std::memcpy(parts, &x, sizeof(x));
  Quad sum = parts[0];
  for (int i = 1; i < MSSP_LANES / 4; ++i) sum += parts[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

MSSP_INLINE float MaxOf(Floats x) {
  Quad parts[MSSP_LANES / 4];
  std::memcpy(parts, &x, sizeof(x));
  Quad most = parts[0];
  for (int i = 1; i < MSSP_LANES / 4; ++i) most = parts[i] > most ? parts[i] : most;
  const float first = most[0] > most[1] ? most[0] : most[1];
  const float second = most[2] > most[3] ? most[2] : most[3];
  return first > second ? first : second;
}

struct Single {
  using Item = float;
  MSSP_INLINE Floats Load(const float* from) {
    Floats x;
    std::memcpy(&x, from, sizeof(x));
    return x;
  }
  MSSP_INLINE Floats Narrowed(Floats x) { return x; }
  MSSP_INLINE void Store(Floats x, float* to) { std::memcpy(to, &x, sizeof(x)); }
  static float One(float x) { return x; }
  static float Narrow(float x) { return x; }
};

struct Half {
  using Item = uint16_t;
  MSSP_INLINE Floats Load(const uint16_t* from) { return LoadHalf(from); }
  MSSP_INLINE Shorts Narrowed(Floats x) { return NarrowHalf(x); }
  MSSP_INLINE void Store(Floats x, uint16_t* to) {
    const Shorts narrow = Narrowed(x);
    std::memcpy(to, &narrow, sizeof(narrow));
  }
  static float One(uint16_t x) { return Float16::ToFloat(x); }
  static uint16_t Narrow(float x) { return static_cast<uint16_t>(Float16::FromFloat(x)); }
};

struct Brain {
  using Item = uint16_t;
  MSSP_INLINE Floats Load(const uint16_t* from) {
    Shorts narrow;
    std::memcpy(&narrow, from, sizeof(narrow));
    const Words bits = __builtin_convertvector(narrow, Words) << 16;
    Floats x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
  }
  MSSP_INLINE Shorts Narrowed(Floats x) {
    Words bits;
    std::memcpy(&bits, &x, sizeof(bits));
    const Words nan = (bits >> 16) | 0x40u;
    const Words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const Words code = (bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded;
    return __builtin_convertvector(code, Shorts);
  }
  MSSP_INLINE void Store(Floats x, uint16_t* to) {
    const Shorts narrow = Narrowed(x);
    std::memcpy(to, &narrow, sizeof(narrow));
  }
  static float One(uint16_t x) { return BFloat16::ToFloat(x); }
  static uint16_t Narrow(float x) { return static_cast<uint16_t>(BFloat16::FromFloat(x)); }
};

template <typename Format>
void WidenAs(const typename Format::Item* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + MSSP_LANES <= n; i += MSSP_LANES) Single::Store(Format::Load(from + i), to + i);
  for (; i < n; ++i) to[i] = Format::One(from[i]);
}

// to = from * factor, from one format to another.
template <typename From, typename To>
void ScaleAs(const typename From::Item* from, float factor, int64_t n, typename To::Item* to) {
  int64_t i = 0;
  for (; i + MSSP_LANES <= n; i += MSSP_LANES) To::Store(From::Load(from + i) * factor, to + i);
  for (; i < n; ++i) to[i] = To::Narrow(From::One(from[i]) * factor);
}

template <typename Item>
void WidenInts(const Item* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
}

void Widen(int32_t type, const void* from, int64_t n, float* to) {
  if (n == 0) return;
  switch (type) {
    case MSSP_BUILTIN_FLOAT32:
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
      break;
    case MSSP_BUILTIN_FLOAT16:
      WidenAs<Half>(static_cast<const uint16_t*>(from), n, to);
      break;
    case MSSP_BUILTIN_BFLOAT16:
      WidenAs<Brain>(static_cast<const uint16_t*>(from), n, to);
      break;
    case MSSP_BUILTIN_INT8:
      WidenInts(static_cast<const int8_t*>(from), n, to);
      break;
    default:
      WidenInts(static_cast<const uint8_t*>(from), n, to);
  }
}

void Scale(int32_t type, const void* from, float factor, int64_t n, float* to) {
  switch (type) {
    case MSSP_BUILTIN_FLOAT16:
      return ScaleAs<Half, Single>(static_cast<const uint16_t*>(from), factor, n, to);
    case MSSP_BUILTIN_BFLOAT16:
      return ScaleAs<Brain, Single>(static_cast<const uint16_t*>(from), factor, n, to);
    default:
      return ScaleAs<Single, Single>(static_cast<const float*>(from), factor, n, to);
  }
}

void Narrow(int32_t type, const float* from, float factor, int64_t n, void* to) {
  switch (type) {
    case MSSP_BUILTIN_FLOAT16:
      return ScaleAs<Single, Half>(from, factor, n, static_cast<uint16_t*>(to));
    case MSSP_BUILTIN_BFLOAT16:
      return ScaleAs<Single, Brain>(from, factor, n, static_cast<uint16_t*>(to));
    default:
      return ScaleAs<Single, Single>(from, factor, n, static_cast<float*>(to));
  }
}

// Into the second-level cache, where a tile has room.
MSSP_INLINE void Fetch(const char* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
}

// MSSP_SUMS dot products at once: kHeads queries with kRows keys.
template <typename Format, int kHeads, int kRows>
MSSP_INLINE void DotTile(const char* keys, int64_t stride, int64_t size, const float* queries, int64_t query_stride,
                         float* scores, int64_t score_stride) {
  constexpr int kSums = kHeads * kRows;
  static_assert(kSums % MSSP_LANES == 0, "whole vectors of sums");
  Floats sums[kSums] = {};  // [head][row]
  int64_t d = 0;
  for (; d + MSSP_LANES <= size; d += MSSP_LANES) {
    Floats query[kHeads];
#pragma GCC unroll 16
    for (int h = 0; h < kHeads; ++h) query[h] = Single::Load(queries + h * query_stride + d);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Floats key = Format::Load(reinterpret_cast<const typename Format::Item*>(keys + r * stride) + d);
#pragma GCC unroll 16
      for (int h = 0; h < kHeads; ++h) sums[h * kRows + r] += query[h] * key;
    }
  }
  float results[kSums];
#pragma GCC unroll 4
  for (int i = 0; i < kSums; i += MSSP_LANES) Single::Store(SumEach(sums + i), results + i);
  for (; d < size; ++d) {
    for (int r = 0; r < kRows; ++r) {
      const float key = Format::One(reinterpret_cast<const typename Format::Item*>(keys + r * stride)[d]);
      for (int h = 0; h < kHeads; ++h) results[h * kRows + r] += queries[h * query_stride + d] * key;
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    std::memcpy(scores + h * score_stride, results + h * kRows, kRows * sizeof(float));
  }
}

template <typename Format>
MSSP_INLINE float Dot(const typename Format::Item* key, const float* query, int64_t size) {
  Floats sums = {};
  int64_t d = 0;
  for (; d + MSSP_LANES <= size; d += MSSP_LANES) sums += Single::Load(query + d) * Format::Load(key + d);
  float sum = Sum(sums);
  for (; d < size; ++d) sum += query[d] * Format::One(key[d]);
  return sum;
}

template <typename Format, int kHeads>
int64_t ScoreHeads(const Rows& keys, const float* queries, int64_t query_stride, int64_t heads, float* scores,
                   int64_t score_stride) {
  constexpr int kRows = MSSP_SUMS / kHeads;
  int64_t h = 0;
  for (; h + kHeads <= heads; h += kHeads) {
    const float* query = queries + h * query_stride;
    float* out = scores + h * score_stride;
    int64_t t = 0;
    for (; t + kRows <= keys.count; t += kRows) {
      if (keys.ahead != nullptr && h == 0) {
        const auto bytes = keys.size * static_cast<int64_t>(sizeof(typename Format::Item));
        for (int r = 0; r < kRows; ++r) Fetch(keys.ahead + (t + r) * keys.stride, bytes);
      }
      DotTile<Format, kHeads, kRows>(keys.base + t * keys.stride, keys.stride, keys.size, query, query_stride, out + t,
                                     score_stride);
    }
    for (; t < keys.count; ++t) {
      const auto* key = reinterpret_cast<const typename Format::Item*>(keys.base + t * keys.stride);
      for (int i = 0; i < kHeads; ++i) {
        out[i * score_stride + t] = Dot<Format>(key, query + i * query_stride, keys.size);
      }
    }
  }
  return h;
}

template <typename Format>
void ScoresAs(const Rows& keys, const float* queries, int64_t query_stride, int64_t heads, float* scores,
              int64_t score_stride) {
  int64_t h = ScoreHeads<Format, 4>(keys, queries, query_stride, heads, scores, score_stride);
  Rows rest = keys;
  if (h > 0) rest.ahead = nullptr;
  h += ScoreHeads<Format, 2>(rest, queries + h * query_stride, query_stride, heads - h, scores + h * score_stride,
                             score_stride);
  if (h > 0) rest.ahead = nullptr;
  ScoreHeads<Format, 1>(rest, queries + h * query_stride, query_stride, heads - h, scores + h * score_stride,
                        score_stride);
}

void Scores(const Rows& keys, const float* queries, int64_t query_stride, int64_t heads, float* scores,
            int64_t score_stride) {
  switch (keys.type) {
    case MSSP_BUILTIN_FLOAT16:
      return ScoresAs<Half>(keys, queries, query_stride, heads, scores, score_stride);
    case MSSP_BUILTIN_BFLOAT16:
      return ScoresAs<Brain>(keys, queries, query_stride, heads, scores, score_stride);
    default:
      return ScoresAs<Single>(keys, queries, query_stride, heads, scores, score_stride);
  }
}

// kHeads sums of kWidth vectors stay in registers while the rows go by.
template <typename Format, int kHeads, int kWidth>
MSSP_INLINE void WeighTile(const Rows& values, const char* ahead, int64_t d, const float* weights,
                           int64_t weight_stride, const float* factors, float* sums, int64_t sum_stride) {
  Floats total[kHeads * kWidth];
#pragma GCC unroll 16
  for (int h = 0; h < kHeads; ++h) {
#pragma GCC unroll 16
    for (int w = 0; w < kWidth; ++w) {
      total[h * kWidth + w] = Single::Load(sums + h * sum_stride + d + w * int64_t{MSSP_LANES});
      if (factors != nullptr) total[h * kWidth + w] *= factors[h];
    }
  }
  for (int64_t t = 0; t < values.count; ++t) {
    const auto* row = reinterpret_cast<const typename Format::Item*>(values.base + t * values.stride) + d;
    constexpr auto kItem = static_cast<int64_t>(sizeof(typename Format::Item));
    if (ahead != nullptr) Fetch(ahead + t * values.stride + d * kItem, kItem * kWidth * MSSP_LANES);
    Floats value[kWidth];
#pragma GCC unroll 16
    for (int w = 0; w < kWidth; ++w) value[w] = Format::Load(row + w * MSSP_LANES);
#pragma GCC unroll 16
    for (int h = 0; h < kHeads; ++h) {
      const float weight = weights[h * weight_stride + t];
#pragma GCC unroll 16
      for (int w = 0; w < kWidth; ++w) total[h * kWidth + w] += weight * value[w];
    }
  }
#pragma GCC unroll 16
  for (int h = 0; h < kHeads; ++h) {
#pragma GCC unroll 16
    for (int w = 0; w < kWidth; ++w) {
      Single::Store(total[h * kWidth + w], sums + h * sum_stride + d + w * int64_t{MSSP_LANES});
    }
  }
}

template <typename Format, int kHeads>
int64_t WeighHeads(const Rows& values, const float* weights, int64_t weight_stride, const float* factors, int64_t heads,
                   float* sums, int64_t sum_stride) {
  constexpr int kWidth = MSSP_SUMS / kHeads < 4 ? MSSP_SUMS / kHeads : 4;
  int64_t h = 0;
  for (; h + kHeads <= heads; h += kHeads) {
    const float* weight = weights + h * weight_stride;
    float* sum = sums + h * sum_stride;
    const float* factor = factors == nullptr ? nullptr : factors + h;
    const char* ahead = h == 0 ? values.ahead : nullptr;
    int64_t d = 0;
    for (constexpr int64_t kTile = int64_t{kWidth} * MSSP_LANES; d + kTile <= values.size; d += kTile) {
      WeighTile<Format, kHeads, kWidth>(values, ahead, d, weight, weight_stride, factor, sum, sum_stride);
    }
    for (; d + MSSP_LANES <= values.size; d += MSSP_LANES) {
      WeighTile<Format, kHeads, 1>(values, ahead, d, weight, weight_stride, factor, sum, sum_stride);
    }
    for (; d < values.size; ++d) {
      for (int i = 0; factor != nullptr && i < kHeads; ++i) sum[i * sum_stride + d] *= factor[i];
      for (int64_t t = 0; t < values.count; ++t) {
        const float value =
            Format::One(reinterpret_cast<const typename Format::Item*>(values.base + t * values.stride)[d]);
        for (int i = 0; i < kHeads; ++i) sum[i * sum_stride + d] += weight[i * weight_stride + t] * value;
      }
    }
  }
  return h;
}

template <typename Format>
void WeighAs(const Rows& values, const float* weights, int64_t weight_stride, const float* factors, int64_t heads,
             float* sums, int64_t sum_stride) {
  const int64_t h = WeighHeads<Format, 4>(values, weights, weight_stride, factors, heads, sums, sum_stride);
  Rows rest = values;
  if (h > 0) rest.ahead = nullptr;
  WeighHeads<Format, 1>(rest, weights + h * weight_stride, weight_stride, factors == nullptr ? nullptr : factors + h,
                        heads - h, sums + h * sum_stride, sum_stride);
}

void Weigh(const Rows& values, const float* weights, int64_t weight_stride, const float* factors, int64_t heads,
           float* sums, int64_t sum_stride) {
  switch (values.type) {
    case MSSP_BUILTIN_FLOAT16:
      return WeighAs<Half>(values, weights, weight_stride, factors, heads, sums, sum_stride);
    case MSSP_BUILTIN_BFLOAT16:
      return WeighAs<Brain>(values, weights, weight_stride, factors, heads, sums, sum_stride);
    default:
      return WeighAs<Single>(values, weights, weight_stride, factors, heads, sums, sum_stride);
  }
}

float Max(const float* x, int64_t n) {
  Floats most = Splat(-std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + MSSP_LANES <= n; i += MSSP_LANES) {
    const Floats next = Single::Load(x + i);
    most = next > most ? next : most;
  }
  float result = MaxOf(most);
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

// For x <= 0 and NaN: 2**n * exp(r) with |r| <= ln(2)/2, off by less than 2 units in the last place; 0 below exp's
// smallest normal number.
MSSP_INLINE Floats Exp(Floats x) {
  constexpr float kLowest = -87.33654f;
  const Floats clamped = x < kLowest ? Splat(kLowest) : x;
  const Floats shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2**23: the integer in the low bits
  const Floats n = shifted - 12582912.0f;
  const Floats r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  Words bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  const Words power_bits = (bits + 127u) << 23;
  Floats power;
  std::memcpy(&power, &power_bits, sizeof(power));
  const Floats result = p * power;
  return x < kLowest ? Floats{} : result;
}

float ExpOf(float* x, int64_t n, float shift) {
  Floats sums = {};
  int64_t i = 0;
  for (; i + MSSP_LANES <= n; i += MSSP_LANES) {
    const Floats y = Exp(Single::Load(x + i) - shift);
    Single::Store(y, x + i);
    sums += y;
  }
  float sum = Sum(sums);
  if (i < n) {
    float rest[MSSP_LANES] = {};
    std::memcpy(rest, x + i, static_cast<size_t>(n - i) * sizeof(float));
    const Floats y = Exp(Single::Load(rest) - shift);
    for (int lane = 0; i < n; ++i, ++lane) {
      x[i] = y[lane];
      sum += y[lane];
    }
  }
  return sum;
}

void Soften(float* scores, int64_t stride, int64_t rows, int64_t count, float* most, float* sums, float* factors) {
  for (int64_t begin = 0; begin < rows; begin += MSSP_LANES) {
    const int64_t n = rows - begin < MSSP_LANES ? rows - begin : MSSP_LANES;
    float* x = scores + begin * stride;
    float before[MSSP_LANES] = {};
    float shifts[MSSP_LANES] = {};
    for (int64_t r = 0; r < n; ++r) {
      const float now = Max(x + r * stride, count);
      before[r] = most[begin + r];
      if (now > before[r]) most[begin + r] = now;
      // Of a row that sees nothing yet, -inf is no number to take away.
      shifts[r] = most[begin + r] > -std::numeric_limits<float>::infinity() ? most[begin + r] : 0.0f;
    }
    const Floats factor = Exp(Single::Load(before) - Single::Load(shifts));
    for (int64_t r = 0; r < n; ++r) {
      factors[begin + r] = factor[r];
      sums[begin + r] = sums[begin + r] * factor[r] + ExpOf(x + r * stride, count, shifts[r]);
    }
  }
}

// To the caches, or past them: then `to` is a multiple of 16 bytes.
template <typename Format, bool kStream>
MSSP_INLINE void Put(Floats x, typename Format::Item* to) {
  if constexpr (kStream) {
    StreamVector(Format::Narrowed(x), to);
  } else {
    Format::Store(x, to);
  }
}

// Of what is worked on in steps of kStep numbers: `bytes` a step into the second-level cache, which has more requests
// under way than the first.
MSSP_INLINE void FetchStep(const char* from, int64_t step, int64_t bytes) {
  if (from != nullptr) Fetch(from + step * bytes, bytes);
}

constexpr int64_t kStep = int64_t{4} * MSSP_LANES;

template <typename Format>
constexpr int64_t kStepBytes = kStep * static_cast<int64_t>(sizeof(typename Format::Item));

template <typename Format>
float SumOfSquaresAs(const typename Format::Item* x, int64_t n, const char* ahead, const char* later) {
  Floats sums[4] = {};
  int64_t i = 0;
  for (int64_t step = 0; i + kStep <= n; i += kStep, ++step) {
    FetchStep(ahead, step, kStepBytes<Format> / 2);
    FetchStep(later, step, kStepBytes<Format>);
    for (int k = 0; k < 4; ++k) {
      const Floats part = Format::Load(x + i + k * MSSP_LANES);
      sums[k] += part * part;
    }
  }
  float sum = Sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < n; ++i) sum += Format::One(x[i]) * Format::One(x[i]);
  return sum;
}

float SumOfSquares(int32_t type, const void* x, int64_t n, const void* ahead, const void* later) {
  const auto* to_read = static_cast<const char*>(ahead);
  const auto* to_write = static_cast<const char*>(later);
  switch (type) {
    case MSSP_BUILTIN_FLOAT16:
      return SumOfSquaresAs<Half>(static_cast<const uint16_t*>(x), n, to_read, to_write);
    case MSSP_BUILTIN_BFLOAT16:
      return SumOfSquaresAs<Brain>(static_cast<const uint16_t*>(x), n, to_read, to_write);
    default:
      return SumOfSquaresAs<Single>(static_cast<const float*>(x), n, to_read, to_write);
  }
}

template <typename Format, bool kStream>
void NormalizeAs(const typename Format::Item* x, const float* gamma, float factor, int64_t n, typename Format::Item* to,
                 const char* ahead) {
  if (ahead != nullptr) ahead += n / kStep * (kStepBytes<Format> / 2);
  int64_t i = 0;
  for (int64_t step = 0; i + kStep <= n; i += kStep, ++step) {
    FetchStep(ahead, step, kStepBytes<Format> / 2);
    for (int k = 0; k < 4; ++k) {
      const int64_t at = i + k * int64_t{MSSP_LANES};
      Put<Format, kStream>(Format::Load(x + at) * factor * Single::Load(gamma + at), to + at);
    }
  }
  for (; i < n; ++i) to[i] = Format::Narrow(Format::One(x[i]) * factor * gamma[i]);
}

template <typename Format>
void NormalizeTo(const void* x, const float* gamma, float factor, int64_t n, void* to, const void* ahead, bool stream) {
  const auto* from = static_cast<const typename Format::Item*>(x);
  auto* out = static_cast<typename Format::Item*>(to);
  const auto* fetched = static_cast<const char*>(ahead);
  if (stream) return NormalizeAs<Format, true>(from, gamma, factor, n, out, fetched);
  NormalizeAs<Format, false>(from, gamma, factor, n, out, fetched);
}

void Normalize(int32_t type, const void* x, const float* gamma, float factor, int64_t n, void* to, const void* ahead,
               bool stream) {
  switch (type) {
    case MSSP_BUILTIN_FLOAT16:
      return NormalizeTo<Half>(x, gamma, factor, n, to, ahead, stream);
    case MSSP_BUILTIN_BFLOAT16:
      return NormalizeTo<Brain>(x, gamma, factor, n, to, ahead, stream);
    default:
      return NormalizeTo<Single>(x, gamma, factor, n, to, ahead, stream);
  }
}

// Past the caches one half goes after the other: stores that leave lines half full are dear.
template <typename Format, bool kStream>
void RotateHalvesAs(const typename Format::Item* from, const float* cos, const float* sin, int64_t heads, int64_t size,
                    typename Format::Item* to) {
  const int64_t half = size / 2;
  const int64_t bytes = size * static_cast<int64_t>(sizeof(typename Format::Item));
  for (int64_t h = 0; h < heads; ++h, from += size, to += size) {
    for (int64_t at = 0; at < bytes; at += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(from) + heads * bytes + at, 0, kStream ? 2 : 3);
      if (!kStream) __builtin_prefetch(reinterpret_cast<const char*>(to) + heads * bytes + at, 1, 3);
    }
    int64_t i = 0;
    for (; i + MSSP_LANES <= half; i += MSSP_LANES) {
      const Floats a = Format::Load(from + i);
      const Floats b = Format::Load(from + half + i);
      Put<Format, kStream>(a * Single::Load(cos + i) - b * Single::Load(sin + i), to + i);
      if (kStream) continue;
      Put<Format, kStream>(b * Single::Load(cos + half + i) + a * Single::Load(sin + half + i), to + half + i);
    }
    for (int64_t k = 0; kStream && k + MSSP_LANES <= half; k += MSSP_LANES) {
      const Floats a = Format::Load(from + k);
      const Floats b = Format::Load(from + half + k);
      Put<Format, kStream>(b * Single::Load(cos + half + k) + a * Single::Load(sin + half + k), to + half + k);
    }
    for (; i < half; ++i) {
      const float a = Format::One(from[i]);
      const float b = Format::One(from[half + i]);
      to[i] = Format::Narrow(a * cos[i] - b * sin[i]);
      to[half + i] = Format::Narrow(b * cos[half + i] + a * sin[half + i]);
    }
  }
}

template <typename Format>
void RotateHalvesTo(const void* from, const float* cos, const float* sin, int64_t heads, int64_t size, void* to,
                    bool stream) {
  const auto* in = static_cast<const typename Format::Item*>(from);
  auto* out = static_cast<typename Format::Item*>(to);
  if (stream) return RotateHalvesAs<Format, true>(in, cos, sin, heads, size, out);
  RotateHalvesAs<Format, false>(in, cos, sin, heads, size, out);
}

void RotateHalves(int32_t type, const void* from, const float* cos, const float* sin, int64_t heads, int64_t size,
                  void* to, bool stream) {
  switch (type) {
    case MSSP_BUILTIN_FLOAT16:
      return RotateHalvesTo<Half>(from, cos, sin, heads, size, to, stream);
    case MSSP_BUILTIN_BFLOAT16:
      return RotateHalvesTo<Brain>(from, cos, sin, heads, size, to, stream);
    default:
      return RotateHalvesTo<Single>(from, cos, sin, heads, size, to, stream);
  }
}

}  // namespace

const VectorKernels MSSP_TABLE = {
    MSSP_TABLE_NAME, Widen, Scale, Narrow, Scores, Weigh, Soften, SumOfSquares, Normalize, RotateHalves,
};

}  // namespace compat
}  // namespace mssp
