// PagedAttention and PagedAttentionMask: queries against pages that block_tables name.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "arguments.h"
#include "attention.h"
#include "attention_arguments.h"
#include "simd/vector_kernels.h"

namespace mssp {
namespace compat {
namespace {

constexpr int kQuery = 0;
constexpr int kKeyCache = 1;
constexpr int kValueCache = 2;
constexpr int kBlockTables = 3;
constexpr int kContextLens = 4;
constexpr int kAntiquantScale = 5;
constexpr int kAntiquantOffset = 6;
constexpr int kAttnMask = 7;
constexpr int kQSeqLens = 8;
constexpr int kAlibiMask = 9;
// The arguments that follow stand elsewhere in PagedAttentionMask.
struct Positions {
  int head_num, scale_value, kv_head_num, kv_cache_quant_mode, mask_mode, mla_v_dim;
};
constexpr Positions kPagedAttention = {10, 11, 12, 13, 14, 15};
constexpr Positions kPagedAttentionMask = {8, 9, 10, 11, -1, -1};

// MindSpore's kv_cache_quant_mode. Public networks show PERTOKEN's arithmetic: golden-stick's
// DynamicQuantPagedAttentionDeploy keeps the scale of key t of sequence b in [b, t].
constexpr int64_t kDefault = 0;
constexpr int64_t kPerToken = 1;

struct Paged {
  AttentionCall attention;
  int64_t num_blocks;
  int64_t block_size;
  int64_t num_tokens;
};

void CheckCache(const Arguments& call, int cache, const Paged& paged, int64_t kv_heads) {
  const auto& tensor = call.In(cache);
  call.ExpectRank(cache, 3, 4, "[num_blocks, block_size, num_head, head_size] or [num_blocks, block_size, hidden]");
  if (tensor.shape[0] != paged.num_blocks || tensor.shape[1] != paged.block_size ||
      (tensor.rank == 4 && tensor.shape[2] != kv_heads)) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, cache, ShapeText(tensor),
                "[" + std::to_string(paged.num_blocks) + ", " + std::to_string(paged.block_size) + ", " +
                    std::to_string(kv_heads) + ", head_size], by key_cache and kv_head_num");
  }
}

int64_t HeadSize(const Arguments& call, int cache, int64_t kv_heads) {
  const auto& tensor = call.In(cache);
  return tensor.rank == 4 ? tensor.shape[3] : PartOf(call, cache, tensor.shape[2], kv_heads);
}

Operand CacheOperand(const Arguments& call, int cache, int64_t kv_heads, int64_t size) {
  const auto& tensor = call.In(cache);
  const int64_t bytes = ItemBytes(tensor.type);
  return {static_cast<const char*>(tensor.data), kv_heads * size * bytes, size * bytes, tensor.type};
}

// What an int64 scale holds for Ascend's integer products: float32 in its low half, and nothing above.
float LowHalf(uint64_t number) {
  const auto bits = static_cast<uint32_t>(number);
  float value = 0.0f;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Scales or offsets as float32. By token, float32 is the memory of int64 scales: every other number is 0.
std::vector<float> LoadNumbers(const Arguments& call, int argument, bool by_token) {
  const auto& tensor = call.In(argument);
  const int64_t count = CountOf(tensor);
  if (tensor.type == MSSP_BUILTIN_INT32) {
    const std::vector<int64_t> whole = call.Ints(argument);
    return {whole.begin(), whole.end()};
  }
  const bool as_int64 = by_token && argument == kAntiquantScale && tensor.type == MSSP_BUILTIN_FLOAT32;
  if (tensor.type != MSSP_BUILTIN_INT64 && !as_int64) return Widened(tensor);
  std::vector<float> values(static_cast<size_t>(as_int64 ? count / 2 : count));
  for (size_t i = 0; i < values.size(); ++i) {
    uint64_t number = 0;
    std::memcpy(&number, static_cast<const char*>(tensor.data) + i * sizeof(number), sizeof(number));
    if (number >> 32 != 0) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, argument, "number " + std::to_string(i) + " with bits above its low half",
                  as_int64 ? "in PERTOKEN float32 with a 0 behind every scale, as int64 scales lie in memory"
                           : "int64 that hold the bits of a float32, and 0 above them");
    }
    values[i] = LowHalf(number);
  }
  return values;
}

// Keys' numbers, then values': [2, num_head * head_size], or by token [2, batch or more, longest context or more].
void LoadAntiquant(const Arguments& call, int argument, const AttentionCall& attention, bool by_token, int64_t* tokens,
                   std::vector<float>* key, std::vector<float>* value) {
  const int64_t key_width = attention.num_kv_heads * attention.key_size;
  const int64_t value_width = attention.num_kv_heads * attention.value_size;
  const auto& tensor = call.In(argument);
  const bool is_scale = argument == kAntiquantScale;
  call.ExpectType(argument, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_FLOAT32, MSSP_BUILTIN_BFLOAT16,
                             is_scale ? MSSP_BUILTIN_INT64 : MSSP_BUILTIN_INT32});
  if (by_token) {
    const std::vector<int64_t> lens = call.Ints(kContextLens);
    const int64_t longest = lens.empty() ? 0 : *std::max_element(lens.begin(), lens.end());
    const auto batch = static_cast<int64_t>(lens.size());
    const int64_t step = is_scale && tensor.type == MSSP_BUILTIN_FLOAT32 ? 2 : 1;
    bool fits = tensor.rank >= 3 && tensor.shape[0] == 2 && tensor.shape[1] >= batch && tensor.shape[2] % step == 0 &&
                tensor.shape[2] >= std::max<int64_t>(1, longest) * step;
    for (int32_t d = 3; fits && d < tensor.rank; ++d) fits = tensor.shape[d] == 1;
    if (!fits) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, argument, ShapeText(tensor),
                  "[2, " + std::to_string(batch) + " or more, " + std::to_string(Product(longest, step)) +
                      " or more]: a number of every key and of every value of context_lens, in PERTOKEN" +
                      (step == 2 ? ", in float32 with a 0 behind it" : ""));
    }
    *tokens = tensor.shape[2] / step;
  } else if (key_width != value_width) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, argument, ShapeText(tensor),
                "keys and values of one head_size, where its channels have numbers: keys have " +
                    std::to_string(attention.key_size) + ", values " + std::to_string(attention.value_size) +
                    ". PERTOKEN takes both");
  } else if (CountOf(tensor) != 2 * key_width) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, argument, ShapeText(tensor),
                "[2, " + std::to_string(key_width) + "], a number of every channel of keys and of values");
  }
  const std::vector<float> both = LoadNumbers(call, argument, by_token);
  const auto half = both.begin() + static_cast<int64_t>(both.size() / 2);
  key->assign(both.begin(), half);
  value->assign(half, both.end());
}

void LoadDequantization(const Arguments& call, bool by_token, AttentionCall* attention) {
  Dequantization& numbers = attention->dequantization;
  if (!call.Has(kAntiquantScale)) {
    call.ExpectNone(kAntiquantOffset, "antiquant_scale is None");
    if (by_token) call.Refuse(MSSP_BUILTIN_TYPE_ERROR, kAntiquantScale, "None", "a tensor, in PERTOKEN");
    return;
  }
  numbers.needed = true;
  LoadAntiquant(call, kAntiquantScale, *attention, by_token, &numbers.tokens, &numbers.key_scale, &numbers.value_scale);
  int64_t tokens = numbers.tokens;
  if (call.Has(kAntiquantOffset)) {
    LoadAntiquant(call, kAntiquantOffset, *attention, by_token, &tokens, &numbers.key_offset, &numbers.value_offset);
  } else {
    numbers.key_offset.assign(numbers.key_scale.size(), 0.0f);
    numbers.value_offset.assign(numbers.value_scale.size(), 0.0f);
  }
  if (tokens != numbers.tokens || numbers.key_offset.size() != numbers.key_scale.size()) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kAntiquantOffset, ShapeText(call.In(kAntiquantOffset)),
                ShapeText(call.In(kAntiquantScale)) + " as antiquant_scale has");
  }
}

Paged CheckCommon(const Arguments& call, const Positions& at, bool mla) {
  Paged paged{};
  AttentionCall& attention = paged.attention;
  attention.num_heads = HeadCount(call, at.head_num);
  attention.num_kv_heads = HeadCount(call, at.kv_head_num);
  attention.scale = static_cast<float>(call.Float(at.scale_value));
  if (attention.num_heads % attention.num_kv_heads != 0) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, at.head_num, std::to_string(attention.num_heads),
                "a multiple of kv_head_num, " + std::to_string(attention.num_kv_heads));
  }
  const int64_t quant_mode = call.Int(at.kv_cache_quant_mode);
  if (quant_mode != kDefault && quant_mode != kPerToken) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, at.kv_cache_quant_mode, std::to_string(quant_mode), "DEFAULT or PERTOKEN");
  }
  call.ExpectRank(kContextLens, 1, 2, "[batch]");
  call.ExpectType(kQuery, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT32});
  const auto& query = call.In(kQuery);
  attention.type = query.type;
  call.ExpectRank(kKeyCache, 3, 4, "[num_blocks, block_size, num_head, head_size] or [num_blocks, block_size, hidden]");
  paged.num_blocks = call.In(kKeyCache).shape[0];
  paged.block_size = call.In(kKeyCache).shape[1];
  CheckCache(call, kKeyCache, paged, attention.num_kv_heads);
  attention.key_size = HeadSize(call, kKeyCache, attention.num_kv_heads);
  const int64_t width = Product(attention.num_heads, attention.key_size);
  // [T, hidden], [B, S, hidden], [T, num_head, head_size], [B, S, num_head, head_size], [B, num_head, 1, head_size]:
  // the same memory.
  call.ExpectRank(kQuery, 2, 4, "[num_tokens, hidden] or [num_tokens, num_head, head_size]");
  const int64_t last = query.shape[query.rank - 1];
  const bool flat = query.rank < 4 && last == width;
  const bool one = query.rank == 4 && query.shape[2] == 1 && query.shape[1] == attention.num_heads;
  const bool heads =
      query.rank > 2 && last == attention.key_size && (one || query.shape[query.rank - 2] == attention.num_heads);
  if (width == 0 || !(flat || heads)) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kQuery, ShapeText(query),
                "[num_tokens, " + std::to_string(width) + "] or [num_tokens, " + std::to_string(attention.num_heads) +
                    ", " + std::to_string(attention.key_size) + "]: head_num heads of key_cache's head_size");
  }
  paged.num_tokens = CountOf(query) / width;
  if (mla) {
    attention.value_size = call.Int(at.mla_v_dim);
    if (attention.value_size < 1 || attention.value_size > attention.key_size) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, at.mla_v_dim, std::to_string(attention.value_size),
                  "1 to key_cache's head_size, " + std::to_string(attention.key_size));
    }
  } else {
    CheckCache(call, kValueCache, paged, attention.num_kv_heads);
    attention.value_size = HeadSize(call, kValueCache, attention.num_kv_heads);
  }
  for (const int cache : {kKeyCache, kValueCache}) {
    if (mla && cache == kValueCache) break;
    if (call.Has(kAntiquantScale)) {
      call.ExpectType(cache, {MSSP_BUILTIN_INT8});
    } else {
      call.ExpectSameType(cache, kQuery);
    }
  }
  LoadDequantization(call, quant_mode == kPerToken, &attention);
  // MindSpore makes the output of query's shape, whatever the values' heads are.
  const int64_t numbers = paged.num_tokens * attention.num_heads * attention.value_size;
  if (!mla && CountOf(call.Out(0)) != numbers && CountOf(call.Out(0)) == CountOf(query)) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kValueCache, ShapeText(call.In(kValueCache)),
                "key_cache's head_size, " + std::to_string(attention.key_size) + ", as the output has query's shape");
  }
  call.ExpectOutput(0, numbers, query.type);
  return paged;
}

// One sequence for each row of block_tables: its queries follow one another and see all of its keys.
void AddSequences(const Arguments& call, Paged* paged, const std::vector<int64_t>& q_lens, bool mla) {
  AttentionCall& attention = paged->attention;
  call.ExpectRank(kBlockTables, 2, 2, "[batch, max_num_blocks_per_batch]");
  const std::vector<int64_t> lens = call.Ints(kContextLens);
  const std::vector<int64_t> tables = call.Ints(kBlockTables);
  const auto& table_shape = call.In(kBlockTables).shape;
  const auto batch = static_cast<int64_t>(lens.size());
  if (table_shape[0] != batch) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kBlockTables, ShapeText(call.In(kBlockTables)),
                std::to_string(batch) + " rows as context_lens has numbers");
  }
  const int64_t type_bytes = ItemBytes(attention.type);
  const int64_t query_bytes = attention.key_size * type_bytes;
  const int64_t out_bytes = attention.value_size * type_bytes;
  const int64_t capacity = Product(table_shape[1], paged->block_size);
  int64_t token = 0;
  for (int64_t b = 0; b < batch; ++b) {
    const auto at = static_cast<size_t>(b);
    Sequence sequence;
    sequence.batch_row = b;
    sequence.num_queries = q_lens[at];
    sequence.num_keys = lens[at];
    if (lens[at] < 0 || lens[at] > capacity) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kContextLens, std::to_string(lens[at]) + " at " + std::to_string(b),
                  "0 to " + std::to_string(capacity) + ", what a row of block_tables holds");
    }
    if (lens[at] != 0 && lens[at] < q_lens[at]) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kContextLens, std::to_string(lens[at]) + " at " + std::to_string(b),
                  "at least the " + std::to_string(q_lens[at]) + " queries of the sequence");
    }
    sequence.page_size = paged->block_size;
    const int64_t used = lens[at] == 0 ? 0 : (lens[at] - 1) / paged->block_size + 1;
    for (int64_t page = 0; page < used; ++page) {
      const int64_t block = tables[static_cast<size_t>(b * table_shape[1] + page)];
      if (block < 0 || block >= paged->num_blocks) {
        call.Refuse(MSSP_BUILTIN_INDEX_ERROR, kBlockTables,
                    std::to_string(block) + " at [" + std::to_string(b) + ", " + std::to_string(page) + "]",
                    paged->num_blocks == 0
                        ? "a context_lens of 0, since key_cache has no blocks"
                        : "0 to " + std::to_string(paged->num_blocks - 1) + ", the blocks of key_cache");
      }
      sequence.pages.push_back(block);
    }
    sequence.query = {static_cast<const char*>(call.In(kQuery).data) + token * attention.num_heads * query_bytes,
                      attention.num_heads * query_bytes, query_bytes, attention.type};
    sequence.key = CacheOperand(call, kKeyCache, attention.num_kv_heads, attention.key_size);
    sequence.value = sequence.key;
    if (!mla) sequence.value = CacheOperand(call, kValueCache, attention.num_kv_heads, attention.value_size);
    sequence.out = static_cast<char*>(call.Out(0).data) + token * attention.num_heads * out_bytes;
    sequence.out_token_stride = attention.num_heads * out_bytes;
    sequence.out_head_stride = out_bytes;
    token += q_lens[at];
    attention.sequences.push_back(std::move(sequence));
  }
}

std::vector<int64_t> QueryLengths(const Arguments& call, const Paged& paged) {
  const auto batch = static_cast<size_t>(CountOf(call.In(kContextLens)));
  std::vector<int64_t> lens(batch, 1);
  if (call.Has(kQSeqLens)) {
    lens = call.Ints(kQSeqLens);
    if (lens.size() != batch) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kQSeqLens, ShapeText(call.In(kQSeqLens)),
                  "one number for each of context_lens, " + std::to_string(batch));
    }
  }
  const int64_t sum = call.SumOf(kQSeqLens, lens);
  if (sum != paged.num_tokens) {
    if (call.Has(kQSeqLens)) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kQSeqLens, "a sum of " + std::to_string(sum),
                  std::to_string(paged.num_tokens) + ", the tokens of query");
    }
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kContextLens, ShapeText(call.In(kContextLens)),
                std::to_string(paged.num_tokens) + " numbers, one for each token of query, where q_seq_lens is None");
  }
  return lens;
}

enum class MaskOf { kTokens, kHeads, kEither };

// A mask that is added to the scores, a column for each key of the longest context: of tokens [num_tokens, keys], or
// [batch, queries, keys] where every sequence has as many queries, the same memory; of heads [batch, num_head, queries
// or more, keys].
void AddMask(const Arguments& call, int argument, MaskOf kind, bool mla, AttentionCall* attention) {
  const auto& mask = call.In(argument);
  call.ExpectType(argument, {MSSP_BUILTIN_FLOAT16, MSSP_BUILTIN_BFLOAT16, MSSP_BUILTIN_FLOAT32});
  const auto batch = static_cast<int64_t>(attention->sequences.size());
  const int64_t longest = MostKeys(*attention);
  int64_t tokens = 0;
  for (const Sequence& sequence : attention->sequences) tokens += sequence.num_queries;
  const int64_t keys = mask.rank > 0 ? mask.shape[mask.rank - 1] : 0;
  const int64_t queries = mask.rank > 1 ? mask.shape[mask.rank - 2] : 0;
  const int64_t most = MostQueries(*attention);
  // As many queries in all as the longest sequence has in each: then they all have as many.
  const bool even = mask.rank == 3 && mask.shape[0] == batch && queries == most && tokens == Product(most, batch);
  const bool of_tokens = kind != MaskOf::kHeads && (mask.rank == 2 ? queries == tokens : even);
  const bool of_heads = kind != MaskOf::kTokens && mask.rank == 4 && mask.shape[0] == batch &&
                        mask.shape[1] == attention->num_heads && queries >= most;
  if (keys < longest || !(of_tokens || of_heads)) {
    const std::string end = std::to_string(longest) + " or more]";
    const std::string first = "[" + std::to_string(tokens) + ", " + end;
    const std::string second =
        "[" + std::to_string(batch) + ", " + std::to_string(attention->num_heads) + ", queries, " + end;
    const std::string expected = kind == MaskOf::kTokens  ? first
                                 : kind == MaskOf::kHeads ? second
                                                          : first + " or " + second;
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, argument, ShapeText(mask),
                expected + ": a row for each token of query, a column for each key of the longest context");
  }
  Bias bias;
  bias.type = mask.type;
  bias.query_stride = keys;
  if (of_heads) bias.head_stride = queries * keys;
  if (mla && mask.type == MSSP_BUILTIN_BFLOAT16) bias.factor = FactorOfMask(call, argument);
  int64_t token = 0;
  for (Sequence& sequence : attention->sequences) {
    const int64_t row = of_heads ? sequence.batch_row * attention->num_heads * queries : token;
    bias.base = static_cast<const char*>(mask.data) + row * keys * ItemBytes(mask.type);
    sequence.biases.push_back(bias);
    token += sequence.num_queries;
  }
}

}  // namespace

// As the kernel behind MindSpore's infer_boost has it (MindSpore 2.10's kernel/ascend/internal/paged_attention.h):
// attn_mask counts where a sequence has more queries than one, and not beside alibi_mask; without a mask every query
// sees every key, but for TRAPEZOIDAL, in which the last query sees them all and each before it one less.
void PagedAttention(const Arguments& call) {
  const bool mla = call.Has(kPagedAttention.mla_v_dim) && call.Int(kPagedAttention.mla_v_dim) != 0;
  Paged paged = CheckCommon(call, kPagedAttention, mla);
  const std::vector<int64_t> q_lens = QueryLengths(call, paged);
  AddSequences(call, &paged, q_lens, mla);
  AttentionCall* attention = &paged.attention;
  const bool chunked = std::any_of(q_lens.begin(), q_lens.end(), [](int64_t queries) { return queries > 1; });
  const bool alibi = call.Has(kAlibiMask) && CountOf(call.In(kAlibiMask)) > 1;
  if (call.Int(kPagedAttention.mask_mode) != 0) {
    for (Sequence& sequence : attention->sequences) sequence.end = sequence.num_keys - sequence.num_queries + 1;
  } else if (chunked && call.Has(kAttnMask)) {
    if (alibi) {
      call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kAttnMask, ShapeText(call.In(kAttnMask)),
                  "None beside alibi_mask, where a sequence has more queries than one");
    }
    AddMask(call, kAttnMask, MaskOf::kTokens, mla, attention);
  }
  if (alibi) AddMask(call, kAlibiMask, MaskOf::kEither, false, attention);
  Attend(*attention);
}

// alibi_mask [batch, num_head, 1, at least every context length] is added to the scaled scores.
void PagedAttentionMask(const Arguments& call) {
  constexpr int kAlibi = 7;
  Paged paged = CheckCommon(call, kPagedAttentionMask, false);
  const auto batch = static_cast<size_t>(CountOf(call.In(kContextLens)));
  if (static_cast<int64_t>(batch) != paged.num_tokens) {
    call.Refuse(MSSP_BUILTIN_VALUE_ERROR, kContextLens, ShapeText(call.In(kContextLens)),
                std::to_string(paged.num_tokens) + " numbers, one for each token of query");
  }
  AddSequences(call, &paged, std::vector<int64_t>(batch, 1), false);
  if (call.Has(kAlibi)) AddMask(call, kAlibi, MaskOf::kHeads, false, &paged.attention);
  Attend(paged.attention);
}

}  // namespace compat
}  // namespace mssp
