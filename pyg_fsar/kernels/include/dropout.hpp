// Dropout that can be drawn again, so that no mask is kept for the backward pass.

#pragma once

#include <cstdint>

#include "lanes.hpp"

namespace {

// The finaliser of splitmix64.
inline uint64_t scrambled(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A counter for each lane of a vector.
template <class T> struct Counters {
  typedef uint32_t Vector __attribute__((vector_size(LANES<T> * 4)));
};

// Dropout whose draws follow from the seed and the place alone, so that they can be made again.
template <class T> struct Dropout {
  uint32_t row, threshold;
  T scale;

  Dropout(uint64_t seed, uint64_t row_number, double p)
      : row(uint32_t(scrambled(seed + 0x9e3779b97f4a7c15u * (row_number + 1)))),
        threshold(uint32_t(p * 4294967296.0)), scale(T(1 / (1 - p))) {}

  Vector<T> operator()(Vector<T> value, uint32_t first) const {
    if (!threshold) return value;
    typename Counters<T>::Vector x;
    for (int k = 0; k < LANES<T>; ++k) x[k] = k;
    x = ((x + first) * 0x9e3779b9u) ^ row;
    x = (x ^ (x >> 16)) * 0x21f0aaadu;
    x = (x ^ (x >> 15)) * 0x735a2d97u;
    x ^= x >> 15;
    const auto keep = __builtin_convertvector(x >= threshold, BitVector<T>);
    return keep ? value * scale : Vector<T>{};
  }
};

}  // namespace
