// FlashAttentionScore for inference: every layout, lengths, masks and bands; no dropout, no prefix.
#include <algorithm>

#include "arguments.h"
#include "attention.h"
#include "attention_arguments.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

constexpr int kQuery = 0;
constexpr int kKey = 1;
constexpr int kValue = 2;
constexpr int kRealShift = 3;
constexpr int kDropMask = 4;
constexpr int kPaddingMask = 5;
constexpr int kAttnMask = 6;
constexpr int kPrefix = 7;
constexpr int kQueryLens = 8;
constexpr int kKeyLens = 9;
constexpr int kHeadNum = 10;
constexpr int kKeepProb = 11;
constexpr int kScaleValue = 12;
constexpr int kPreTokens = 13;
constexpr int kNextTokens = 14;
constexpr int kInputLayout = 16;
constexpr int kSparseMode = 17;

// Outputs.
constexpr int kSoftmaxMax = 0;
constexpr int kSoftmaxSum = 1;
constexpr int kSoftmaxOut = 2;
constexpr int kAttentionOut = 3;

// MindSpore's FASInputLayoutMode.
enum Layout { kBsh = 0, kBnsd = 1, kSbh = 2, kBsnd = 3, kTnd = 4, kTh = 5 };
constexpr const char* kLayoutShapes[] = {"[B, S, H]",    "[B, N, S, D]", "[S, B, H]",
                                         "[B, S, N, D]", "[T, N, D]",    "[T, H] or [B, S, H]"};
constexpr int32_t kLayoutRanks[] = {3, 4, 3, 4, 3, 2};

// MindSpore's sparse_mode.
constexpr int64_t kDefaultMask = 0;
constexpr int64_t kAllMask = 1;
constexpr int64_t kLeftUpCausal = 2;
constexpr int64_t kRightDownCausal = 3;
constexpr int64_t kBand = 4;

constexpr int64_t kTriangle = 128;  // a mask of that side stands for a causal one of any length, in TH

// Query, key or value, whatever the layout; strides in numbers.
struct Shape {
  int64_t batch, tokens, heads, size, batch_stride, token_stride, head_stride;
};

Shape ShapeOf(const Arguments& call, int i, int64_t layout, int64_t head_num, int64_t head_size) {
  const auto& tensor = call.In(i);
  const bool flat = layout == kTh && tensor.rank == 3;  // TH of [1, T, H] or [B, S, H]: the same memory
  if (!flat) call.ExpectRank(i, kLayoutRanks[layout], kLayoutRanks[layout], kLayoutShapes[layout]);
  const int64_t* d = tensor.shape;
  Shape s{};
  switch (layout) {
    case kBnsd:
      s = {d[0], d[2], d[1], d[3], d[1] * d[2] * d[3], d[3], d[2] * d[3]};
      return s;
    case kBsnd:
      s = {d[0], d[1], d[2], d[3], d[1] * d[2] * d[3], d[2] * d[3], d[3]};
      return s;
    case kTnd:
      s = {1, d[0], d[1], d[2], 0, d[1] * d[2], d[2]};
      return s;
    default:
      break;
  }
  const int64_t hidden = d[tensor.rank - 1];
  // The query's heads are given; of keys and values their size is, by the query.
  const int64_t heads = head_num > 0 ? head_num : (PartOf(call, i, hidden, head_size), hidden / head_size);
  const int64_t size = head_num > 0 ? PartOf(call, i, hidden, head_num) : head_size;
  if (layout == kBsh) return {d[0], d[1], heads, size, d[1] * hidden, hidden, size};
  if (layout == kSbh) return {d[1], d[0], heads, size, hidden, d[1] * hidden, size};
  return {1, CountOf(tensor) / std::max<int64_t>(1, hidden), heads, size, 0, hidden, size};
}

// The lengths of TH and TND: each sequence's, or ends that add up.
std::vector<int64_t> Lengths(const Arguments& call, int i, int64_t layout, int64_t tokens) {
  std::vector<int64_t> lens = call.Ints(i);
  if (layout == kTnd) {
    for (size_t b = 0; b < lens.size(); ++b) {
      const int64_t before = b == 0 ? 0 : lens[b - 1];
      if (lens[b] < before) {
        call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, std::to_string(lens[b]) + " at " + std::to_string(b),
                    std::to_string(before) + " or more: ends of sequences that rise");
      }
    }
    for (size_t b = lens.size(); b-- > 1;) lens[b] -= lens[b - 1];
  }
  const int64_t sum = call.SumOf(i, lens);
  if (sum != tokens) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, i, "a sum of " + std::to_string(sum),
                std::to_string(tokens) + ", the tokens of " + (i == kQueryLens ? "query" : "key"));
  }
  return lens;
}

// Whether the first `seen` of a row's numbers leave their keys alone, and the others take them away and are not just
// added to their scores.
bool MasksBehind(const uint8_t* row, int64_t seen, int64_t count) {
  return !AnyOf<SixteenBytes>(row, seen, [](SixteenBytes x) { return x != 0; }) &&
         !AnyOf<SixteenBytes>(row + seen, count - seen, [](SixteenBytes x) { return x == 0; });
}

bool MasksBehind(int32_t type, const float* row, int64_t seen, int64_t count) {
  const float least = LeastMasked(type);
  const float other = type == MSSP_BUILTIN_BFLOAT16 ? 1.0f : least;
  return !AnyOf<FourFloats>(row, seen, [](FourFloats x) { return x != 0.0f; }) &&
         !AnyOf<FourFloats>(row + seen, count - seen,
                            [least, other](FourFloats x) { return ~((x <= least) | (x == other)); });
}

// Whether a mask of side * side numbers lets query i see the keys up to i: so many of its rows and columns, which are
// as many as there are queries and keys. The rest says nothing.
bool IsTriangle(const MsspBuiltinTensor& mask, int64_t side, int64_t rows, int64_t columns) {
  rows = std::min(rows, side);
  columns = std::min(columns, side);
  const int64_t bytes = ItemBytes(mask.type);
  std::vector<float> row(static_cast<size_t>(bytes == 1 ? 0 : columns));
  for (int64_t i = 0; i < rows; ++i) {
    const char* from = static_cast<const char*>(mask.data) + i * side * bytes;
    const int64_t seen = std::min(i + 1, columns);
    bool fits = false;
    if (bytes == 1) {
      fits = MasksBehind(reinterpret_cast<const uint8_t*>(from), seen, columns);
    } else {
      ActiveVectors().widen(mask.type, from, columns, row.data());
      fits = MasksBehind(mask.type, row.data(), seen, columns);
    }
    if (!fits) return false;
  }
  return true;
}

class FlashAttention {
 public:
  explicit FlashAttention(const Arguments& call) : call_(call) {}

  void Run() {
    CheckNumbers();
    CheckTensors();
    Divide();
    AddRealShift();
    AddMask();
    PlaceStatistics();
    if (call_.num_outputs() > kSoftmaxOut) {
      const auto& out = call_.Out(kSoftmaxOut);
      std::fill_n(static_cast<char*>(out.data), CountOf(out) * ItemBytes(out.type), 0);
    }
    Attend(attention_);
  }

 private:
  void CheckNumbers() {
    call_.ExpectNone(kDropMask, "dropout belongs to training");
    call_.ExpectNone(kPaddingMask, "MindSpore reserves it");
    call_.ExpectNone(kPrefix, "MindSpore does not implement it");
    if (call_.Float(kKeepProb) != 1.0) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kKeepProb, std::to_string(call_.Float(kKeepProb)),
                   "1.0: dropout belongs to training");
    }
    attention_.num_heads = HeadCount(call_, kHeadNum);
    attention_.scale = static_cast<float>(call_.Float(kScaleValue));
    layout_ = call_.Int(kInputLayout);
    if (layout_ < kBsh || layout_ > kTh) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kInputLayout, std::to_string(layout_), "BSH, BNSD, SBH, BSND, TND or TH");
    }
    sparse_mode_ = call_.Int(kSparseMode);
    if (sparse_mode_ < kDefaultMask || sparse_mode_ > kBand) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kSparseMode, std::to_string(sparse_mode_), "0 to 4");
    }
  }

  void CheckTensors() {
    call_.ExpectType(kQuery, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT32});
    call_.ExpectSameType(kKey, kQuery);
    call_.ExpectSameType(kValue, kQuery);
    attention_.type = call_.In(kQuery).type;
    query_ = ShapeOf(call_, kQuery, layout_, attention_.num_heads, 0);
    if (query_.heads != attention_.num_heads || query_.size == 0) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kQuery, ShapeText(call_.In(kQuery)),
                   std::to_string(attention_.num_heads) + " heads, by head_num, of 1 number or more");
    }
    key_ = ShapeOf(call_, kKey, layout_, 0, query_.size);
    if (key_.size != query_.size || key_.heads == 0 || query_.heads % key_.heads != 0 || key_.batch != query_.batch) {
      call_.Refuse(
          MSSP_BUILTIN_VALUE_ERROR, kKey, ShapeText(call_.In(kKey)),
          "query's batch and head size, and a number of heads that divides query's, by " + ShapeText(call_.In(kQuery)));
    }
    attention_.num_kv_heads = key_.heads;
    attention_.key_size = query_.size;
    value_ = ShapeOf(call_, kValue, layout_, key_.heads, 0);
    if (value_.heads != key_.heads || value_.tokens != key_.tokens || value_.batch != key_.batch) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kValue, ShapeText(call_.In(kValue)),
                   "key's batch, tokens and heads, by " + ShapeText(call_.In(kKey)));
    }
    attention_.value_size = value_.size;
    call_.ExpectOutput(kAttentionOut, query_.batch * query_.tokens * query_.heads * value_.size, attention_.type);
  }

  void Divide() {
    const bool ragged = layout_ == kTh || layout_ == kTnd;
    if (!ragged) {
      for (int64_t b = 0; b < query_.batch; ++b) Add(b, 0, query_.tokens, 0, key_.tokens);
      return;
    }
    const std::vector<int64_t> queries = Lengths(call_, kQueryLens, layout_, query_.tokens);
    const std::vector<int64_t> keys = Lengths(call_, kKeyLens, layout_, key_.tokens);
    if (queries.size() != keys.size()) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kKeyLens, ShapeText(call_.In(kKeyLens)),
                   std::to_string(queries.size()) + " numbers as actual_seq_qlen has");
    }
    int64_t query = 0;
    int64_t key = 0;
    for (size_t b = 0; b < queries.size(); ++b) {
      Add(0, query, queries[b], key, keys[b]);
      query += queries[b];
      key += keys[b];
    }
  }

  Operand OperandOf(int i, const Shape& shape, int64_t batch, int64_t token) const {
    const auto& tensor = call_.In(i);
    const int64_t bytes = ItemBytes(tensor.type);
    const int64_t offset = batch * shape.batch_stride + token * shape.token_stride;
    return {static_cast<const char*>(tensor.data) + offset * bytes, shape.token_stride * bytes,
            shape.head_stride * bytes, tensor.type};
  }

  void Add(int64_t batch, int64_t query, int64_t num_queries, int64_t key, int64_t num_keys) {
    Sequence sequence;
    sequence.query = OperandOf(kQuery, query_, batch, query);
    sequence.num_queries = num_queries;
    sequence.key = OperandOf(kKey, key_, batch, key);
    sequence.value = OperandOf(kValue, value_, batch, key);
    sequence.num_keys = num_keys;
    // The output has the query's layout; its heads are as wide as the value's.
    const int64_t bytes = ItemBytes(attention_.type);
    const auto widths = [&](int64_t stride) { return stride / query_.size * value_.size; };
    sequence.out = static_cast<char*>(call_.Out(kAttentionOut).data) +
                   (batch * widths(query_.batch_stride) + query * widths(query_.token_stride)) * bytes;
    sequence.out_token_stride = widths(query_.token_stride) * bytes;
    sequence.out_head_stride = widths(query_.head_stride) * bytes;
    starts_.push_back(query);
    attention_.sequences.push_back(sequence);
  }

  // scale * (scores + real_shift).
  void AddRealShift() {
    if (!call_.Has(kRealShift)) return;
    const auto& shift = call_.In(kRealShift);
    call_.ExpectType(kRealShift, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT32});
    const bool ragged = layout_ == kTh || layout_ == kTnd;
    if (ragged || shift.rank != 4 || (shift.shape[0] != 1 && shift.shape[0] != query_.batch) ||
        shift.shape[1] != query_.heads || shift.shape[2] != query_.tokens || shift.shape[3] != key_.tokens) {
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kRealShift, ShapeText(shift),
                   "[B or 1, N, S1, S2], not the one of 1024 rows, and a layout that has B and S");
    }
    Bias bias;
    bias.type = shift.type;
    bias.factor = attention_.scale;
    bias.query_stride = shift.shape[3];
    bias.head_stride = shift.shape[2] * shift.shape[3];
    const int64_t batch_stride = shift.shape[0] == 1 ? 0 : shift.shape[1] * bias.head_stride;
    for (size_t b = 0; b < attention_.sequences.size(); ++b) {
      bias.base = static_cast<const char*>(shift.data) + static_cast<int64_t>(b) * batch_stride * ItemBytes(shift.type);
      attention_.sequences[b].biases.push_back(bias);
    }
  }

  void AddMask() {
    const bool has_mask = call_.Has(kAttnMask);
    if (has_mask && sparse_mode_ >= kLeftUpCausal) ExpectCompressedMask();
    if (sparse_mode_ == kLeftUpCausal) {
      for (Sequence& s : attention_.sequences) s.end = 1;
      return;
    }
    if (sparse_mode_ == kRightDownCausal) {
      for (Sequence& s : attention_.sequences) s.end = s.num_keys - s.num_queries + 1;
      return;
    }
    // The documents: without a mask, mode 0 does not look at pre_tokens and next_tokens.
    if (sparse_mode_ == kBand || (sparse_mode_ == kDefaultMask && has_mask)) {
      const int64_t before = std::clamp(call_.Int(kPreTokens), -kUnlimited, kUnlimited);
      const int64_t after = std::clamp(call_.Int(kNextTokens), -kUnlimited, kUnlimited - 1);
      for (Sequence& s : attention_.sequences) {
        const int64_t corner = sparse_mode_ == kBand ? s.num_keys - s.num_queries : 0;
        s.first = corner - before;
        s.end = corner + after + 1;
      }
    }
    if (sparse_mode_ == kBand) return;
    if (!has_mask) {
      if (sparse_mode_ == kAllMask)
        call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kAttnMask, "None", "a mask of sparse_mode 1");
      return;
    }
    AddMaskTensor();
  }

  void ExpectTypeOfMask() const {
    call_.ExpectType(kAttnMask, {MSSP_BUILTIN_BOOL, MSSP_BUILTIN_UINT8, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16,
                                 MSSP_BUILTIN_FLOAT32});
  }

  // The documents: modes 2 to 4 take a triangle of 2048 x 2048, whatever the lengths. It says no more than the mode;
  // what lies beyond the longest sequence is not looked at.
  void ExpectCompressedMask() const {
    const auto& mask = call_.In(kAttnMask);
    ExpectTypeOfMask();
    const int64_t side = mask.rank == 0 ? 0 : mask.shape[mask.rank - 1];
    const bool square = mask.rank >= 2 && mask.shape[mask.rank - 2] == side && CountOf(mask) == Product(side, side);
    if (square && IsTriangle(mask, side, MostQueries(attention_), MostKeys(attention_))) return;
    call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kAttnMask, ShapeText(mask) + (square ? " of other numbers" : ""),
                 "None or a causal triangle, as of 2048 x 2048, in sparse_mode " + std::to_string(sparse_mode_) +
                     "; sparse_mode 0 and 1 take other masks");
  }

  void AddMaskTensor() {
    const auto& mask = call_.In(kAttnMask);
    ExpectTypeOfMask();
    const int64_t queries = MostQueries(attention_);
    const int64_t keys = MostKeys(attention_);
    const bool ragged = layout_ == kTh || layout_ == kTnd;
    const bool two = mask.rank == 2;
    const int64_t rows = mask.rank >= 2 ? mask.shape[mask.rank - 2] : 0;
    const int64_t columns = mask.rank >= 2 ? mask.shape[mask.rank - 1] : 0;
    if (layout_ == kTh && two && rows == kTriangle && columns == kTriangle &&
        IsTriangle(mask, kTriangle, queries, keys)) {
      for (Sequence& s : attention_.sequences) s.end = std::min<int64_t>(s.end, 1);
      return;
    }
    const bool four = mask.rank == 4 && !ragged && (mask.shape[0] == query_.batch || mask.shape[0] == 1) &&
                      (mask.shape[1] == query_.heads || mask.shape[1] == 1);
    const bool covers = rows >= queries && columns >= keys;
    if (!covers || !(two || four)) {
      std::string expected = "[S1, S2]";
      if (!ragged) expected += ", [B, 1, S1, S2] or [B, N, S1, S2]";
      expected += " with S1 >= " + std::to_string(queries) + " and S2 >= " + std::to_string(keys);
      if (layout_ == kTh) {
        expected +=
            ", or the causal one of 128 x 128: above the diagonal 1 in bool, uint8 or bfloat16, or -10000 or less";
      }
      call_.Refuse(MSSP_BUILTIN_VALUE_ERROR, kAttnMask, ShapeText(mask), expected);
    }
    Bias bias;
    bias.type = mask.type;
    bias.discards = mask.type == MSSP_BUILTIN_BOOL || mask.type == MSSP_BUILTIN_UINT8;
    if (mask.type == MSSP_BUILTIN_BFLOAT16) bias.factor = FactorOfMask(call_, kAttnMask);
    bias.query_stride = columns;
    bias.head_stride = four && mask.shape[1] != 1 ? rows * columns : 0;
    const int64_t batch_stride = four && mask.shape[0] != 1 ? mask.shape[1] * rows * columns : 0;
    for (size_t b = 0; b < attention_.sequences.size(); ++b) {
      bias.base = static_cast<const char*>(mask.data) + static_cast<int64_t>(b) * batch_stride * ItemBytes(mask.type);
      attention_.sequences[b].biases.push_back(bias);
    }
  }

  // softmax_max and softmax_sum: [B, N, S, 8], [T, N, 8] or, in TH, [T, N * 8].
  void PlaceStatistics() {
    const int64_t count = query_.batch * query_.heads * query_.tokens * kStatisticCopies;
    for (const int i : {kSoftmaxMax, kSoftmaxSum}) {
      const auto& out = call_.Out(i);
      if (out.type != MSSP_BUILTIN_FLOAT32) return;
      std::fill_n(static_cast<float*>(out.data), CountOf(out), 0.0f);
    }
    if (CountOf(call_.Out(kSoftmaxMax)) != count || CountOf(call_.Out(kSoftmaxSum)) != count) return;
    const bool tnd = layout_ == kTnd || layout_ == kTh;
    for (size_t b = 0; b < attention_.sequences.size(); ++b) {
      Sequence& s = attention_.sequences[b];
      s.statistic_token_stride = tnd ? query_.heads * kStatisticCopies : kStatisticCopies;
      s.statistic_head_stride = tnd ? kStatisticCopies : query_.tokens * kStatisticCopies;
      const int64_t at = tnd ? starts_[b] * s.statistic_token_stride
                             : static_cast<int64_t>(b) * query_.heads * s.statistic_head_stride;
      s.row_max = static_cast<float*>(call_.Out(kSoftmaxMax).data) + at;
      s.row_sum = static_cast<float*>(call_.Out(kSoftmaxSum).data) + at;
    }
  }

  const Arguments& call_;
  AttentionCall attention_;
  int64_t layout_ = 0;
  int64_t sparse_mode_ = 0;
  Shape query_{};
  Shape key_{};
  Shape value_{};
  std::vector<int64_t> starts_;
};

}  // namespace

void FlashAttentionScore(const Arguments& call) { FlashAttention(call).Run(); }

}  // namespace compat
}  // namespace mssp
