// An operator's call: its arguments by position and name, and the sentences that refuse them.
#ifndef MS_SCATTER_PA_COMPAT_ARGUMENTS_H_
#define MS_SCATTER_PA_COMPAT_ARGUMENTS_H_

#include <cstdint>
#include <exception>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "builtin.h"

namespace mssp {
namespace compat {

// What MsspBuiltinRun returns: the operator throws it before it writes.
struct Refusal : std::exception {
  Refusal(int32_t code_of, std::string text_of) : code(code_of), text(std::move(text_of)) {}

  int32_t code;
  std::string text;
};

int64_t ItemBytes(int32_t type);
const char* TypeName(int32_t type);
std::string ShapeText(const MsspBuiltinTensor& tensor);
int64_t CountOf(const MsspBuiltinTensor& tensor);

// a * b of numbers >= 0, or the largest number there is: no tensor has so much.
inline int64_t Product(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}

class Arguments {
 public:
  // `names` has num_inputs entries at least.
  Arguments(const char* op, const char* const* names, const MsspBuiltinTensor* inputs, int32_t num_inputs,
            const MsspBuiltinTensor* outputs, int32_t num_outputs)
      : op_(op),
        names_(names),
        inputs_(inputs),
        num_inputs_(num_inputs),
        outputs_(outputs),
        num_outputs_(num_outputs) {}

  const MsspBuiltinTensor& In(int i) const { return inputs_[i]; }
  const MsspBuiltinTensor& Out(int i) const { return outputs_[i]; }
  int32_t num_outputs() const { return num_outputs_; }
  bool Has(int i) const { return i < num_inputs_ && inputs_[i].type != MSSP_BUILTIN_NONE; }

  // Numbers; floats of any width.
  int64_t Int(int i) const;
  double Float(int i) const;
  // A tensor or tuple of lengths or positions, int32 or int64.
  std::vector<int64_t> Ints(int i) const;
  // The sum of lengths or positions, the largest number at most; one below 0 is refused.
  int64_t SumOf(int i, const std::vector<int64_t>& lengths) const;

  void ExpectType(int i, std::initializer_list<int32_t> types) const;
  void ExpectSameType(int i, int other) const;
  void ExpectRank(int i, int least, int most, const char* expected) const;
  void ExpectNone(int i, const char* why) const;
  void ExpectOutput(int i, int64_t count, int32_t type) const;

  [[noreturn]] void Refuse(int32_t code, int i, const std::string& given, const std::string& expected) const;

 private:
  const char* op_;
  const char* const* names_;
  const MsspBuiltinTensor* inputs_;
  int32_t num_inputs_;
  const MsspBuiltinTensor* outputs_;
  int32_t num_outputs_;
};

// The operators.
void AddRmsNorm(const Arguments& call);
void ApplyRotaryPosEmb(const Arguments& call);
void ArgMaxExt(const Arguments& call);
void CumsumExt(const Arguments& call);
void FlashAttentionScore(const Arguments& call);
void IndexSelect(const Arguments& call);
void MoveTo(const Arguments& call);
void PagedAttention(const Arguments& call);
void PagedAttentionMask(const Arguments& call);
void QuantV2(const Arguments& call);
void RepeatInterleaveInt(const Arguments& call);
void RmsNorm(const Arguments& call);
void SliceExt(const Arguments& call);

}  // namespace compat
}  // namespace mssp

#endif  // MS_SCATTER_PA_COMPAT_ARGUMENTS_H_
