// Attention of queries to keys and values that lie in pages or in one piece, by an online softmax in float32: no
// tensor of queries by keys is made.
#ifndef MS_SCATTER_PA_COMPAT_ATTENTION_H_
#define MS_SCATTER_PA_COMPAT_ATTENTION_H_

#include <cstdint>
#include <limits>
#include <vector>

namespace mssp {
namespace compat {

inline constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max() / 4;

// A vector of one token and one head; strides in bytes.
struct Operand {
  const char* base = nullptr;
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int32_t type = 0;
};

// What is added to the scores of (head, query, key) or discards them; strides in numbers.
struct Bias {
  const char* base = nullptr;
  int32_t type = 0;
  int64_t head_stride = 0;
  int64_t query_stride = 0;
  float factor = 1.0f;
  bool discards = false;  // numbers other than 0 take the key away
};

struct Sequence {
  Operand query;
  int64_t num_queries = 0;
  int64_t batch_row = 0;
  Operand key;
  Operand value;
  int64_t num_keys = 0;
  // Key t lies in row pages[t / page_size] * page_size + t % page_size. No pages: in row t.
  std::vector<int64_t> pages;
  int64_t page_size = kUnlimited;
  // Query i sees the keys first + i <= t < end + i of 0..num_keys-1.
  int64_t first = -kUnlimited;
  int64_t end = kUnlimited;
  std::vector<Bias> biases;
  char* out = nullptr;
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
  // The maximum and the sum of exponentials of (head, query), `kStatisticCopies` times, or nullptr.
  float* row_max = nullptr;
  float* row_sum = nullptr;
  int64_t statistic_token_stride = 0;  // numbers
  int64_t statistic_head_stride = 0;
};

inline constexpr int64_t kStatisticCopies = 8;

// int8 caches: (x + offset) * scale, by key/value head and channel; or by row of the batch and key, as [rows][tokens].
struct Dequantization {
  std::vector<float> key_scale, key_offset, value_scale, value_offset;
  int64_t tokens = 0;  // of a row; 0: by channel
  bool needed = false;
};

struct AttentionCall {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t key_size = 0;
  int64_t value_size = 0;
  float scale = 1.0f;
  int32_t type = 0;  // of queries and results
  Dequantization dequantization;
  std::vector<Sequence> sequences;
};

// Of the longest sequence.
int64_t MostQueries(const AttentionCall& call);
int64_t MostKeys(const AttentionCall& call);

// A query that sees no key gets zeros.
void Attend(const AttentionCall& call);

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_ATTENTION_H_
