// 64-bit integers that count what is done with them. The kernel's int64_t and uint64_t are these while it is compiled
// for the host model, so that the scalar unit's arithmetic costs modelled time and divisions can be counted.
#ifndef MS_SCATTER_PA_HOST_MODEL_SCALAR_H_
#define MS_SCATTER_PA_HOST_MODEL_SCALAR_H_

#include <cstdint>
#include <type_traits>

namespace host_model {

// The scalar unit's work since the machine last looked. Operations on narrower types are not counted: the kernel counts
// loops of vector lanes with them and nothing else.
struct ScalarWork {
  int64_t simple;  // add, subtract, compare, logic, shift; division by a constant power of two
  int64_t multiplies;
  int64_t divisions;  // and remainders
};

inline ScalarWork scalar_work = {0, 0, 0};

// Cycles per operation. No public document gives them; they are assumed, in the proportion that small in-order cores
// without a divider pipeline have.
constexpr double kSimpleCycles = 1;
constexpr double kMultiplyCycles = 4;
constexpr double kDivideCycles = 40;

template <typename T>
class Counted {
 public:
  Counted() = default;
  template <typename U, typename = std::enable_if_t<std::is_arithmetic<U>::value || std::is_enum<U>::value>>
  constexpr Counted(U value) : value_(static_cast<T>(value)) {}
  template <typename U>
  constexpr explicit Counted(Counted<U> other) : value_(static_cast<T>(other.value_)) {}

  template <typename U, typename = std::enable_if_t<std::is_arithmetic<U>::value>>
  constexpr explicit operator U() const {
    return static_cast<U>(value_);
  }
  constexpr T value() const { return value_; }

  constexpr Counted operator-() const { return Simple(static_cast<T>(-value_)); }
  constexpr Counted& operator++() { return *this = Simple(value_ + 1); }
  constexpr Counted& operator--() { return *this = Simple(value_ - 1); }
  constexpr Counted& operator+=(Counted b) { return *this = *this + b; }
  constexpr Counted& operator-=(Counted b) { return *this = *this - b; }
  constexpr Counted& operator*=(Counted b) { return *this = *this * b; }
  constexpr Counted& operator/=(Counted b) { return *this = *this / b; }
  constexpr Counted& operator<<=(Counted b) { return *this = *this << b; }
  constexpr Counted& operator>>=(Counted b) { return *this = *this >> b; }
  constexpr Counted& operator|=(Counted b) { return *this = *this | b; }

  friend constexpr Counted operator+(Counted a, Counted b) { return Simple(a.value_ + b.value_); }
  friend constexpr Counted operator-(Counted a, Counted b) { return Simple(a.value_ - b.value_); }
  friend constexpr Counted operator&(Counted a, Counted b) { return Simple(a.value_ & b.value_); }
  friend constexpr Counted operator|(Counted a, Counted b) { return Simple(a.value_ | b.value_); }
  friend constexpr Counted operator<<(Counted a, Counted b) { return Simple(a.value_ << b.value_); }
  friend constexpr Counted operator>>(Counted a, Counted b) { return Simple(a.value_ >> b.value_); }
  friend constexpr bool operator<(Counted a, Counted b) { return Simple(a.value_ < b.value_) != 0; }
  friend constexpr bool operator>(Counted a, Counted b) { return b < a; }
  friend constexpr bool operator<=(Counted a, Counted b) { return !(b < a); }
  friend constexpr bool operator>=(Counted a, Counted b) { return !(a < b); }
  friend constexpr bool operator==(Counted a, Counted b) { return Simple(a.value_ == b.value_).value_ != 0; }
  friend constexpr bool operator!=(Counted a, Counted b) { return !(a == b); }

  friend constexpr Counted operator*(Counted a, Counted b) {
    if (!__builtin_is_constant_evaluated()) {
      ++scalar_work.multiplies;
    }
    return Counted(a.value_ * b.value_);
  }
  [[gnu::always_inline]] friend constexpr Counted operator/(Counted a, Counted b) {
    ChargeDivision(b.value_);
    return Counted(a.value_ / b.value_);
  }
  [[gnu::always_inline]] friend constexpr Counted operator%(Counted a, Counted b) {
    ChargeDivision(b.value_);
    return Counted(a.value_ % b.value_);
  }

 private:
  template <typename U>
  friend class Counted;

  static constexpr Counted Simple(T value) {
    if (!__builtin_is_constant_evaluated()) {
      ++scalar_work.simple;
    }
    return Counted(value);
  }

  // Compilers turn a division by a constant power of two into shifts; g++ sees which it is when it optimises.
  [[gnu::always_inline]] static constexpr void ChargeDivision(T divisor) {
    if (__builtin_is_constant_evaluated()) {
      return;
    }
    if (__builtin_constant_p(divisor) && divisor > 0 && (divisor & (divisor - 1)) == 0) {
      scalar_work.simple += 2;
    } else {
      ++scalar_work.divisions;
    }
  }

  T value_;
};

template <typename T>
struct IsInteger : std::is_integral<T> {};
template <typename T>
struct IsInteger<Counted<T>> : std::true_type {};

}  // namespace host_model

#endif  // MS_SCATTER_PA_HOST_MODEL_SCALAR_H_
