// Arithmetic on vector registers, each lane of which belongs to a pair of its own. The vector types
// are those of GCC and Clang, which compile them for any processor.

#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif

constexpr double LOG2_E = 1.4426950408889634;

template <class T> struct Format;
template <> struct Format<float> {
  using Bits = int32_t;
  static constexpr int mantissa = 23, bias = 127, degree = 6;
};
template <> struct Format<double> {
  using Bits = int64_t;
  static constexpr int mantissa = 52, bias = 1023, degree = 13;
};

template <class T> struct Register {
  using Bits = typename Format<T>::Bits;
  typedef T Vector __attribute__((vector_size(REGISTER_BYTES)));
  typedef Bits BitVector __attribute__((vector_size(REGISTER_BYTES)));
};
template <class T> using Vector = typename Register<T>::Vector;
template <class T> using BitVector = typename Register<T>::BitVector;
template <class T> constexpr int LANES = REGISTER_BYTES / sizeof(T);

template <class T> inline Vector<T> all(T value) { return Vector<T>{} + value; }
// If one operand is NaN they return the second.
template <class V> inline V larger(V a, V b) { return a > b ? a : b; }
template <class V> inline V smaller(V a, V b) { return a < b ? a : b; }

// A positive number as mantissa * 2^exponent, of practically unlimited range. Exponents are whole
// numbers, but of type T.
template <class T> struct Scaled {
  Vector<T> mantissa, exponent;

  Scaled() = default;
  Scaled(Vector<T> mantissa, Vector<T> exponent) : mantissa(mantissa), exponent(exponent) {}
  // GCC's default copies write parts of a vector, and reading the whole vector then stalls.
  Scaled(const Scaled &other) : Scaled(other.mantissa, other.exponent) {}
  Scaled &operator=(const Scaled &other) {
    mantissa = other.mantissa;
    exponent = other.exponent;
    return *this;
  }
};

// Added to a number it rounds that, and leaves the whole number in the low bits.
template <class T>
constexpr T ROUNDER = T(typename Format<T>::Bits(3) << (Format<T>::mantissa - 1));
// Exponent of zero.
template <class T> constexpr T NEVER = -std::numeric_limits<T>::max() / 4;

// 2^x for whole numbers up to 0; zero where that is below the smallest normal number.
template <class T> inline Vector<T> whole_power(Vector<T> x) {
  using F = Format<T>;
  const Vector<T> biased = larger(x, all(T(-F::bias))) + (ROUNDER<T> + F::bias);
  return (Vector<T>)((BitVector<T>)biased << F::mantissa);
}

template <class T> struct PowerSeries {
  T at[Format<T>::degree + 1] = {};
  constexpr PowerSeries() {
    double coefficient = 1;
    for (int k = 0; k <= Format<T>::degree; ++k) {
      at[k] = T(coefficient);
      coefficient /= LOG2_E * (k + 1);
    }
  }
};

// 2^x by its Taylor series, whose error for |x| <= 0.5 is that of rounding.
template <class T> inline Vector<T> small_power(Vector<T> x) {
  constexpr PowerSeries<T> series;
  Vector<T> sum = all(series.at[Format<T>::degree]);
  for (int k = Format<T>::degree - 1; k >= 0; --k) sum = sum * x + series.at[k];
  return sum;
}

// The same number with a mantissa of at least 1 and below 2. NaN stays NaN.
template <class T> inline Scaled<T> normalised(Scaled<T> x) {
  using F = Format<T>;
  constexpr auto unit = typename F::Bits(1) << F::mantissa;
  const BitVector<T> biased = (BitVector<T>)x.mantissa >> F::mantissa;
  const Vector<T> shift = (Vector<T>)(biased | (BitVector<T>)all(T(unit))) - T(unit + F::bias);
  return {x.mantissa * (Vector<T>)((2 * F::bias - biased) << F::mantissa), x.exponent + shift};
}

// Lanes of two vectors in turn, from their first half or from their last.
template <class T, bool last_half> inline Vector<T> interleaved(Vector<T> a, Vector<T> b) {
  constexpr int lanes = LANES<T>, start = last_half ? lanes / 2 : 0;
#if defined(__clang__)
  Vector<T> mixed;
  for (int k = 0; k < lanes; ++k) mixed[k] = k % 2 ? b[start + k / 2] : a[start + k / 2];
  return mixed;
#else
  BitVector<T> order;
  for (int k = 0; k < lanes; ++k) order[k] = start + k / 2 + k % 2 * lanes;
  return __builtin_shuffle(a, b, order);
#endif
}

template <class T> inline void transpose(Vector<T> *tile) {
  constexpr int lanes = LANES<T>, half = lanes / 2;
  for (int step = 1; step < lanes; step *= 2) {
    Vector<T> next[lanes];
    for (int k = 0; k < half; ++k) {
      next[2 * k] = interleaved<T, false>(tile[k], tile[k + half]);
      next[2 * k + 1] = interleaved<T, true>(tile[k], tile[k + half]);
    }
    for (int k = 0; k < lanes; ++k) tile[k] = next[k];
  }
}

// Treats denormal numbers as zero during its lifetime. They take a CPU tens of times as long, and do
// not change sums with normal numbers.
struct FlushDenormals {
#if defined(__SSE2__)
  const unsigned before = _mm_getcsr();
  FlushDenormals() { _mm_setcsr(before | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before); }
#endif
};

// A vector anywhere in an array.
template <class T> struct Unaligned {
  typedef T Vector __attribute__((vector_size(REGISTER_BYTES), aligned(alignof(T)), may_alias));
};
template <class T> inline Vector<T> load(const T *from) {
  return *(const typename Unaligned<T>::Vector *)from;
}
template <class T> inline void store(T *to, Vector<T> value) {
  *(typename Unaligned<T>::Vector *)to = value;
}
template <class T> inline T sum(Vector<T> v) {
  T total = 0;
  for (int k = 0; k < LANES<T>; ++k) total += v[k];
  return total;
}

}  // namespace
