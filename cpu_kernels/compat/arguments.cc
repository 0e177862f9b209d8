#include "arguments.h"

#include <cmath>

#include "../core/small_float.h"

namespace mssp {
namespace compat {
namespace {

struct TypeRow {
  const char* name;
  int64_t bytes;
};

constexpr TypeRow kTypes[] = {{"None", 0},       {"float32", 4},      {"float16", 2}, {"bfloat16", 2}, {"float64", 8},
                              {"bool", 1},       {"int8", 1},         {"uint8", 1},   {"int16", 2},    {"uint16", 2},
                              {"int32", 4},      {"uint32", 4},       {"int64", 8},   {"uint64", 8},   {"complex64", 0},
                              {"complex128", 0}, {"another dtype", 0}};

const TypeRow& RowOf(int32_t type) {
  const bool known = type >= 0 && type <= MSSP_BUILTIN_OTHER;
  return kTypes[known ? type : static_cast<int32_t>(MSSP_BUILTIN_OTHER)];
}

int64_t IntAt(const MsspBuiltinTensor& tensor, int64_t i) {
  switch (tensor.type) {
    case MSSP_BUILTIN_INT32:
      return static_cast<const int32_t*>(tensor.data)[i];
    case MSSP_BUILTIN_BOOL:
      return static_cast<const uint8_t*>(tensor.data)[i];
    default:
      return static_cast<const int64_t*>(tensor.data)[i];
  }
}

}  // namespace

int64_t ItemBytes(int32_t type) { return RowOf(type).bytes; }

const char* TypeName(int32_t type) { return RowOf(type).name; }

std::string ShapeText(const MsspBuiltinTensor& tensor) {
  std::string text = "[";
  for (int32_t d = 0; d < tensor.rank; ++d) {
    if (d > 0) text += ", ";
    text += std::to_string(tensor.shape[d]);
  }
  return text + "]";
}

int64_t CountOf(const MsspBuiltinTensor& tensor) {
  int64_t count = 1;
  for (int32_t d = 0; d < tensor.rank; ++d) {
    if (tensor.shape[d] == 0) return 0;
    count = Product(count, tensor.shape[d]);
  }
  return count;
}

void Arguments::Refuse(int32_t code, int i, const std::string& given, const std::string& expected) const {
  throw Refusal{code, std::string(op_) + "'s " + names_[i] + ": given " + given + ", expected " + expected};
}

int64_t Arguments::Int(int i) const {
  if (!Has(i)) Refuse(MSSP_BUILTIN_TYPE_ERROR, i, "None", "an int");
  ExpectType(i, {MSSP_BUILTIN_INT64, MSSP_BUILTIN_INT32, MSSP_BUILTIN_BOOL});
  if (CountOf(In(i)) != 1) Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(In(i)), "one number");
  return IntAt(In(i), 0);
}

double Arguments::Float(int i) const {
  if (!Has(i)) Refuse(MSSP_BUILTIN_TYPE_ERROR, i, "None", "a float");
  if (CountOf(In(i)) != 1) Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(In(i)), "one number");
  switch (In(i).type) {
    case MSSP_BUILTIN_FLOAT32:
      return *static_cast<const float*>(In(i).data);
    case MSSP_BUILTIN_FLOAT64:
      return *static_cast<const double*>(In(i).data);
    case MSSP_BUILTIN_FLOAT16:
      return Float16::ToFloat(*static_cast<const uint16_t*>(In(i).data));
    default:
      return static_cast<double>(Int(i));
  }
}

std::vector<int64_t> Arguments::Ints(int i) const {
  ExpectType(i, {MSSP_BUILTIN_INT32, MSSP_BUILTIN_INT64});
  std::vector<int64_t> values(static_cast<size_t>(CountOf(In(i))));
  for (size_t k = 0; k < values.size(); ++k) values[k] = IntAt(In(i), static_cast<int64_t>(k));
  return values;
}

int64_t Arguments::SumOf(int i, const std::vector<int64_t>& lengths) const {
  int64_t sum = 0;
  for (size_t k = 0; k < lengths.size(); ++k) {
    if (lengths[k] < 0) {
      Refuse(MSSP_BUILTIN_VALUE_ERROR, i, std::to_string(lengths[k]) + " at " + std::to_string(k), "numbers >= 0");
    }
    if (__builtin_add_overflow(sum, lengths[k], &sum)) sum = std::numeric_limits<int64_t>::max();
  }
  return sum;
}

void Arguments::ExpectType(int i, std::initializer_list<int32_t> types) const {
  const int32_t given = Has(i) ? In(i).type : static_cast<int32_t>(MSSP_BUILTIN_NONE);
  std::string expected;
  for (int32_t type : types) {
    if (given == type) return;
    if (!expected.empty()) expected += " or ";
    expected += TypeName(type);
  }
  Refuse(MSSP_BUILTIN_TYPE_ERROR, i, TypeName(given), expected);
}

void Arguments::ExpectSameType(int i, int other) const {
  if (In(i).type == In(other).type) return;
  Refuse(MSSP_BUILTIN_TYPE_ERROR, i, TypeName(In(i).type),
         std::string(TypeName(In(other).type)) + " as " + names_[other] + " has");
}

void Arguments::ExpectRank(int i, int least, int most, const char* expected) const {
  if (!Has(i)) Refuse(MSSP_BUILTIN_TYPE_ERROR, i, "None", std::string("a tensor ") + expected);
  if (In(i).rank < least || In(i).rank > most) Refuse(MSSP_BUILTIN_VALUE_ERROR, i, ShapeText(In(i)), expected);
}

void Arguments::ExpectNone(int i, const char* why) const {
  if (Has(i)) Refuse(MSSP_BUILTIN_VALUE_ERROR, i, "a value", std::string("None: ") + why);
}

void Arguments::ExpectOutput(int i, int64_t count, int32_t type) const {
  if (i < num_outputs_ && CountOf(Out(i)) == count && Out(i).type == type) return;
  std::string given = "none";
  if (i < num_outputs_) given = std::string(TypeName(Out(i).type)) + " " + ShapeText(Out(i));
  throw Refusal{MSSP_BUILTIN_VALUE_ERROR, std::string(op_) + ": output " + std::to_string(i) + " is " + given +
                                              ", expected " + TypeName(type) + " of " + std::to_string(count) +
                                              " numbers"};
}

}  // namespace compat
}  // namespace mssp
