// ApplyRotaryPosEmb: cos_format 0 and 2 rotate halves, 1 and 3 neighbours; 0 and 1 take rows by position_ids, 2 and 3
// have lengths there.
#include <cstring>
#include <string>

#include "../core/simd/cpu_features.h"
#include "arguments.h"
#include "parallel.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

constexpr int kQuery = 0;
constexpr int kKey = 1;
constexpr int kCos = 2;
constexpr int kSin = 3;
constexpr int kPositionIds = 4;
constexpr int kCosFormat = 5;

void RotateNeighbours(const VectorKernels& vectors, int32_t type, const char* from, const float* cos, const float* sin,
                      int64_t heads, int64_t size, char* to, float* row) {
  const int64_t bytes = size * ItemBytes(type);
  for (int64_t h = 0; h < heads; ++h, from += bytes, to += bytes) {
    vectors.widen(type, from, size, row);
    for (int64_t i = 0; i + 1 < size; i += 2) {
      const float a = row[i];
      const float b = row[i + 1];
      row[i] = a * cos[i] - b * sin[i];
      row[i + 1] = b * cos[i + 1] + a * sin[i + 1];
    }
    vectors.narrow(type, row, 1.0f, size, to);
  }
}

// Whether row t may be position t's: the sines of position 0, and of no other, are all 0.
bool BeginsOnce(const MsspBuiltinTensor& sin, int64_t rows, int64_t size) {
  const int64_t item = ItemBytes(sin.type);
  const auto* bytes = static_cast<const uint8_t*>(sin.data);
  const auto is_zero = [&](int64_t row) {
    for (int64_t i = 0; i < size; ++i) {
      const uint8_t* number = bytes + (row * size + i) * item;
      uint8_t bits = static_cast<uint8_t>(number[item - 1] & 0x7F);  // without the sign
      for (int64_t b = 0; b + 1 < item; ++b) bits = static_cast<uint8_t>(bits | number[b]);
      if (bits != 0) return false;
    }
    return true;
  };
  if (rows == 0 || !is_zero(0)) return false;
  for (int64_t row = 1; row < rows; ++row) {
    if (is_zero(row)) return false;
  }
  return true;
}

// Whether token t finds the same numbers in row rows[t] as in row t.
bool SameRows(const MsspBuiltinTensor& cos, const MsspBuiltinTensor& sin, const std::vector<int64_t>& rows,
              int64_t size) {
  for (const MsspBuiltinTensor* tensor : {&cos, &sin}) {
    const int64_t bytes = size * ItemBytes(tensor->type);
    const auto* data = static_cast<const char*>(tensor->data);
    for (size_t t = 0; t < rows.size(); ++t) {
      const auto row = static_cast<int64_t>(t);
      if (rows[t] != row && std::memcmp(data + rows[t] * bytes, data + row * bytes, static_cast<size_t>(bytes)) != 0) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

void ApplyRotaryPosEmb(const Arguments& call) {
  call.ExpectType(kQuery, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT32});
  call.ExpectSameType(kKey, kQuery);
  call.ExpectType(kCos, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT32});
  call.ExpectSameType(kSin, kCos);
  call.ExpectRank(kQuery, 2, 4, "[T, num_head * head_size] or [.., num_head, head_size]");
  call.ExpectRank(kKey, 2, 4, "[T, num_head * head_size] or [.., num_head, head_size]");
  call.ExpectRank(kCos, 2, 4, "[rows, head_size]");
  const int64_t format = call.Int(kCosFormat);
  if (format < 0 || format > 3) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kCosFormat, std::to_string(format), "0 to 3");
  }
  const auto& query = call.In(kQuery);
  const auto& key = call.In(kKey);
  const auto& cos = call.In(kCos);
  const auto& sin = call.In(kSin);
  if (sin.rank != cos.rank || !std::equal(cos.shape, cos.shape + cos.rank, sin.shape)) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kSin, ShapeText(sin), ShapeText(cos) + " as cos has");
  }
  const int64_t size = cos.shape[cos.rank - 1];
  const int64_t table_rows = size == 0 ? 0 : CountOf(cos) / size;
  if (size < 2 || size % 2 != 0) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kCos, ShapeText(cos), "an even head_size of 2 or more");
  }
  // Tokens are what the last dimensions leave: [T, hidden], [B, S, hidden] or [B, S, N, D].
  const auto tokens_of = [&](int i) {
    const auto& tensor = call.In(i);
    int64_t tokens = 1;
    for (int32_t d = 0; d < tensor.rank - (tensor.rank == 4 ? 2 : 1); ++d) tokens *= tensor.shape[d];
    return tokens;
  };
  const int64_t tokens = tokens_of(kQuery);
  for (const int i : {kQuery, kKey}) {
    const auto& tensor = call.In(i);
    const int64_t last = tensor.shape[tensor.rank - 1];
    if (last % size != 0 || (tensor.rank == 4 && last != size) || tokens_of(i) != tokens) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(tensor),
                  std::to_string(tokens) + " tokens of heads of " + std::to_string(size) + ", by cos");
    }
    call.ExpectOutput(i, CountOf(tensor), query.type);
  }
  const std::vector<int64_t> given = call.Ints(kPositionIds);
  const int64_t sum = call.SumOf(kPositionIds, given);
  std::vector<int64_t> rows(static_cast<size_t>(tokens));
  if (format < 2) {
    if (static_cast<int64_t>(given.size()) != tokens) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kPositionIds, ShapeText(call.In(kPositionIds)),
                  std::to_string(tokens) + " positions, one for each token");
    }
    rows = given;
  } else if (table_rows == tokens && sum != tokens) {
    for (int64_t t = 0; t < tokens; ++t) rows[static_cast<size_t>(t)] = t;  // decode: a row for each token
  } else if (sum == tokens) {
    // Positions that start at 0 in every sequence, in a table; or cos was gathered, a row for each token.
    size_t t = 0;
    for (const int64_t length : given) {
      for (int64_t position = 0; position < length; ++position) rows[t++] = position;
    }
    if (table_rows == tokens && !SameRows(cos, sin, rows, size)) {
      if (BeginsOnce(sin, table_rows, size)) {
        call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kPositionIds,
                    "lengths with a sum of " + std::to_string(sum) + ", and as many rows of cos from position 0 on",
                    "a table of another height, or, for rows of tokens, lengths with another sum (of context, or 0): "
                    "this may be a table or a row for each token");
      }
      for (int64_t token = 0; token < tokens; ++token) rows[static_cast<size_t>(token)] = token;
    }
  } else if (sum == 0) {  // as apply_rotary_pos_emb_atb calls
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kCos, ShapeText(cos),
                std::to_string(tokens) + " rows, one for each token of query, where position_ids has no lengths");
  } else {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kPositionIds, "lengths with a sum of " + std::to_string(sum),
                std::to_string(tokens) + ", the tokens of query, or cos and sin with a row for each token");
  }
  for (const int64_t row : rows) {
    if (row >= table_rows) {
      call.Refuse(MSSP_BUILTIN_INDEX_ERROR, kPositionIds, "position " + std::to_string(row),
                  "less than cos's rows, " + std::to_string(table_rows));
    }
  }
  const VectorKernels& vectors = ActiveVectors();
  const int64_t heads[] = {CountOf(query) / std::max<int64_t>(1, tokens * size),
                           CountOf(key) / std::max<int64_t>(1, tokens * size)};
  const int64_t bytes = 2 * (CountOf(query) + CountOf(key)) * ItemBytes(query.type);
  const int64_t item = ItemBytes(query.type);
  const int64_t half_bytes = size / 2 * item;
  const bool even = format % 2 == 0;
  const bool streams[] = {even && StreamsTo(call.Out(kQuery).data, CountOf(query) * item, half_bytes),
                          even && StreamsTo(call.Out(kKey).data, CountOf(key) * item, half_bytes)};
  ForEachPiece(tokens, bytes, 3 * size, [&](int64_t begin, int64_t end, float* scratch) {
    float* cosines = scratch;
    float* sines = scratch + size;
    for (int64_t t = begin; t < end; ++t) {
      const int64_t at = rows[static_cast<size_t>(t)] * size * ItemBytes(cos.type);
      vectors.widen(cos.type, static_cast<const char*>(cos.data) + at, size, cosines);
      vectors.widen(sin.type, static_cast<const char*>(sin.data) + at, size, sines);
      for (const int i : {kQuery, kKey}) {
        const int64_t offset = t * heads[i] * size * item;
        const char* from = static_cast<const char*>(call.In(i).data) + offset;
        char* to = static_cast<char*>(call.Out(i).data) + offset;
        if (even) {
          vectors.rotate_halves(query.type, from, cosines, sines, heads[i], size, to, streams[i]);
        } else {
          RotateNeighbours(vectors, query.type, from, cosines, sines, heads[i], size, to, scratch + 2 * size);
        }
      }
    }
    if (streams[0] || streams[1]) ActiveKernels().fence();
  });
}

}  // namespace compat
}  // namespace mssp
