// Bytes -> a call of one of MindSpore's built-in operators, good or with some arguments broken -> it runs, or is
// refused with a sentence and leaves every byte of its outputs. Good calls must run. Every tensor is memory of exactly
// its size, so that a sanitizer sees what is read or written beside it.
#include <cmath>
#include <limits>
#include <string>

#include "compat/builtin.h"
#include "core/policy.h"
#include "core/simd/cpu_features.h"
#include "core/threads.h"
#include "drawing.h"

namespace {

using fuzz::Bytes;

constexpr int64_t kAffordable = 1 << 20;  // bytes of one tensor that a test call may have
constexpr int64_t kItemBytes[] = {0, 4, 2, 2, 8, 1, 1, 1, 2, 2, 4, 4, 8, 8, 16};
constexpr int32_t kFloats[] = {MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16};

struct Tensor {
  int32_t type = MSSP_BUILTIN_NONE;
  std::vector<int64_t> shape;
  std::unique_ptr<char[]> data;

  int64_t Count() const {
    int64_t count = 1;
    for (const int64_t dimension : shape) {
      if (dimension == 0) return 0;
      if (__builtin_mul_overflow(count, dimension, &count)) return -1;
    }
    return count;
  }
  size_t NumBytes() const { return static_cast<size_t>(std::max<int64_t>(0, Count() * kItemBytes[type])); }
  MsspBuiltinTensor View() const {
    return {data.get(), shape.empty() ? nullptr : shape.data(), static_cast<int32_t>(shape.size()), type};
  }
};

// New memory for the tensor's shape, its old bytes over and over.
void Allocate(Tensor* tensor, uint64_t* seed) {
  const size_t bytes = tensor->NumBytes();
  std::unique_ptr<char[]> data(new char[bytes]);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<char>(fuzz::Mix(seed) >> 40);
  tensor->data = std::move(data);
}

class Draw {
 public:
  Draw(Bytes* in, uint64_t* seed) : in_(*in), seed_(*seed) {}

  // Numbers of both signs of 2^-3 to 2^1: nothing overflows.
  Tensor Floats(int32_t type, std::vector<int64_t> shape) {
    Tensor tensor = Empty(type, std::move(shape));
    for (int64_t i = 0, count = tensor.Count(); i < count; ++i) {
      const auto bits = static_cast<uint32_t>(fuzz::Mix(&seed_) >> 32);
      const uint32_t code = (bits & 0x80000000u) | ((124 + (bits >> 8) % 4) << 23) | (bits & 0x7F0000u);
      if (type == MSSP_BUILTIN_FLOAT16) {
        const auto half = static_cast<uint16_t>((code >> 16 & 0x8000u) | ((code >> 23 & 0xFF) - 112) << 10);
        std::memcpy(tensor.data.get() + 2 * i, &half, 2);
      } else if (type == MSSP_BUILTIN_BFLOAT16) {
        const auto brain = static_cast<uint16_t>(code >> 16);
        std::memcpy(tensor.data.get() + 2 * i, &brain, 2);
      } else {
        std::memcpy(tensor.data.get() + 4 * i, &code, 4);
      }
    }
    return tensor;
  }

  // [side, side], 1 above the diagonal.
  static Tensor Triangle(int64_t side) {
    Tensor tensor = Empty(MSSP_BUILTIN_UINT8, {side, side});
    for (int64_t i = 0; i < side; ++i) {
      for (int64_t j = i + 1; j < side; ++j) tensor.data[static_cast<size_t>(i * side + j)] = 1;
    }
    return tensor;
  }

  Tensor Bits(int32_t type, std::vector<int64_t> shape) {
    Tensor tensor = Empty(type, std::move(shape));
    Allocate(&tensor, &seed_);
    return tensor;
  }

  Tensor Ints(const std::vector<int64_t>& values, std::vector<int64_t> shape = {}) {
    if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
    Tensor tensor = Empty(in_.Below(2) != 0 ? MSSP_BUILTIN_INT64 : MSSP_BUILTIN_INT32, std::move(shape));
    const auto bytes = fuzz::Narrow(values, tensor.type == MSSP_BUILTIN_INT64 ? MSSP_INDEX_INT64 : MSSP_INDEX_INT32);
    if (!bytes.empty()) std::memcpy(tensor.data.get(), bytes.data(), bytes.size());
    return tensor;
  }

  static Tensor Empty(int32_t type, std::vector<int64_t> shape) {
    Tensor tensor;
    tensor.type = type;
    tensor.shape = std::move(shape);
    tensor.data.reset(new char[tensor.NumBytes()]());
    return tensor;
  }
  static Tensor None() { return Tensor{}; }
  static Tensor Number(int64_t value) {
    Tensor tensor = Empty(MSSP_BUILTIN_INT64, {});
    std::memcpy(tensor.data.get(), &value, 8);
    return tensor;
  }
  static Tensor Real(double value) {
    Tensor tensor = Empty(MSSP_BUILTIN_FLOAT64, {});
    std::memcpy(tensor.data.get(), &value, 8);
    return tensor;
  }

 private:
  Bytes& in_;
  uint64_t& seed_;
};

struct Call {
  const char* name;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
};

std::vector<int64_t> Lengths(Bytes* in, int64_t batch, int64_t most) {
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < batch; ++b) lengths.push_back(in->Below(most + 1));
  return lengths;
}

int64_t SumOf(const std::vector<int64_t>& numbers) {
  int64_t sum = 0;
  for (const int64_t number : numbers) sum += number;
  return sum;
}

constexpr int64_t kSizes[] = {16, 64, 1, 7, 33, 128};

void DrawPaged(Bytes* in, Draw* draw, bool masked, Call* call) {
  const int64_t kv_heads = 1 + in->Below(3);
  const int64_t heads = kv_heads * (1 + in->Below(5));
  const int64_t size = kSizes[in->Below(6)];
  const int64_t block_size = 1 + in->Below(5);
  const int64_t blocks = 1 + in->Below(6);
  const int64_t batch = in->Below(4);
  const int64_t width = 1 + in->Below(9);
  const int32_t type = kFloats[in->Below(3)];
  const int64_t kind = masked ? 0 : in->Below(4);  // 1: MLA, 2: int8, 3: int8 by token
  const int64_t value_size = kind == 1 ? 1 + in->Below(size) : kind == 0 ? kSizes[in->Below(6)] : size;
  std::vector<int64_t> lens, q_lens, table;
  for (int64_t b = 0; b < batch; ++b) {
    lens.push_back(in->Below(width * block_size + 1));
    q_lens.push_back(masked ? 1 : lens.back() == 0 ? in->Below(3) : in->Below(std::min<int64_t>(lens.back(), 20) + 1));
    for (int64_t w = 0; w < width; ++w) {
      const bool used = w * block_size < lens.back();
      table.push_back(used ? in->Below(blocks) : -1);
    }
  }
  const int64_t tokens = SumOf(q_lens);
  const int64_t longest = lens.empty() ? 0 : *std::max_element(lens.begin(), lens.end());
  const int32_t cache_type = kind > 1 ? static_cast<int32_t>(MSSP_BUILTIN_INT8) : type;
  const auto cache = [&](int64_t head_size) {
    std::vector<int64_t> shape{blocks, block_size, kv_heads, head_size};
    if (in->Below(2) != 0) shape = {blocks, block_size, kv_heads * head_size};
    return kind > 1 ? draw->Bits(cache_type, shape) : draw->Floats(cache_type, shape);
  };
  auto& inputs = call->inputs;
  inputs.push_back(draw->Floats(type, {tokens, heads * size}));
  inputs.push_back(cache(size));
  inputs.push_back(kind == 1 ? Draw::None() : cache(value_size));
  inputs.push_back(draw->Ints(table, {batch, width}));
  inputs.push_back(draw->Ints(lens));
  for (int i = 0; i < 2; ++i) {
    const std::vector<int64_t> shape =
        kind == 3 ? std::vector<int64_t>{2, batch + 1, longest + 1} : std::vector<int64_t>{2, kv_heads * size};
    const int64_t first = kind == 3 && i == 0 ? 1 : 0;  // by token float32 scales lie in memory as int64 do
    inputs.push_back(kind > 1 ? draw->Floats(kFloats[first + in->Below(3 - first)], shape) : Draw::None());
  }
  if (masked) {
    inputs.push_back(draw->Floats(kFloats[in->Below(3)], {batch, heads, 1, longest + in->Below(3)}));
  } else {
    const int64_t mask = in->Below(4);  // 0: attn_mask, 1: alibi_mask
    const std::vector<int64_t> shape{tokens, longest + in->Below(3)};
    inputs.push_back(mask == 0 ? draw->Floats(MSSP_BUILTIN_FLOAT16, shape) : Draw::None());
    inputs.push_back(draw->Ints(q_lens));
    inputs.push_back(mask == 1 ? draw->Floats(type, shape) : Draw::None());
  }
  inputs.push_back(Draw::Number(heads));
  inputs.push_back(Draw::Real(0.25));
  inputs.push_back(Draw::Number(kv_heads));
  inputs.push_back(Draw::Number(kind == 3 ? 1 : 0));
  if (!masked) {
    inputs.push_back(Draw::Number(in->Below(2)));
    inputs.push_back(Draw::Number(kind == 1 ? value_size : 0));
  }
  call->outputs.push_back(draw->Bits(type, {tokens, heads * value_size}));
}

void DrawFlash(Bytes* in, Draw* draw, Call* call) {
  const int64_t kv_heads = 1 + in->Below(3);
  const int64_t heads = kv_heads * (1 + in->Below(3));
  const int64_t size = kSizes[in->Below(6)];
  const int64_t value_size = kSizes[in->Below(6)];
  const int32_t type = kFloats[in->Below(3)];
  const int64_t layout = in->Below(6);
  const bool ragged = layout >= 4;
  const int64_t batch = ragged ? in->Below(4) : 1 + in->Below(2);
  std::vector<int64_t> q_lens = ragged ? Lengths(in, batch, 40) : std::vector<int64_t>{in->Below(40)};
  std::vector<int64_t> kv_lens = ragged ? q_lens : std::vector<int64_t>{in->Below(40)};
  if (ragged && in->Below(2) != 0) kv_lens = Lengths(in, batch, 40);
  const int64_t queries = SumOf(q_lens);
  const int64_t keys = SumOf(kv_lens);
  const auto shape = [&](int64_t tokens, int64_t n, int64_t d) -> std::vector<int64_t> {
    switch (layout) {
      case 0:
        return {batch, tokens, n * d};
      case 1:
        return {batch, n, tokens, d};
      case 2:
        return {tokens, batch, n * d};
      case 3:
        return {batch, tokens, n, d};
      case 4:
        return {tokens, n, d};
      default:
        return {tokens, n * d};
    }
  };
  auto& inputs = call->inputs;
  inputs.push_back(draw->Floats(type, shape(queries, heads, size)));
  inputs.push_back(draw->Floats(type, shape(keys, kv_heads, size)));
  inputs.push_back(draw->Floats(type, shape(keys, kv_heads, value_size)));
  const int64_t more = in->Below(4);
  const bool shifted = !ragged && more == 1;
  inputs.push_back(shifted ? draw->Floats(type, {batch, heads, queries, keys}) : Draw::None());
  inputs.push_back(Draw::None());
  inputs.push_back(Draw::None());
  int64_t sparse_mode = in->Below(5);
  const auto most_of = [](const std::vector<int64_t>& lens) {
    return lens.empty() ? 0 : *std::max_element(lens.begin(), lens.end());
  };
  if (sparse_mode > 1) {
    inputs.push_back(more == 2 ? draw->Triangle(1 + in->Below(40)) : Draw::None());
  } else if (sparse_mode == 1 || more == 2) {
    const int64_t rows = most_of(q_lens) + in->Below(3);
    const int64_t columns = most_of(kv_lens) + in->Below(3);
    std::vector<int64_t> mask_shape{rows, columns};
    if (!ragged && in->Below(2) != 0) mask_shape = {batch, in->Below(2) != 0 ? heads : 1, rows, columns};
    inputs.push_back(draw->Bits(MSSP_BUILTIN_UINT8, mask_shape));
  } else if (layout == 5 && more == 3) {
    inputs.push_back(draw->Floats(MSSP_BUILTIN_FLOAT32, {128, 128}));
  } else {
    inputs.push_back(Draw::None());
  }
  inputs.push_back(Draw::None());
  if (layout == 4) {
    for (int64_t b = 1; b < batch; ++b) {
      q_lens[static_cast<size_t>(b)] += q_lens[static_cast<size_t>(b - 1)];
      kv_lens[static_cast<size_t>(b)] += kv_lens[static_cast<size_t>(b - 1)];
    }
  }
  inputs.push_back(ragged ? draw->Ints(q_lens) : Draw::None());
  inputs.push_back(ragged ? draw->Ints(kv_lens) : Draw::None());
  inputs.push_back(Draw::Number(heads));
  inputs.push_back(Draw::Real(1));
  inputs.push_back(Draw::Real(0.25));
  for (int i = 0; i < 2; ++i) inputs.push_back(Draw::Number(in->Around(-3, 50)));
  inputs.push_back(Draw::Number(0));
  inputs.push_back(Draw::Number(layout));
  inputs.push_back(Draw::Number(sparse_mode));
  const int64_t statistics = (ragged ? 1 : batch) * queries * heads * 8;
  for (int i = 0; i < 2; ++i) call->outputs.push_back(draw->Bits(MSSP_BUILTIN_FLOAT32, {statistics}));
  call->outputs.push_back(draw->Bits(type, {1}));
  call->outputs.push_back(draw->Bits(type, shape(queries, heads, value_size)));
}

void DrawRotary(Bytes* in, Draw* draw, Call* call) {
  const int64_t size = 2 * kSizes[in->Below(6)];
  const int32_t type = kFloats[in->Below(3)];
  const int32_t table_type = kFloats[in->Below(3)];
  const int64_t format = in->Below(4);
  std::vector<int64_t> ids = Lengths(in, in->Below(4), 9);
  const int64_t tokens = format < 2 ? static_cast<int64_t>(ids.size()) : SumOf(ids);
  const int64_t rows = in->Below(2) != 0 && format >= 2 ? tokens : 10 + in->Below(20);
  auto& inputs = call->inputs;
  for (int i = 0; i < 2; ++i) {
    const int64_t heads = 1 + in->Below(5);
    const std::vector<int64_t> flat{tokens, heads * size};
    inputs.push_back(draw->Floats(type, in->Below(2) != 0 ? std::vector<int64_t>{1, tokens, heads, size} : flat));
    call->outputs.push_back(draw->Bits(type, flat));
  }
  for (int i = 0; i < 2; ++i) inputs.push_back(draw->Floats(table_type, {rows, size}));
  inputs.push_back(draw->Ints(ids));
  inputs.push_back(Draw::Number(format));
}

std::vector<int64_t> AnyShape(Bytes* in) {
  std::vector<int64_t> shape;
  for (int64_t rank = 1 + in->Below(3); rank > 0; --rank) shape.push_back(in->Below(8));
  return shape;
}

void DrawNorm(Bytes* in, Draw* draw, bool added, Call* call) {
  const int32_t type = kFloats[in->Below(3)];
  std::vector<int64_t> shape = AnyShape(in);
  shape.push_back(kSizes[in->Below(6)]);
  const auto gamma_rank = static_cast<std::ptrdiff_t>(1 + in->Below(static_cast<int64_t>(shape.size())));
  for (int i = 0; i < (added ? 2 : 1); ++i) call->inputs.push_back(draw->Floats(type, shape));
  call->inputs.push_back(draw->Floats(kFloats[in->Below(3)], {shape.end() - gamma_rank, shape.end()}));
  call->inputs.push_back(Draw::Real(1e-5));
  std::vector<int64_t> lead{shape.begin(), shape.end() - gamma_rank};
  lead.resize(shape.size(), 1);
  call->outputs.push_back(draw->Bits(type, shape));
  call->outputs.push_back(draw->Bits(MSSP_BUILTIN_FLOAT32, lead));
  if (added) call->outputs.push_back(draw->Bits(type, shape));
}

void DrawSmall(Bytes* in, Draw* draw, int64_t kind, Call* call) {
  constexpr int32_t kTypes[] = {MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT64,
                                MSSP_BUILTIN_BOOL,    MSSP_BUILTIN_INT8,    MSSP_BUILTIN_UINT8,    MSSP_BUILTIN_INT16,
                                MSSP_BUILTIN_INT32,   MSSP_BUILTIN_INT64};
  const int32_t type = kTypes[in->Below(10)];
  std::vector<int64_t> shape = AnyShape(in);
  const auto rank = static_cast<int64_t>(shape.size());
  const int64_t dim = in->Below(2 * rank) - rank;
  const auto at = static_cast<size_t>(dim < 0 ? dim + rank : dim);
  auto& inputs = call->inputs;
  inputs.push_back(draw->Bits(type, shape));
  if (kind == 0) {
    call->name = "CumsumExt";
    inputs.push_back(Draw::Number(dim));
    inputs.push_back(Draw::None());
    int32_t out = kTypes[in->Below(10)];
    if (out == MSSP_BUILTIN_BOOL) out = MSSP_BUILTIN_INT64;
    call->outputs.push_back(draw->Bits(out, shape));
  } else if (kind == 1) {
    call->name = "ArgMaxExt";
    if (shape[at] == 0) inputs[0] = draw->Bits(type, (shape[at] = 3, shape));
    inputs.push_back(Draw::Number(dim));
    inputs.push_back(Draw::Number(1));
    shape[at] = 1;
    call->outputs.push_back(draw->Bits(MSSP_BUILTIN_INT64, shape));
  } else if (kind == 2) {
    call->name = "IndexSelect";
    const int64_t chosen = shape[at] == 0 ? 0 : in->Below(9);
    std::vector<int64_t> index;
    for (int64_t i = 0; i < chosen; ++i) index.push_back(in->Below(shape[at]));
    inputs.push_back(Draw::Number(dim));
    inputs.push_back(draw->Ints(index));
    shape[at] = chosen;
    call->outputs.push_back(draw->Bits(type, shape));
  } else if (in->Below(3) == 0) {
    call->name = "RepeatInterleaveInt";
    const int64_t repeats = in->Below(4);
    for (const int64_t number : {repeats, dim}) inputs.push_back(Draw::Number(number));
    inputs.push_back(Draw::None());
    shape[at] *= repeats;
    call->outputs.push_back(draw->Bits(type, shape));
  } else if (in->Below(3) == 0) {
    call->name = "SliceExt";
    const int64_t start = in->Below(shape[at] + 1);
    const int64_t end = start + in->Below(shape[at] - start + 1);
    const int64_t step = 1 + in->Below(3);
    for (const int64_t number : {dim, start, end, step}) inputs.push_back(Draw::Number(number));
    shape[at] = (end - start + step - 1) / step;
    call->outputs.push_back(draw->Bits(type, shape));
  } else {
    call->name = "MoveTo";
    inputs.push_back(Draw::None());
    inputs.push_back(Draw::Number(1));
    call->outputs.push_back(draw->Bits(type, shape));
  }
}

void DrawQuant(Bytes* in, Draw* draw, Call* call) {
  std::vector<int64_t> shape = AnyShape(in);
  call->inputs.push_back(draw->Floats(kFloats[in->Below(3)], shape));
  for (int i = 0; i < 2; ++i) {
    const int64_t count = in->Below(2) != 0 ? 1 : shape.back();
    const bool zero_point = i == 1 && in->Below(2) != 0;
    call->inputs.push_back(zero_point ? draw->Bits(MSSP_BUILTIN_INT8, {count})
                                      : draw->Floats(kFloats[in->Below(3)], {count}));
  }
  call->inputs.push_back(Draw::Number(0));
  call->inputs.push_back(Draw::Number(0));
  call->inputs.push_back(Draw::None());
  call->outputs.push_back(draw->Bits(MSSP_BUILTIN_INT8, shape));
}

Call DrawCall(Bytes* in, Draw* draw) {
  Call call{};
  const int64_t kind = in->Below(12);
  if (kind < 3) {
    call.name = "PagedAttention";
    DrawPaged(in, draw, false, &call);
  } else if (kind < 5) {
    call.name = "FlashAttentionScore";
    DrawFlash(in, draw, &call);
  } else if (kind == 5) {
    call.name = "PagedAttentionMask";
    DrawPaged(in, draw, true, &call);
  } else if (kind == 6) {
    call.name = "ApplyRotaryPosEmb";
    DrawRotary(in, draw, &call);
  } else if (kind == 7) {
    call.name = "QuantV2";
    DrawQuant(in, draw, &call);
  } else if (kind < 10) {
    call.name = kind == 8 ? "RmsNorm" : "AddRmsNorm";
    DrawNorm(in, draw, kind == 9, &call);
  } else {
    DrawSmall(in, draw, in->Below(4), &call);
  }
  return call;
}

void Break(Bytes* in, uint64_t* seed, Tensor* tensor) {
  const std::vector<int64_t> before = tensor->shape;
  const int32_t type_before = tensor->type;
  auto& shape = tensor->shape;
  const int64_t kind = in->Below(8);
  if (kind == 0) {
    *tensor = Tensor{};
    return;
  }
  if (kind == 1) tensor->type = static_cast<int32_t>(in->Below(15));
  if (kind == 2 && !shape.empty()) shape.pop_back();
  if (kind == 3) shape.insert(shape.begin() + in->Below(static_cast<int64_t>(shape.size()) + 1), in->Below(3));
  if (kind == 4 && !shape.empty()) {
    int64_t& dimension = shape[static_cast<size_t>(in->Below(static_cast<int64_t>(shape.size())))];
    dimension = std::max<int64_t>(0, dimension + in->Below(5) - 2);
  }
  if (kind == 5 && shape.size() > 1) {  // nothing, of an absurd size
    shape[static_cast<size_t>(in->Below(static_cast<int64_t>(shape.size())))] = int64_t{1} << (20 + in->Below(43));
    shape[static_cast<size_t>(in->Below(static_cast<int64_t>(shape.size())))] = 0;
  }
  const int64_t count = tensor->Count();
  if (count < 0 || count > kAffordable / 16) {
    shape = before;
    tensor->type = type_before;
  }
  const bool changed = shape != before || tensor->type != type_before;
  if (tensor->type == MSSP_BUILTIN_NONE) return;
  if (changed || tensor->data == nullptr) Allocate(tensor, seed);
  if (kind < 6 || tensor->Count() <= 0) return;
  const int64_t at = in->Next() % tensor->Count();
  if (tensor->type == MSSP_BUILTIN_INT32 || tensor->type == MSSP_BUILTIN_INT64) {
    const int64_t value = in->Around(-4, 40);
    std::memcpy(tensor->data.get() + at * kItemBytes[tensor->type], &value,
                static_cast<size_t>(kItemBytes[tensor->type]));
  } else if (tensor->type == MSSP_BUILTIN_FLOAT64) {
    constexpr double kValues[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e300, 0.5, 2};
    std::memcpy(tensor->data.get() + 8 * at, &kValues[in->Below(8)], 8);
  } else {
    for (int64_t b = 0; b < kItemBytes[tensor->type]; ++b) {
      tensor->data[static_cast<size_t>(at * kItemBytes[tensor->type] + b)] = static_cast<char>(in->Next());
    }
  }
}

[[noreturn]] void Complain(const Call& call, int32_t code, const char* message, const char* what) {
  std::fprintf(stderr, "%s: %s; answered %d, \"%s\"\n", call.name, what, code, message);
  for (const Tensor& tensor : call.inputs) {
    std::fprintf(stderr, "  type %d [", tensor.type);
    for (const int64_t dimension : tensor.shape) std::fprintf(stderr, " %lld", static_cast<long long>(dimension));
    std::fprintf(stderr, " ]\n");
  }
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  uint64_t seed = in.Next();
  Draw draw(&in, &seed);
  constexpr const char* kSets[] = {nullptr, "avx2", "portable", "neon"};
  if (!mssp::SelectKernels(kSets[in.Below(4)])) mssp::SelectKernels(nullptr);
  mssp::SetNumThreads(static_cast<int>(1 + in.Below(3)));
  mssp::SetThresholds(-1, in.Below(2) != 0 ? 1 : -1);
  Call call = DrawCall(&in, &draw);
  const int64_t broken = in.Below(3);
  for (int64_t i = 0; i < broken; ++i) {
    const auto which =
        static_cast<size_t>(in.Below(static_cast<int64_t>(call.inputs.size()) + (in.Next() < 16 ? 1 : 0)));
    Tensor* tensor = which < call.inputs.size() ? &call.inputs[which] : &call.outputs[0];
    Break(&in, &seed, tensor);
  }
  std::vector<MsspBuiltinTensor> inputs, outputs;
  for (const Tensor& tensor : call.inputs) inputs.push_back(tensor.View());
  for (const Tensor& tensor : call.outputs) outputs.push_back(tensor.View());
  std::vector<std::string> before;
  for (const Tensor& tensor : call.outputs) before.emplace_back(tensor.data.get(), tensor.NumBytes());
  char message[1024];
  message[0] = '\0';
  const int32_t code = MsspBuiltinRun(call.name, inputs.data(), static_cast<int32_t>(inputs.size()), outputs.data(),
                                      static_cast<int32_t>(outputs.size()), message, sizeof(message));
  if (code == MSSP_BUILTIN_OK) return 0;
  if (broken == 0) Complain(call, code, message, "a good call was refused");
  if (std::strncmp(message, call.name, std::strlen(call.name)) != 0 || std::strstr(message, "expected") == nullptr) {
    Complain(call, code, message, "no sentence that says what was expected");
  }
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    if (before[i] != std::string(call.outputs[i].data.get(), call.outputs[i].NumBytes())) {
      Complain(call, code, message, "a refused call wrote");
    }
  }
  return 0;
}
